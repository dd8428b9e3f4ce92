"""The image as a cluster runs it: run by `make image-test`, which names the image ($IMAGE) and its release.

The pipeline's job Image does it, and so the test of that job (tests/template/pipeline/test_image.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass

import pytest

from ops.engine import (
    BASE,
    HARDENED,
    ROOT,
    Container,
    copy_makefiles,
    docker,
    inspect,
    log_line,
    need_engine,
    run,
)
from slipway.cli.smoke import Service, smoke
from slipway.model.bundle import MANIFEST, Bundle, read_bundle

READY_SECONDS = 60  # long enough for any machine; how long it takes is measured elsewhere
MEGABYTES_AT_MOST = {"onnx": 220, "skops": 420}  # besides the bundle, whose size is the gate's to judge

IN_THE_IMAGE = """
import importlib.metadata, json, os, pathlib, sys
files = [str(path.relative_to("/opt/slipway")) for path in pathlib.Path("/opt/slipway").rglob("*") if path.is_file()]
writable = [
    top for top, _, _ in os.walk("/")
    if os.access(top, os.W_OK)
    and top not in ("/tmp", "/var/tmp", "/run/lock")
    and not top.startswith(("/proc", "/dev", "/sys"))
]
packages = sorted(item.name.lower().replace("_", "-") for item in importlib.metadata.distributions())
print(json.dumps({"files": files, "writable": writable, "packages": packages, "uid": os.getuid()}))
"""


@dataclass(frozen=True)
class Image:
    """An image, and the bundle that it should serve."""

    name: str
    bundle: Bundle


@pytest.fixture(scope="module")
def image() -> Image:
    need_engine()
    return Image(os.environ["IMAGE"], read_bundle(ROOT / os.environ["RELEASE"] / "bundle"))


@pytest.fixture(scope="module")
def inside(image: Image) -> dict[str, list[str]]:
    """What a process in the image finds. The root is writable here, so that it is the permissions that are seen."""
    said = docker("run", "--rm", "--network", "none", "--entrypoint", "python", image.name, "-c", IN_THE_IMAGE)
    found: dict[str, list[str]] = json.loads(said)
    return found


def test_serves_its_golden_rows_as_a_cluster_runs_it_and_ends_when_told(image):
    # Without a shell, too: where there is none, nothing of the image may call for one.
    options = [*HARDENED, "--publish", "127.0.0.1::8000", "--volume", "/dev/null:/bin/sh:ro"]
    with Container(image.name, *options) as container:
        golden = len(image.bundle.examples["rows"])
        assert smoke(Service(container.url), image.bundle, wait=READY_SECONDS) == golden
        assert container.stop() == 0


def test_starts_and_is_healthy_with_no_network(image):
    with Container(image.name, *HARDENED, "--network", "none", "--health-interval", "1s") as container:
        assert container.health() == "healthy"
        assert "telemetry" not in container.logs()  # of ONNX Runtime, which says so when it is on


def test_is_unhealthy_while_it_refuses_its_bundle(image):
    options = ["--network", "none", "--env", f"SLIPWAY_EXPECTED={'0' * 12}", "--health-interval", "200ms"]
    with Container(
        image.name, *HARDENED, *options, "--health-start-period", "1ms", "--health-retries", "2"
    ) as container:
        assert "expected is 000000000000" in log_line(container.id, '"refused"')
        assert container.health() == "unhealthy"


def test_runs_as_a_number_that_may_write_nowhere(image, inside):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", inspect(image.name)["Config"]["User"])
    assert inside["uid"] == 65532
    assert inside["writable"] == []


def test_holds_the_serving_part_alone(inside):
    top = {file.split("/")[1] for file in inside["files"] if file.startswith("slipway/")}
    assert top - {"__pycache__"} == {"__init__.py", "contract", "model", "problem", "serving"}
    tops = {re.sub(r"-.*\.dist-info", ".dist-info", file.split("/")[0]) for file in inside["files"]}
    assert tops == {"project", "slipway", "Slipway.dist-info", "champion"}


def test_holds_the_packages_of_its_runtime_and_no_others(image, inside):
    locks = ["requirements.txt" if image.bundle.manifest.runtime == "onnx" else "requirements-skops.txt"]
    locks += ["requirements-store.txt"] if os.environ.get("STORE") else []
    locks += ["requirements-signing.txt"] if os.environ.get("SIGNING") else []  # part: signing
    text = "".join((ROOT / lock).read_text() for lock in locks)
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    assert set(inside["packages"]) <= locked | {"slipway"}  # a lock has also what other systems need
    assert {"slipway", "uvicorn", "numpy", "onnxruntime"} <= set(inside["packages"])
    assert not {"mlflow", "dvc", "great-expectations", "pip", "setuptools"} & set(inside["packages"])


def test_names_what_it_is_made_of(image, inside):
    labels = inspect(image.name)["Config"]["Labels"]
    manifest = image.bundle.manifest
    told = {key.removeprefix("org.opencontainers.image."): value for key, value in labels.items()}
    assert told["title"] == manifest.name
    assert told["version"] == image.bundle.version
    assert told["slipway.model.digest"] == image.bundle.digest
    assert told["slipway.data.digest"] == manifest.data
    assert re.fullmatch("[0-9a-f]{40}", told["revision"])
    assert "@" not in told["source"]  # no token of a clone's URL
    shown = docker("run", "--rm", "--entrypoint", "cat", image.name, f"/opt/slipway/champion/bundle/{MANIFEST}")
    assert hashlib.sha256(f"{shown}\n".encode()).hexdigest() == image.bundle.digest


def test_is_small(image):
    added = inspect(image.name)["Size"] - inspect(BASE)["Size"]
    bundle = sum(map(len, image.bundle.files.values()))
    assert added - bundle < MEGABYTES_AT_MOST[image.bundle.manifest.runtime] * 1_000_000


def test_needs_no_shell(image):
    config = inspect(image.name)["Config"]
    assert config["Entrypoint"] == ["python", "-m", "slipway.serving"]
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]


def test_its_sbom_lists_its_packages(image, inside, tmp_path):
    copy_makefiles(tmp_path)
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    release = os.environ["RELEASE"]
    (tmp_path / release).symlink_to(ROOT / release)
    run("make", "-o", "setup", "-o", ".venv/.done", "sbom", f"IMAGE={image.name}", f"RELEASE={release}", cwd=tmp_path)
    sbom = json.loads((tmp_path / "build/sbom.cdx.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    *packages, model, data = sbom["components"]
    listed = {item["name"].lower().replace("_", "-") for item in packages}
    assert listed == set(inside["packages"]) - {"slipway"}
    assert all(item["purl"].startswith("pkg:pypi/") for item in packages)
    assert (model["type"], data["type"]) == ("machine-learning-model", "data")
