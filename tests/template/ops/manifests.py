"""The manifests as kustomize renders them, for any overlay with any components."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
K8S = ROOT / "k8s"
OVERLAYS = ("local", "staging", "production")
COMPONENTS = (
    "monitoring-operator",  # part: monitoring
    "ingress",
    "api-keys",
    "predictions",
    "shadow",
    "search",  # part: search
    "predict",  # part: predict-image
    "canary",  # part: monitoring
)
COMBINATIONS = [
    *((overlay, ()) for overlay in OVERLAYS),
    *(("production", (component,)) for component in COMPONENTS),
    *((overlay, COMPONENTS) for overlay in OVERLAYS),
]
Manifest = dict[str, Any]


def kubectl(*arguments: str | Path) -> str:
    """Run kubectl; what it prints. Skips the test without it."""
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    done = subprocess.run(["kubectl", *map(str, arguments)], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def copy(folder: Path) -> Path:
    """Copy what the manifests are made of, for a test to change."""
    shutil.copytree(K8S, folder / "k8s")
    shutil.copytree(ROOT / "monitoring", folder / "monitoring")  # part: monitoring
    shutil.copy(ROOT / "Makefile", folder)
    return folder


@functools.cache
def render(overlay: str, components: tuple[str, ...] = ()) -> list[Manifest]:
    """Render an overlay as if these components, and no others, were named in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = copy(Path(name)) / "k8s" / "overlays" / overlay
        path = folder / "kustomization.yaml"
        content = yaml.safe_load(path.read_text())
        content["components"] = [f"../../components/{component}" for component in components]
        path.write_text(yaml.safe_dump(content))
        return list(yaml.safe_load_all(kubectl("kustomize", folder)))


def of_kind(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one object of a kind (and name)."""
    (found,) = (one for one in manifests if one["kind"] == kind and name in (None, one["metadata"]["name"]))
    return found


def settings(manifests: list[Manifest]) -> dict[str, str]:
    """What the container gets from the ConfigMap."""
    deployment = of_kind(manifests, "Deployment")
    (source,) = deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    found: dict[str, str] = of_kind(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found


def mebibytes(quantity: str) -> int:
    """A quantity of memory."""
    found = re.fullmatch(r"(\d+)Mi", quantity)
    assert found, quantity
    return int(found[1])
