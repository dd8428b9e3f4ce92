"""A remote whose first model was released, for a test to push to."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.engine import need_engine
from pipeline.remotes import BETTER, FIRST, make_remote, pipeline, push, run_again
from pipeline.workflow import Workflow


@pytest.fixture(scope="session", autouse=True)
def _github(tmp_path_factory):
    """A stand-in for GitHub's command: it knows no pull request and no release, and tells $GH_LOG how it is called.

    The last run ended as $GH_LAST says. It refuses to make what $GH_REFUSES names: a pull request (pr), a release.
    """
    command = tmp_path_factory.mktemp("bin") / "gh"
    command.write_text(
        """#!/bin/sh
        echo "$@" >>"${GH_LOG:-/dev/null}"
        case "$1 $2" in
          "run list") echo "${GH_LAST:-success}" ;;
          "pr list") ;;
          *create) [ "$1" != "${GH_REFUSES:-}" ] ;;
          *) exit 1 ;;
        esac
        """
    )
    command.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        tools = (str(command.parent), str(Path(sys.executable).parent), os.environ["PATH"])
        patch.setenv("PATH", os.pathsep.join(tools))
        yield


@pytest.fixture
def gh(tmp_path, monkeypatch) -> Path:
    """How GitHub's command was called."""
    monkeypatch.setenv("GH_LOG", str(tmp_path / "gh.log"))
    return tmp_path / "gh.log"


@pytest.fixture(scope="session")
def pushed(penguins, tmp_path_factory) -> tuple[Path, Workflow]:
    """A remote after its first push, and that run of the pipeline; only for copying and reading."""
    folder = tmp_path_factory.mktemp("pushed")
    remote = make_remote(folder)
    workflow = pipeline(remote, folder / "run", image=FIRST, env={"GH_LOG": str(folder / "gh.log")})
    workflow.jobs("model", "release")
    return remote, workflow


@pytest.fixture
def remote(pushed: tuple[Path, Workflow], tmp_path: Path) -> Path:
    """A remote of a project whose first model was released, in the image FIRST."""
    shutil.copytree(pushed[0], tmp_path / "remote.git")
    return tmp_path / "remote.git"


@pytest.fixture(scope="session")
def judged(pushed, tmp_path_factory) -> tuple[Path, Workflow]:
    """A remote to which a good change was pushed, and its run up to the verdict; only for copying."""
    folder = tmp_path_factory.mktemp("judged")
    shutil.copytree(pushed[0], folder / "remote.git")
    push(folder / "remote.git", folder / "ada", BETTER)
    workflow = pipeline(folder / "remote.git", folder / "run")
    assert workflow.jobs("model").outputs["verdict"] == "PROMOTE", workflow.done["model"].log
    return folder / "remote.git", workflow


@pytest.fixture
def waiting(judged, tmp_path) -> Workflow:
    """A run whose release is next, over a remote for a test to break."""
    remote, workflow = judged
    shutil.copytree(remote, tmp_path / "remote.git")
    return run_again(workflow, tmp_path / "remote.git", tmp_path / "run")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of a real registry, which is empty."""
    need_engine()
    if not shutil.which("docker-registry"):
        pytest.skip("needs docker-registry (Debian's package of that name)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = tmp_path / "registry.yml"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "registry")}}
    settings.write_text(json.dumps({"version": 0.1, "storage": storage, "http": {"addr": address}}))
    command = ["docker-registry", "serve", settings]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("listening on" in line for line in process.stderr)
        yield address
        process.kill()
