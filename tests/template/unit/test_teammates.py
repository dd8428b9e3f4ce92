"""What others did meanwhile is kept, and what an interrupted command left behind is not taken for a release."""

import os
import shutil
import sys

import pytest

from checkouts import run
from slipway.champion import fetch_champion, read_decision, serving_now
from slipway.gate import judge
from slipway.problem import SlipwayError
from slipway.release import promote, rollback
from slipway.versioning import DATA, fetch, git, pointed
from slipway.workspace import Workspace


def change_data(workspace: Workspace, old: str = "3750", new: str = "3751") -> None:
    path = next(workspace.data.iterdir())
    text = path.read_text()
    assert old in text
    path.chmod(0o644)
    path.write_text(text.replace(old, new, 1))


def cell(workspace: Workspace, text: str) -> bool:
    return text in next(workspace.data.iterdir()).read_text()


@pytest.fixture
def teammates(released, tmp_path) -> tuple[Workspace, Workspace]:
    """Two checkouts of one repository; in the first one, data was corrected, and that was pushed."""
    other = tmp_path / "other"
    shutil.copytree(released.root, other, symlinks=True)
    change_data(released, "Anvers", "ANVERS")
    run(released.root, "dvc", "add", "--quiet", "data")
    run(released.root, "dvc", "push", "--quiet")
    run(released.root, "git", "add", ".")
    run(released.root, "git", "commit", "--quiet", "--message", "Correct a cell")
    run(other, "git", "pull", "--quiet", str(released.root), "main")
    return released, Workspace(other)


def test_a_teammates_data_is_fetched_and_not_taken_back(teammates):
    theirs, ours = teammates
    assert not cell(ours, "ANVERS")
    said = fetch(ours.root)
    assert cell(ours, "ANVERS")
    assert said[0].startswith("fetched what data.dvc names instead of ")
    assert pointed(ours.root, DATA) == pointed(theirs.root, DATA)


def test_the_data_of_a_branch_is_fetched_when_it_is_checked_out(teammates):
    theirs, _ = teammates
    run(theirs.root, "git", "checkout", "--quiet", "-b", "before", "HEAD~1")
    fetch(theirs.root)
    assert not cell(theirs, "ANVERS")


def test_data_that_was_changed_here_stays_though_a_teammate_changed_it_too(teammates):
    _, ours = teammates
    change_data(ours, "Torgersen", "TORGERSEN")
    assert fetch(ours.root) == []
    assert cell(ours, "TORGERSEN")


def test_a_change_of_the_data_is_named_in_the_releases_commit(challenged):
    before = pointed(challenged.root, DATA)
    change_data(challenged, "Anvers", "ANVERS")
    run(challenged.root, "dvc", "add", "--quiet", "data")
    promote(challenged)
    message = git(challenged.root, "log", "-1", "--format=%B")
    assert f"Data: {before[:8]} -> {pointed(challenged.root, DATA)[:8]}" in message


def test_the_champion_of_a_pull_is_fetched_before_anything_is_judged_or_served(challenged, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(challenged.root, other, symlinks=True)
    promote(challenged)
    run(other, "git", "pull", "--quiet", str(challenged.root), "main")
    assert judge(Workspace(other)).champion == read_decision(challenged.root).digest
    assert fetch_champion(other) == read_decision(challenged.root)


@pytest.mark.parametrize("step", ["write_pointer", "_push", "commit"])
def test_a_promotion_that_was_interrupted_is_not_taken_for_a_release(challenged, monkeypatch, step):
    before = serving_now(challenged.root)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[promote.__module__], step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            promote(challenged)
    verdict = judge(challenged)
    assert verdict.champion == before.digest
    assert verdict.verdict == "PROMOTE"
    fetch(challenged.root)
    assert promote(challenged).previous == before.version


def test_a_rollback_that_is_repeated_rolls_back_once(challenged):
    first = read_decision(challenged.root).version
    promote(challenged)
    done = rollback(challenged, reason="it bites")
    head = git(challenged.root, "rev-parse", "HEAD")
    assert rollback(challenged, reason="it bites") == done
    assert git(challenged.root, "rev-parse", "HEAD") == head
    assert read_decision(challenged.root).version == first


def test_the_lock_of_a_git_that_was_killed_is_removed(challenged):
    (challenged.root / ".git" / "index.lock").touch()
    assert promote(challenged)


def test_a_git_that_fails_is_not_taken_for_nothing_was_released(released):
    os.chown(released.root, 12345, 12345)
    try:
        if run(released.root, "sh", "-c", "git status >/dev/null 2>&1; echo $?").strip() == "0":
            pytest.fail("git trusts every folder here: safe.directory is set")
        with pytest.raises(SlipwayError, match="dubious ownership"):
            judge(released)
    finally:
        os.chown(released.root, os.getuid(), os.getgid())
