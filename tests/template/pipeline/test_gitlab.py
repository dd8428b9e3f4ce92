"""What a push to GitLab leads to, by the jobs of .gitlab-ci.yml as they are written."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from checkouts import run
from ops.engine import docker
from pipeline.gitlab import VERSION, Gitlab
from pipeline.remotes import FIRST, SECOND, champion, head, pinned

pytestmark = pytest.mark.xdist_group("pipeline")


@pytest.fixture(scope="module")
def tool(tmp_path_factory) -> Path:
    """gitlab-ci-local, which runs a job of .gitlab-ci.yml in a shell."""
    if not (shutil.which("npm") and shutil.which("rsync")):
        pytest.skip("needs npm and rsync (Debian's packages of that name)")
    folder = tmp_path_factory.mktemp("gitlab-ci-local")
    command = ["npm", "install", "--silent", "--no-audit", "--prefix", folder, f"gitlab-ci-local@{VERSION}"]
    subprocess.run(command, check=True, cwd=folder)
    return folder / "node_modules/.bin/gitlab-ci-local"


class Api(BaseHTTPRequestHandler):
    """GitLab's REST API, which knows no release and takes one."""

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        self.server.taken.append(self.rfile.read(int(self.headers["Content-Length"])).decode())  # type: ignore[attr-defined]
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def api() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        server.taken = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def released(judged, tool, api, tmp_path_factory) -> Gitlab:
    """The pipeline of a good change, up to its release."""
    folder = tmp_path_factory.mktemp("gitlab")
    shutil.copytree(judged[0], folder / "remote.git")
    pipeline = Gitlab(folder / "remote.git", folder / "run", tool)
    pipeline.job("Documents")
    assert "reproduce the same bytes" in " ".join(pipeline.job("Model").split())
    pipeline.job("Release", PIN_IMAGE=SECOND, CI_API_V4_URL=f"http://127.0.0.1:{api.server_port}", CI_PROJECT_ID="1")
    return pipeline


def test_a_good_change_becomes_the_champion_in_one_commit_with_its_tag(released, api):
    remote = released.remote
    version = champion(remote)[:12]
    assert pinned(remote) == (SECOND, version)  # part: kubernetes
    assert run(remote, "git", "rev-parse", "main^").strip() == released.sha
    assert run(remote, "git", "rev-parse", f"model/{version}^{{commit}}").strip() == head(remote)
    assert released.outputs["commit"] == head(remote)
    assert f"tag_name=model%2F{version}" in api.taken[0]


def test_what_model_hands_on_is_signed_and_holds_no_rows(released):
    handed_on = [path.name for path in (released.folder / "artifacts").rglob("*") if path.is_file()]
    assert {"manifest.json", "verdict.json", "report.md", "dvc.lock"} <= set(handed_on)
    assert "bundle.sig" in handed_on  # part: signing
    assert not [name for name in handed_on if name.endswith(".parquet")]


def test_the_image_is_published_and_handed_on_by_its_digest(released, registry, tmp_path):
    docker("import", "/dev/null", "slipway:local")
    archive = released.folder / "artifacts/build/image.tar.gz"
    subprocess.run(f"docker save slipway:local | gzip >{archive}", shell=True, check=True)
    name = f"{registry}/ada/penguins"
    released.job(
        "Publish", CI_REGISTRY=registry, CI_REGISTRY_IMAGE=name, CI_REGISTRY_USER="a", CI_REGISTRY_PASSWORD="b"
    )
    assert released.outputs["PIN_IMAGE"].startswith(f"{name}@sha256:")
    docker("pull", released.outputs["PIN_IMAGE"])


def test_a_rollback_restores_the_model_before_in_its_own_image(released, tool, tmp_path):
    shutil.copytree(released.remote, tmp_path / "remote.git")
    Gitlab(tmp_path / "remote.git", tmp_path / "run", tool, source="web").job("Rollback", VERSION="")
    assert champion(tmp_path / "remote.git") != champion(released.remote)
    assert pinned(tmp_path / "remote.git")[0] == FIRST  # part: kubernetes


def test_a_scheduled_retraining_proposes_its_candidate(judged, tool, tmp_path):
    remote = tmp_path / "remote.git"
    shutil.copytree(judged[0], remote)
    before = head(remote)
    Gitlab(remote, tmp_path / "run", tool, source="schedule").job("Retrain")
    (branch,) = run(remote, "git", "for-each-ref", "--format=%(refname:short)", "refs/heads/retrain").split()
    assert run(remote, "git", "rev-parse", f"{branch}^").strip() == before == head(remote)
