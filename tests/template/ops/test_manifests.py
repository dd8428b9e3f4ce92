"""The manifests, as far as they can be judged without a cluster: `make k8s-test` does the rest."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from ops.custom_resources import SCHEMAS
from ops.manifests import (
    COMBINATIONS,
    COMPONENTS,
    K8S,
    OVERLAYS,
    ROOT,
    copy,
    kubectl,
    mebibytes,
    of_kind,
    render,
    settings,
)
from slipway.champion import Pin, write_pin
from slipway.cli import main  # part: search
from slipway.serving import Settings, create_app
from watched import RULES, rules  # part: monitoring

VERSIONS = ("1.34", "1.35", "1.36", "1.37")
ALL = [(overlay, COMPONENTS) for overlay in OVERLAYS]


@pytest.mark.parametrize(("overlay", "components"), COMBINATIONS)
def test_each_object_has_the_fields_of_its_kind_and_no_others(overlay, components):
    for one in render(overlay, components):
        if schema := SCHEMAS.get(one["kind"]):
            jsonschema.validate(one, schema)
        else:
            for version in VERSIONS:
                kubernetes_validate.validate(one, version, strict=True)


def test_a_field_with_a_slip_of_the_pen_is_refused():
    deployment = yaml.safe_load(yaml.safe_dump(of_kind(render("local"), "Deployment")))
    deployment["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


def test_every_component_is_known_here_and_named_in_the_overlays_of_real_clusters():
    assert sorted(path.name for path in (K8S / "components").iterdir()) == sorted(COMPONENTS)
    assert sorted(path.name for path in (K8S / "overlays").iterdir()) == sorted(OVERLAYS)
    for overlay in ("staging", "production"):
        text = (K8S / "overlays" / overlay / "kustomization.yaml").read_text()
        assert [f"#  - ../../components/{name}" for name in COMPONENTS] == [
            line.partition(" # ")[0] for line in text.splitlines() if line.startswith("#  - ")
        ]


@pytest.mark.parametrize(("overlay", "components"), ALL)
def test_all_of_it_is_in_the_overlays_own_namespace(overlay, components):
    manifests = render(overlay, components)
    namespace = of_kind(manifests, "Namespace")["metadata"]["name"]
    assert {one["metadata"].get("namespace") for one in manifests if one["kind"] != "Namespace"} == {namespace}
    assert of_kind(manifests, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_overlays_share_no_namespace():
    assert len({of_kind(render(overlay), "Namespace")["metadata"]["name"] for overlay in OVERLAYS}) == len(OVERLAYS)


def _pod(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    template: dict[str, Any] = of_kind(manifests, "Deployment")["spec"]["template"]
    return template


def _container(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    (container,) = _pod(manifests)["spec"]["containers"]
    return dict(container)


def _selectors(manifests: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each selector of pods."""
    yield "Service", of_kind(manifests, "Service")["spec"]["selector"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        yield kind, of_kind(manifests, kind)["spec"]["selector"]["matchLabels"]
    yield "NetworkPolicy", of_kind(manifests, "NetworkPolicy", "slipway")["spec"]["podSelector"]["matchLabels"]
    for constraint in _pod(manifests)["spec"]["topologySpreadConstraints"]:
        yield "spread", constraint["labelSelector"]["matchLabels"]


@pytest.mark.parametrize(("overlay", "components"), ALL)
def test_each_selector_finds_the_pods_and_the_monitor_the_service(overlay, components):
    manifests = render(overlay, components)
    labels = _pod(manifests)["metadata"]["labels"]
    for kind, selector in _selectors(manifests):
        assert selector, kind
        assert selector.items() <= labels.items(), kind
    # part: monitoring
    monitored = of_kind(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= of_kind(manifests, "Service")["metadata"]["labels"].items()
    # end: monitoring


def test_each_port_that_is_named_exists():
    manifests = render("production", COMPONENTS)
    container = _container(manifests)
    open_here = {port["name"]: port["containerPort"] for port in container["ports"]}
    served = {port["name"]: port["targetPort"] for port in of_kind(manifests, "Service")["spec"]["ports"]}
    assert set(served.values()) == set(open_here)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "ops"
    ways_in = of_kind(manifests, "NetworkPolicy", "slipway")["spec"]["ingress"]
    assert {port["port"] for way in ways_in for port in way["ports"]} == set(open_here)
    # part: monitoring
    assert {one["port"] for one in of_kind(manifests, "ServiceMonitor")["spec"]["endpoints"]} <= set(served)
    # end: monitoring
    (rule,) = of_kind(manifests, "Ingress")["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "slipway", "port": {"name": "http"}}


@pytest.mark.parametrize(("overlay", "components"), ALL)
def test_the_server_takes_its_settings_and_listens_where_kubernetes_asks(overlay, components):
    manifests = render(overlay, components)
    taken = Settings.from_environment(settings(manifests))
    ports = {port["name"]: port["containerPort"] for port in _container(manifests)["ports"]}
    assert {"http": taken.port, "ops": taken.ops_port} == ports
    assert taken.host == "0.0.0.0"
    # Service links would set SLIPWAY_PORT=tcp://..., because the Service is called slipway.
    assert _pod(manifests)["spec"]["enableServiceLinks"] is False


def test_probes_and_monitor_ask_what_the_operations_port_answers():
    manifests = render("production", COMPONENTS)
    container = _container(manifests)
    answered = {route.path for route in create_app(Settings(ops_port=0)).ops.routes}
    # part: monitoring
    monitored = of_kind(manifests, "ServiceMonitor")["spec"]["endpoints"][0]["path"]
    assert monitored in answered
    # end: monitoring
    assert {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")} == {"/healthz"}
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert {"/healthz", "/readyz"} <= answered


def test_a_pod_is_not_killed_before_it_has_drained_and_finished():
    manifests = render("production")
    taken = Settings.from_environment(settings(manifests))
    assert _pod(manifests)["spec"]["terminationGracePeriodSeconds"] > taken.drain_seconds + taken.grace_seconds
    # Unready is seen before the door closes.
    probe = _container(manifests)["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < taken.drain_seconds
    assert taken.grace_seconds >= taken.request_seconds


def test_threads_and_bodies_fit_the_limits():
    manifests = render("production")
    taken = Settings.from_environment(settings(manifests))
    resources = _container(manifests)["resources"]
    assert taken.threads == math.ceil(float(resources["limits"]["cpu"]))
    assert settings(manifests)["OMP_NUM_THREADS"] == str(taken.threads)
    # Memory that is promised is there: what is used beyond a request may be taken back at any time.
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert taken.body_bytes <= taken.buffer_bytes < mebibytes(resources["limits"]["memory"]) * 2**20 / 4


def test_a_rollout_never_takes_a_pod_away_before_another_is_ready():
    spec = of_kind(render("production"), "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert "replicas" not in spec  # or each deploy, and Argo CD or Flux, would undo the autoscaler


@pytest.mark.parametrize(
    ("components", "kind"),
    [
        ((), "Deployment"),
        (("canary",), "Rollout"),  # part: monitoring
    ],
)
def test_the_autoscaler_turns_what_runs_the_pods(components, kind):
    manifests = render("production", components)
    target = of_kind(manifests, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target["kind"] == kind
    scaled = of_kind(manifests, kind)
    assert (target["name"], target["apiVersion"]) == (scaled["metadata"]["name"], scaled["apiVersion"])


# part: monitoring
def test_the_service_is_called_as_the_rules_call_the_job():
    assert of_kind(render("production"), "Service")["metadata"]["name"] == "slipway"
    assert any('job="slipway"' in rule["expr"] for rule in rules())


def test_the_api_keys_are_where_the_server_looks_for_them():
    manifests = render("production", ("api-keys",))
    (mount,) = _container(manifests)["volumeMounts"]
    assert Path(mount["mountPath"], "keys") == Settings.from_environment(settings(manifests)).api_keys_file
    (volume,) = _pod(manifests)["spec"]["volumes"]
    assert volume["name"] == mount["name"]
    # The file is root's: the server reads it as a member of the group.
    assert volume["secret"]["defaultMode"] == 0o440
    assert _pod(manifests)["spec"]["securityContext"]["fsGroup"] == 65532


def test_predictions_are_kept_in_a_volume_that_the_server_can_write_to_from_every_replica():
    manifests = render("production", ("predictions",))
    (mount,), (volume,) = _container(manifests)["volumeMounts"], _pod(manifests)["spec"]["volumes"]
    assert mount["mountPath"] == Settings.from_environment(settings(manifests)).predictions
    assert not mount.get("readOnly")
    claim = of_kind(manifests, "PersistentVolumeClaim")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert _pod(manifests)["spec"]["securityContext"]["fsGroup"] == 65532


def test_a_shadow_is_the_bundle_of_an_image_and_has_its_share_of_the_cpu():
    manifests = render("production", ("shadow",))
    (mount,), (volume,) = _container(manifests)["volumeMounts"], _pod(manifests)["spec"]["volumes"]
    taken = Settings.from_environment(settings(manifests))
    assert taken.shadow == Path(f"{mount['mountPath']}/opt/slipway/champion/bundle")  # where the image has it
    assert "WORKDIR /opt/slipway/champion\nCOPY ${RELEASE}/bundle ./bundle" in (ROOT / "Dockerfile").read_text()
    assert set(volume["image"]) == {"reference", "pullPolicy"}
    with_it, without = (_container(each)["resources"]["limits"] for each in (manifests, render("production")))
    assert float(with_it["cpu"].removesuffix("m")) / 1000 == float(without["cpu"]) + taken.shadow_share
    assert mebibytes(with_it["memory"]) >= mebibytes(without["memory"]) + 100


# part: monitoring
def test_the_operator_gets_the_rules_of_monitoring_and_no_others(tmp_path):
    found = {
        one["metadata"]["name"]: one["spec"]
        for one in render("production", COMPONENTS)
        if one["kind"] == "PrometheusRule"
    }
    assert found == {f"slipway-{path.stem}": yaml.safe_load(path.read_text()) for path in RULES}
    made = tmp_path / "rules.yaml"
    subprocess.run(["make", "--silent", "k8s-rules", f"OPERATOR_RULES={made}"], cwd=ROOT, check=True)
    assert made.read_text() == (K8S / "components/monitoring-operator/rules.yaml").read_text(), "run make k8s-rules"


# part: monitoring
def test_the_operator_selects_what_is_meant_for_it():
    for one in render("production", COMPONENTS):
        if one["kind"] in ("ServiceMonitor", "PrometheusRule"):
            assert one["metadata"]["labels"]["release"] == "kube-prometheus-stack"


# part: monitoring
def test_grafana_gets_each_dashboard_of_monitoring():
    labelled = [
        one
        for one in render("production", COMPONENTS)
        if one["kind"] == "ConfigMap" and one["metadata"]["labels"].get("grafana_dashboard") == "1"
    ]
    found = {name: text for one in labelled for name, text in one["data"].items()}
    folder = ROOT / "monitoring/grafana/dashboards"
    assert found == {path.name: path.read_text() for path in folder.glob("*.json")}


PIN = Pin(f"registry.example:5000/team/flowers@sha256:{'ab' * 32}", "0123456789ab", "cd" * 20)


def _make(folder: Path, target: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--silent", target, *(f"{name}={value}" for name, value in variables.items())]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_a_release_pins_image_model_and_commit(overlay, tmp_path):
    folder = copy(tmp_path)
    path = write_pin(folder, overlay, PIN)
    manifests = list(yaml.safe_load_all(kubectl("kustomize", path.parent)))
    assert _container(manifests)["image"] == PIN.image
    assert settings(manifests)["SLIPWAY_EXPECTED"] == PIN.version
    assert _pod(manifests)["metadata"]["annotations"] == {
        "slipway/model-version": PIN.version,
        "slipway/commit": PIN.commit,
    }
    assert _make(folder, "k8s-pinned", OVERLAY=overlay).returncode == 0


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_an_overlay_that_names_no_image_yet_is_not_deployed(overlay, tmp_path):
    folder = copy(tmp_path)
    path = folder / "k8s/overlays" / overlay / "kustomization.yaml"
    path.write_text(re.sub("sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", path.read_text()))
    done = _make(folder, "k8s-pinned", OVERLAY=overlay)
    assert done.returncode != 0
    assert "names no image yet" in done.stderr


def test_an_overlay_that_is_not_there_is_told_with_those_that_are(tmp_path):
    done = _make(copy(tmp_path), "k8s-pinned", OVERLAY="stagin")
    assert done.returncode != 0
    assert "There is no overlay stagin in k8s/overlays, but: " in done.stderr
    assert "staging" in done.stderr.partition("but: ")[2].split()


# part: search
def test_a_deploy_starts_no_search_and_its_workers_reach_the_database_and_nothing_else():
    manifests = render("production", ("search",))
    job = of_kind(manifests, "CronJob")["spec"]
    assert job["suspend"] is True
    assert job["jobTemplate"]["spec"]["parallelism"] > 1
    assert "completions" not in job["jobTemplate"]["spec"]  # the workers end together
    template = job["jobTemplate"]["spec"]["template"]
    labels = template["metadata"]["labels"]
    policy = of_kind(manifests, "NetworkPolicy", "slipway-search")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert {port["port"] for way in policy["egress"] for port in way["ports"]} == {5432, 53}
    assert "ingress" not in policy
    assert not of_kind(manifests, "Service")["spec"]["selector"].items() <= labels.items()
    (container,) = template["spec"]["containers"]
    option = next(one for one in main.commands["search"].params if one.name == "storage")
    assert [one["name"] for one in container["env"]] == [option.envvar]
