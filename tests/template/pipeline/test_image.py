"""The image of a run: built, tried as a cluster runs it, listed, saved; then pushed to a registry, and pinned."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from ops.engine import docker
from pipeline.remotes import pinned

pytestmark = pytest.mark.xdist_group("pipeline")
MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def no_scanner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Go to build the scanner with, which takes minutes: the job warns, and goes on."""
    go = tmp_path / "no-go/go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(go.parent), prepend=":")


def test_the_image_that_was_tried_is_published_and_pinned_by_its_digest(waiting, registry, no_scanner):
    waiting.env |= {"REGISTRY": registry}
    image = waiting.jobs("image")
    assert image.result == "success", image.log
    assert "10 passed" in image.log
    assert "::warning::The scan of the image found something, or could not be made" in image.log  # part: scan
    kept = waiting.folder / "artifacts/image"
    assert {path.name for path in kept.iterdir()} == {"image.tar.gz", "sbom.cdx.json"}
    published = waiting.jobs("publish")
    assert published.result == "success", published.log
    assert waiting.jobs("release").result == "success", waiting.done["release"].log
    name = f"{registry}/ada/penguins"
    digest = digest_of(f"http://{registry}/v2/ada/penguins/manifests/{waiting.sha}")
    # part: kubernetes
    version = waiting.done["model"].log.split("candidate ")[1][:12]
    assert pinned(waiting.remote) == (f"{name}@{digest}", version)
    # end: kubernetes
    labels = json.loads(docker("inspect", f"{name}@{digest}"))[0]["Config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == waiting.sha
    attested = published.actions["actions/attest"]
    assert attested["subject-digest"] == digest
    assert json.loads((published.folder / attested["sbom-path"]).read_text())["serialNumber"].startswith("urn:uuid:")
    assert waiting.jobs("green").result == "success"


def digest_of(address: str) -> str:
    """The digest of an image in a registry."""
    request = urllib.request.Request(address, headers={"Accept": MANIFESTS})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.headers["Docker-Content-Digest"]
