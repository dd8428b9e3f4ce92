"""A namespace of the cluster that kubectl's current context names, with the service in it, and clients beside it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
NAMESPACE = "slipway-test"
CLIENTS = "slipway-test-clients"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
ROLLOUT_SECONDS = 180
DEADLINE_SECONDS = 60  # what a rollout that is held back costs the test

TOLD = 20  # so many lost requests end the test
# Each request has a connection of its own and is tried once, so whatever is lost on the way shows.
CLIENT = """
import json, sys, threading, time, urllib.request
url, body, workers, TOLD = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3]), int(sys.argv[4])
answered, lost, lock = 0, [], threading.Lock()
def work():
    global answered
    while True:
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                response.read()
            fault = None
        except Exception as error:
            fault = f"{time.time():.1f} {error!r}"
        with lock:
            answered += fault is None
            lost.extend([fault] if fault else [])
            if fault or answered % 10 == 0:
                print(json.dumps({"answered": answered, "lost": lost[-TOLD:]}), flush=True)
        time.sleep(0.02)
for _ in range(workers):
    threading.Thread(target=work).start()
"""


def kubectl(*arguments: str | Path, content: Any = None, ok: bool = True) -> subprocess.CompletedProcess[str]:
    """Run kubectl; `content` is what `-f -` reads. By default it must succeed."""
    command = ["kubectl", *map(str, arguments)]
    given = None if content is None else json.dumps(content)
    done = subprocess.run(command, input=given, text=True, capture_output=True, check=False)
    assert done.returncode == 0 or not ok, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done


def here(*arguments: str | Path, **options: Any) -> str:
    """Run kubectl in the service's namespace; what it prints."""
    return kubectl("-n", NAMESPACE, *arguments, **options).stdout


def begin(image: str, folder: Path, release: Path) -> None:
    """Deploy the local overlay for the first time, in a namespace of its own, and make one for clients."""
    shutil.copytree(ROOT / "k8s", folder / "k8s")
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    labels = {"slipway-client": "true", **RESTRICTED}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CLIENTS, "labels": labels}}
    kubectl("apply", "--server-side", "-f", "-", content=namespace)
    done = deploy(image, folder, release)
    assert done.returncode == 0, done.stdout + done.stderr
    # The autoscaler makes it two; until then there is one, whatever the rollout says.
    here("wait", "--for=jsonpath={.spec.replicas}=2", f"--timeout={ROLLOUT_SECONDS}s", "deployment/slipway")
    rolled_out()


def deploy(image: str, folder: Path, release: Path, *, code: str = "") -> subprocess.CompletedProcess[str]:
    """Deploy with an image, and with other code than the server's if given."""
    container = "/spec/template/spec/containers/0"
    patch: list[dict[str, Any]] = [
        {"op": "replace", "path": f"{container}/image", "value": image},
        {"op": "replace", "path": "/spec/progressDeadlineSeconds", "value": DEADLINE_SECONDS},
    ]
    if code:
        patch.append({"op": "add", "path": f"{container}/command", "value": ["python", "-c", code]})
    content = {
        "resources": ["../local"],
        "namespace": NAMESPACE,
        "patches": [{"target": {"kind": "Deployment"}, "patch": json.dumps(patch)}],
    }
    overlay = folder / "k8s/overlays/test"
    overlay.mkdir(exist_ok=True)
    (overlay / "kustomization.yaml").write_text(json.dumps(content))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [folder / ".ci/deploy", "test"]
    environment = os.environ | {"PATH": path, "RELEASE": str(release)}
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)


def remove() -> None:
    """Take it all away."""
    kubectl("delete", "namespace", NAMESPACE, CLIENTS, "--ignore-not-found")


def rolled_out(*, ok: bool = True) -> str:
    """Wait until the rollout has succeeded, or (not ok) has failed; what kubectl said."""
    command = ("rollout", "status", f"--timeout={ROLLOUT_SECONDS}s", "deployment/slipway")
    done = kubectl("-n", NAMESPACE, *command, ok=False)
    assert (done.returncode == 0) == ok, f"{done.stdout}{done.stderr}\n{here('get', 'pods,events')}"
    return done.stdout + done.stderr


def get(what: str, path: str) -> Any:
    """What a JSONPath finds in an object of the service's namespace."""
    return json.loads(here("get", what, "-o", f"jsonpath={{{path}}}"))


@contextlib.contextmanager
def forwarded() -> Iterator[tuple[str, str]]:
    """Forward the Service's two ports to this machine; their URLs."""
    command = ["kubectl", "-n", NAMESPACE, "port-forward", "service/slipway", ":80", ":8001"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            found: dict[str, str] = {}
            assert process.stdout
            for line in process.stdout:
                if match := re.match(r"Forwarding from (127\.0\.0\.1:\d+) -> (\d+)", line):
                    found[match[2]] = f"http://{match[1]}"
                if len(found) == 2:
                    break
            assert len(found) == 2, "kubectl port-forward has failed"
            yield found["8000"], found["8001"]
        finally:
            process.terminate()


class Load:
    """Clients in the cluster that ask the Service without a pause, until the end of the `with` block."""

    def __init__(self, image: str, row: dict[str, Any], *, workers: int = 4) -> None:
        address = here("get", "service", "slipway", "-o", "jsonpath={.spec.clusterIP}")
        url = f"http://[{address}]/predict" if ":" in address else f"http://{address}/predict"
        hardened = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        container = {
            "name": "load",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-c", CLIENT, url, json.dumps(row), str(workers), str(TOLD)],
            "securityContext": hardened,
        }
        spec = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [container],
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        }
        self._pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "load"}, "spec": spec}

    def __enter__(self) -> Load:
        kubectl("-n", CLIENTS, "delete", "pod", "load", "--ignore-not-found")
        kubectl("-n", CLIENTS, "create", "-f", "-", content=self._pod)
        kubectl("-n", CLIENTS, "wait", "--for=condition=Ready", "--timeout=60s", "pod/load")
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        kubectl("-n", CLIENTS, "delete", "pod", "load", "--wait=true")

    def _told(self) -> Iterator[dict[str, Any]]:
        """Follow what the clients tell, from now on."""
        command = ["kubectl", "-n", CLIENTS, "logs", "--follow", "--tail=1", "load"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                for line in process.stdout:
                    yield json.loads(line)
            finally:
                process.terminate()

    def go_on(self, requests: int = 300) -> list[str]:
        """Wait until so many more were answered, or TOLD were lost; those that were lost last."""
        until = None
        for told in self._told():
            until = until or told["answered"] + requests
            if told["answered"] >= until or len(told["lost"]) == TOLD:
                return list(told["lost"])
        raise AssertionError("the clients have stopped")
