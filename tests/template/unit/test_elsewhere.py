"""The release of a candidate that was made on another machine: its rows and its other results are made here."""

import shutil

import pytest
import yaml

from checkouts import run
from slipway.model.bundle import read_bundle
from slipway.problem import SlipwayError
from slipway.release import Remote, publish
from slipway.workspace import Workspace
from unit.test_publish import SECOND, on_remote, remote_of, with_remote


@pytest.fixture
def trained(challenged, tmp_path) -> Workspace:
    """A candidate that the pipeline made and the gate lets pass, in a checkout with a remote."""
    return with_remote(challenged, tmp_path)


def _lock(workspace: Workspace) -> None:
    """Write the candidate into dvc.lock, as `slipway run` does."""
    run(workspace.root, "dvc", "commit", "--quiet", "--force")


def test_a_candidate_from_another_machine_is_released_though_its_rows_are_not_here(trained, tmp_path, monkeypatch):
    run(tmp_path, "git", "clone", "--quiet", str(remote_of(trained)), "elsewhere")
    there = Workspace(tmp_path / "elsewhere")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        run(there.root, "git", "config", key, value)
    (there.root / "build").mkdir()
    for name in ("bundle", "evaluation"):
        shutil.copytree(trained.root / "build" / name, there.root / "build" / name)
    shutil.copy(trained.verdict, there.verdict)
    _lock(trained)
    shutil.copy(trained.root / "dvc.lock", there.root / "dvc.lock")
    monkeypatch.chdir(there.root)
    publish(there, Remote(), SECOND)
    version = read_bundle(trained.bundle).version
    assert on_remote(trained)["champion"] == version
    run(tmp_path, "git", "clone", "--quiet", str(remote_of(trained)), "grace")
    run(tmp_path / "grace", "dvc", "pull", "--quiet")  # everything that the release names
    assert (tmp_path / "grace/build/table/test.parquet").exists()


def test_rows_that_are_not_the_candidates_release_nothing(trained, monkeypatch):
    _lock(trained)
    shutil.rmtree(trained.table)
    path = trained.root / "dvc.lock"
    lock = yaml.safe_load(path.read_text())
    lock["stages"]["train"]["deps"][0]["md5"] = "0" * 32
    path.write_text(yaml.safe_dump(lock, sort_keys=False))
    monkeypatch.chdir(trained.root)
    with pytest.raises(SlipwayError, match="do not make the rows"):
        publish(trained, Remote(), SECOND)
