"""What a cluster makes of the manifests: `make k8s-test`.

Its name keeps it out of `make test`: it needs a cluster, which is the one that kubectl's current context names, and an
image that this cluster has or can pull ($IMAGE, with the bundle of $RELEASE in it). It makes two namespaces and
removes them. The tests build on one another, in the order of the file.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from cluster import cluster
from cluster.cluster import NAMESPACE, ROLLOUT_SECONDS, ROOT, Load, forwarded, get, here, kubectl, rolled_out
from slipway.cli.smoke import Service, smoke
from slipway.model.bundle import Bundle, read_bundle

IMAGE = os.environ.get("IMAGE", "slipway:local")
RELEASE = ROOT / os.environ.get("RELEASE", "champion")
# Ready, for its readiness is honest, and wrong to whoever asks.
LIAR = """
import runpy
from slipway.serving.model import LoadedModel
honest = LoadedModel.answer
async def answer(model, body):
    content, rows = await honest(model, body)
    return content.replace(b".", b".1"), rows
LoadedModel.answer = answer
runpy.run_module("slipway.serving", run_name="__main__")
"""
WAIT = f"--timeout={ROLLOUT_SECONDS}s"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read_bundle(RELEASE / "bundle")


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """What is deployed from; it serves from the first test to the last."""
    folder = tmp_path_factory.mktemp("checkout")
    cluster.remove()
    cluster.begin(IMAGE, folder, RELEASE)
    yield folder
    cluster.remove()


@pytest.fixture
def load(bundle):
    with Load(IMAGE, bundle.examples["rows"][0]) as running:
        yield running


def answers_as_its_bundle_says(bundle: Bundle) -> None:
    with forwarded() as (url, ops):
        assert smoke(Service(url), bundle, wait=30, ops=Service(ops)) == len(bundle.examples["rows"])


def test_serves_its_golden_rows(bundle):
    answers_as_its_bundle_says(bundle)


def test_the_namespace_lets_nothing_run_as_root():
    pod = {"containers": [{"name": "root", "image": IMAGE, "securityContext": {"runAsUser": 0}}]}
    content = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}, "spec": pod}
    done = kubectl("-n", NAMESPACE, "create", "--dry-run=server", "-f", "-", content=content, ok=False)
    assert 'violates PodSecurity "restricted' in done.stderr


def test_an_image_that_is_nowhere_is_held_back_and_rolled_back(load, folder):
    before = _pods()
    done = cluster.deploy("slipway.invalid/none:none", folder, RELEASE)
    assert done.returncode == 1
    assert "exceeded its progress deadline" in done.stderr
    assert "Rolled back" in done.stderr
    assert before <= _pods(ready=True)
    assert load.go_on() == []


def test_a_service_that_gives_other_answers_is_rolled_back(load, folder, bundle):
    template = get("deployment/slipway", ".spec.template.spec")
    done = cluster.deploy(IMAGE, folder, RELEASE, code=LIAR)
    assert done.returncode == 1
    assert "golden row 0 gives" in done.stderr
    assert "Rolled back" in done.stderr
    assert get("deployment/slipway", ".spec.template.spec") == template
    assert load.go_on() == []
    answers_as_its_bundle_says(bundle)


def test_all_pods_are_replaced_under_load_without_a_lost_request(load):
    before = _pods()
    here("rollout", "restart", "deployment/slipway")
    rolled_out()
    here("wait", "--for=delete", WAIT, *(f"pod/{name}" for name in before))
    assert load.go_on() == []
    assert not before & _pods()


def test_a_bundle_that_was_tampered_with_is_held_back_and_rolled_back(load, bundle):
    before, template = _pods(), get("deployment/slipway", ".spec.template.spec")
    here("create", "configmap", "tampered", "--from-literal=examples.json={}")
    file = {"name": "tampered", "mountPath": "/opt/slipway/champion/bundle/examples.json", "subPath": "examples.json"}
    patch = [
        {"op": "add", "path": "/spec/template/spec/volumes", "value": [
            {"name": "tampered", "configMap": {"name": "tampered"}}]},
        {"op": "add", "path": "/spec/template/spec/containers/0/volumeMounts", "value": [file]},
    ]  # fmt: skip
    here("patch", "deployment/slipway", "--type=json", f"--patch={json.dumps(patch)}")
    assert "exceeded its progress deadline" in rolled_out(ok=False)
    (refused,) = _pods() - before
    assert '"refused"' in here("logs", refused)
    assert get(f"pod/{refused}", ".status.containerStatuses[0].restartCount") == 0  # no restart could mend it
    assert before <= _pods(ready=True)
    here("rollout", "undo", "deployment/slipway")
    rolled_out()
    assert get("deployment/slipway", ".spec.template.spec") == template
    assert load.go_on() == []
    answers_as_its_bundle_says(bundle)


def test_more_replicas_share_the_load(bundle):
    """The autoscaler does it, and needs no metrics for that: its minimum is raised."""
    here("patch", "hpa/slipway", f"--patch={json.dumps({'spec': {'minReplicas': 3}})}")
    here("wait", "--for=jsonpath={.status.availableReplicas}=3", WAIT, "deployment/slipway")
    with Load(IMAGE, bundle.examples["rows"][0]) as load:
        assert load.go_on(500) == []
        assert all(_answered(pod) > 0 for pod in _pods(ready=True))


def test_only_one_pod_at_a_time_may_be_evicted(load):
    first, second, *_ = sorted(_pods(ready=True))
    assert _evict(first).returncode == 0
    refused = _evict(second)
    assert "disruption budget" in refused.stderr
    here("wait", "--for=delete", WAIT, f"pod/{first}")
    here("wait", "--for=jsonpath={.status.availableReplicas}=3", WAIT, "deployment/slipway")
    assert load.go_on() == []


NEEDS = {
    "monitoring-operator": "servicemonitors.monitoring.coreos.com",  # part: monitoring
    "ingress": "",
    "api-keys": "",
    "canary": "rollouts.argoproj.io",  # part: monitoring
}


def _components() -> list[str]:
    """Those whose kinds this cluster knows: a plain one does not have the operators'. None is skipped."""
    there = kubectl("get", "crd", "--output=name", ok=False).stdout
    return [name for name, kind in NEEDS.items() if not kind or f"/{kind}\n" in there]


@pytest.mark.parametrize("component", _components())
def test_the_cluster_takes_the_component(component, tmp_path):
    content = {
        "resources": [os.path.relpath(ROOT / "k8s/overlays/local", tmp_path.resolve())],
        "components": [os.path.relpath(ROOT / "k8s/components" / component, tmp_path.resolve())],
        "namespace": NAMESPACE,
    }
    (tmp_path / "kustomization.yaml").write_text(json.dumps(content))
    kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", tmp_path)


def _pods(*, ready: bool = False) -> set[str]:
    """The names of the service's pods that are not on their way out."""
    found = json.loads(here("get", "pods", "-o", "json"))["items"]
    return {
        pod["metadata"]["name"]
        for pod in found
        if "deletionTimestamp" not in pod["metadata"]
        and (
            not ready or any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"]["conditions"])
        )
    }


def _answered(pod: str) -> float:
    """How many predictions a pod says that it has answered."""
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8001/metrics').read().decode())"
    metrics = here("exec", pod, "--", "python", "-c", ask)
    wanted = 'slipway_requests_total{route="/predict",status="200"}'
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(wanted))


def _evict(pod: str) -> subprocess.CompletedProcess[str]:
    content = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
    return kubectl("create", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction", "-f", "-",
                   content=content, ok=False)  # fmt: skip
