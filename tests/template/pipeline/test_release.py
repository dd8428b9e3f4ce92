"""A release over a network that fails, beside another one, on a protected branch; then back, and learned anew."""

import shutil
import subprocess
from pathlib import Path

import pytest

from checkouts import run
from pipeline.remotes import FIRST, SECOND, champion, clone, commit, head, pinned, pipeline, push, replaced, run_again
from pipeline.workflow import Workflow

pytestmark = pytest.mark.xdist_group("pipeline")  # they share a remote that takes a minute to make


def served(remote: Path) -> dict[str, str]:
    """What Git says is to be served: the model's version, and what production deploys."""
    return {
        "champion": champion(remote)[:12],
        **dict(zip(("image", "deployed"), pinned(remote), strict=True)),  # part: kubernetes
    }


def test_a_release_that_was_cut_off_after_its_push_goes_on_to_the_deploy(waiting, tmp_path):
    assert waiting.jobs("release").result == "success", waiting.done["release"].log
    once_more = run_again(waiting, waiting.remote, tmp_path / "again").jobs("release")
    assert once_more.result == "success", once_more.log
    assert "Released already" in once_more.summary
    assert once_more.outputs == {"commit": head(waiting.remote)}
    assert run(waiting.remote, "git", "rev-list", "--count", f"{waiting.sha}..main").strip() == "1"


def test_a_branch_that_moved_on_is_left_to_its_own_run(waiting, tmp_path):
    newer = push(waiting.remote, tmp_path / "grace", replaced("README.md", "# Slipway", "# Penguins"))
    release = waiting.jobs("release")
    assert release.result == "success", release.log
    assert "has moved on" in release.summary
    assert release.outputs == {"commit": ""}
    assert waiting.jobs("staging").result == "skipped"  # part: kubernetes
    assert head(waiting.remote) == newer


def test_for_a_protected_branch_the_release_is_proposed_and_tagged_once_it_is_merged(waiting, tmp_path):
    remote, before = waiting.remote, head(waiting.remote)
    waiting.contexts["vars"] = {"RELEASE_BY": "pull-request"}
    release = waiting.jobs("release")
    assert release.result == "success", release.log
    assert release.outputs == {"commit": ""}
    assert head(remote) == before
    (branch,) = run(remote, "git", "for-each-ref", "--format=%(refname:short)", "refs/heads/release").split()
    run(remote, "git", "update-ref", "refs/heads/main", branch)
    after = pipeline(remote, tmp_path / "merged", image=FIRST)
    assert after.jobs("model", "release").result == "success", after.done["release"].log
    version = served(remote)["champion"]
    assert branch == f"release/{version}"
    assert pinned(remote) == (SECOND, version)  # part: kubernetes
    assert f"model/{version}" in run(remote, "git", "tag").split()


def test_a_rollback_serves_the_model_before_in_its_own_image_and_stays(waiting, tmp_path):
    remote, before = waiting.remote, served(waiting.remote)
    assert waiting.jobs("release").result == "success", waiting.done["release"].log
    assert served(remote) != before
    rollback = Workflow("rollback.yml", remote, tmp_path / "rollback", inputs={"version": ""})
    done = rollback.jobs("rollback")
    assert done.result == "success", done.log
    assert served(remote) == before
    assert done.outputs == {"commit": head(remote)}
    assert run(remote, "git", "rev-list", "--count", f"{waiting.sha}..main").strip() == "2"
    after = pipeline(remote, tmp_path / "after")
    assert after.jobs("model").outputs["verdict"] == "HOLD", after.done["model"].log
    assert "released before, and rolled back" in after.done["model"].summary
    assert after.jobs("release").result == "success"
    assert served(remote) == before


def test_a_version_that_never_served_is_not_rolled_back_to_and_is_no_command(remote, tmp_path):
    before = head(remote)
    version = "$(touch injected); touch injected"
    rollback = Workflow("rollback.yml", remote, tmp_path / "rollback", inputs={"version": version})
    done = rollback.jobs("rollback")
    assert done.result == "failure"
    assert "there is no champion" in done.log
    assert not (done.folder / "injected").exists()
    assert head(remote) == before


@pytest.fixture
def imported(remote, tmp_path) -> Path:
    """Where the data of a remote's project comes from: `dvc update` fetches it."""
    source, there = tmp_path / "source", clone(remote, tmp_path / "ada")
    shutil.copytree(there / "data", source)
    for command in ("rm -r data data.dvc", f"dvc import-url --quiet {source} data", "git add data.dvc"):
        run(there, *command.split()) if "rm" not in command else subprocess.run(command.split(), cwd=there, check=True)
    commit(there, "The data is imported")
    run(there, "git", "push", "--quiet")
    return source


def test_retraining_without_new_data_proposes_nothing(remote, imported, tmp_path):
    retrain = Workflow("retrain.yml", remote, tmp_path / "retrain", inputs={"ask": False})
    done = retrain.jobs("retrain")
    assert done.result == "success", done.log
    assert "Nothing new" in done.summary
    assert run(remote, "git", "branch", "--format=%(refname:short)").split() == ["main"]


def test_retraining_on_new_data_proposes_a_candidate_with_its_data(remote, imported, tmp_path):
    path = imported / "penguins-raw.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-3]))
    retrain = Workflow("retrain.yml", remote, tmp_path / "retrain", inputs={"ask": False})
    done, before = retrain.jobs("retrain"), head(remote)
    assert done.result == "success", done.log
    assert head(remote) == before
    (branch,) = run(remote, "git", "for-each-ref", "--format=%(refname:short)", "refs/heads/retrain").split()
    assert f"Retrain: candidate {branch.removeprefix('retrain/')}" in done.summary
    there = tmp_path / "reviewed"
    run(remote, "git", "clone", "--quiet", "--branch", branch, str(remote), str(there))
    run(there, "dvc", "pull", "--quiet")
    assert len((there / "data/penguins-raw.csv").read_text().splitlines()) == len(lines) - 3
    assert (there / "build/bundle/manifest.json").exists()


def test_data_that_became_bad_is_not_proposed(remote, imported, tmp_path):
    path = imported / "penguins-raw.csv"
    path.write_text(path.read_text().replace(",3750,", ",62500,"))
    retrain = Workflow("retrain.yml", remote, tmp_path / "retrain", inputs={"ask": False})
    done = retrain.jobs("retrain")
    assert done.result == "failure"
    assert "Nothing is proposed" in done.summary
    assert "62500" in done.log
    assert run(remote, "git", "branch", "--format=%(refname:short)").split() == ["main"]
