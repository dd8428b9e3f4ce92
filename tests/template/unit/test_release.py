import functools
import json
import os
import shutil
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest
from dvc.repo import Repo

from checkouts import make_repository, run
from pending import SCORES, put_candidate
from slipway.champion import history, parse_decision, read_decision
from slipway.model.bundle import read_bundle
from slipway.problem import SlipwayError
from slipway.release import promote, rollback
from slipway.versioning import fetch
from slipway.workspace import Workspace


def commits(workspace: Workspace) -> int:
    return int(run(workspace.root, "git", "rev-list", "--count", "HEAD"))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_clean(workspace: Workspace) -> bool:
    return run(workspace.root, "git", "status", "--porcelain") == ""


def test_promoting_makes_the_candidate_the_champion_in_one_commit(pending):
    before = commits(pending)
    candidate = read_bundle(pending.bundle)
    promote(pending)
    assert commits(pending) == before + 1
    assert is_clean(pending)
    assert files(pending.champion / "bundle") == files(pending.bundle)
    assert read_decision(pending.root).digest == candidate.digest
    assert candidate.version in run(pending.root, "git", "log", "-1", "--format=%s")


def test_the_decision_lies_beside_the_bundle(pending):
    promote(pending)
    decision = json.loads((pending.champion / "decision.json").read_bytes())
    assert decision["judged"]["verdict"] == "PROMOTE"
    assert decision["who"] == "Ada <ada@example.org>"
    assert decision["previous"] == history(pending.root)[1].decision.version
    assert decision["when"].endswith("+00:00")


@pytest.mark.parametrize(("of", "named"), [("the candidate", "r1"), ("another", None)])
def test_the_decision_names_the_candidates_run_and_no_other_ones(pending, of, named):
    digest = read_bundle(pending.bundle).digest if of == "the candidate" else "0" * 64
    pending.tracked.write_text(json.dumps({"candidate": digest, "run": "r1"}))
    assert promote(pending).run == named


def test_a_clone_pulls_the_champion_without_any_account(pending, tmp_path):
    promote(pending)
    run(tmp_path, "git", "clone", "--quiet", str(pending.root), "clone")
    fetch(tmp_path / "clone")
    assert files(tmp_path / "clone" / "champion") == files(pending.champion)


def test_promoting_the_champion_again_does_nothing(pending):
    promote(pending)
    before = commits(pending)
    assert promote(pending) is None
    assert commits(pending) == before


@pytest.mark.parametrize("verdict", ["HOLD", "REJECT"])
def test_a_verdict_that_is_not_promote_is_refused_with_its_reasons(pending, verdict):
    put_candidate(pending, "3", verdict)
    with pytest.raises(SlipwayError, match=rf"(?s)^the verdict is {verdict}.*threshold accuracy: .*at least 0.85"):
        promote(pending)


def test_force_overrules_a_verdict_and_the_reason_is_recorded(pending):
    put_candidate(pending, "3", "REJECT")
    promote(pending, force_reason="the old one is on fire")
    decision = history(pending.root)[0].decision
    assert (decision.verdict, decision.reason) == ("REJECT", "the old one is on fire")
    assert "the old one is on fire" in run(pending.root, "git", "log", "-1", "--format=%b")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"candidate": "0" * 64}, "another candidate"),
        ({"champion": None}, "another champion"),
        ({"table": "0" * 64}, "another test set"),
    ],
)
def test_a_verdict_of_something_else_is_refused_even_with_force(pending, change, words):
    verdict = json.loads(pending.verdict.read_bytes())
    pending.verdict.write_text(json.dumps({**verdict, **change}))
    with pytest.raises(SlipwayError, match=words):
        promote(pending, force_reason="I want it")


@pytest.mark.parametrize(
    ("text", "words"), [(None, "missing; `slipway run` makes it"), ("{", "makes it anew"), ("[]", "makes it anew")]
)
def test_without_a_readable_verdict_there_is_no_release(pending, text, words):
    pending.verdict.unlink()
    if text is not None:
        pending.verdict.write_text(text)
    with pytest.raises(SlipwayError, match=words):
        promote(pending)


def test_code_that_was_not_committed_is_not_released(pending):
    path = pending.root / "src" / "project" / "model.py"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(SlipwayError, match=r"the record would not say what was released: src/project/model.py"):
        promote(pending)


def test_a_remote_that_does_not_take_it_leaves_the_champion_and_the_same_call_works_later(pending):
    store = pending.root / ".dvc" / "store"
    aside = store.rename(store.with_name("aside"))
    store.write_text("in the way")
    before = commits(pending)
    with pytest.raises(SlipwayError, match="nothing was released, try again"):
        promote(pending)
    assert commits(pending) == before
    store.unlink()
    aside.rename(store)
    promote(pending)
    assert commits(pending) == before + 1
    assert is_clean(pending)


STEPS = ["_place", "write_pointer", "commit"]


def _die_at(workspace: Workspace, step: str, when: str, action) -> None:
    """Do `action` in a process that dies, without a chance to clean up, before or after a step."""
    module = sys.modules[getattr(action, "func", action).__module__]
    original = getattr(module, step)

    def die(*arguments):
        if when == "after":
            original(*arguments)
        os._exit(9)

    setattr(module, step, die)
    action(workspace)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_promotion_that_is_killed_can_be_run_again(pending, step, when):
    before = commits(pending)
    process = get_context("fork").Process(target=_die_at, args=(pending, step, when, promote))
    process.start()
    process.join()
    assert process.exitcode == 9
    promote(pending)
    assert commits(pending) == before + 1
    assert is_clean(pending)
    assert files(pending.champion / "bundle") == files(pending.bundle)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["write_pointer", "commit"])
def test_a_rollback_that_is_killed_can_be_run_again(pending, step, when):
    first = files(pending.champion)
    promote(pending)
    version = read_decision(pending.root).version
    process = get_context("fork").Process(
        target=_die_at, args=(pending, step, when, functools.partial(rollback, reason="it bites"))
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    if (step, when) != ("commit", "after"):
        rollback(pending, reason="it bites")
    assert files(pending.champion) == first
    assert history(pending.root)[0].decision.rolled_back == [version]
    assert is_clean(pending)


def _promote(root: Path) -> None:
    promote(Workspace(root))


def test_of_two_promotions_at_once_one_makes_the_commit(pending):
    before = commits(pending)
    processes = [get_context("fork").Process(target=_promote, args=(pending.root,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert commits(pending) == before + 1
    assert is_clean(pending)


def test_a_rollback_restores_the_champion_before_byte_for_byte(pending):
    first = files(pending.champion)
    promote(pending)
    assert files(pending.champion) != first
    before = commits(pending)
    rollback(pending, reason="it bites")
    assert files(pending.champion) == first
    assert commits(pending) == before + 1
    assert is_clean(pending)


def test_a_rollback_fetches_what_is_no_longer_here(pending):
    first = files(pending.champion)
    promote(pending)
    shutil.rmtree(pending.root / ".dvc" / "cache")
    rollback(pending, reason="it bites")
    assert files(pending.champion) == first


def test_a_rollback_that_cannot_fetch_leaves_the_champion(pending):
    promote(pending)
    now = files(pending.champion)
    before = commits(pending)
    shutil.rmtree(pending.root / ".dvc" / "cache")
    shutil.rmtree(pending.root / ".dvc" / "store")
    with pytest.raises(SlipwayError):
        rollback(pending, reason="it bites")
    assert commits(pending) == before
    assert files(pending.champion) == now
    assert read_decision(pending.root) == history(pending.root)[0].decision


def test_what_is_released_again_after_a_rollback_is_held_no_longer(pending):
    promote(pending)
    rollback(pending, reason="it bites")
    put_candidate(pending, "2", "HOLD")
    assert promote(pending, force_reason="it does not bite any more").rolled_back == []


def test_a_champion_can_be_named_for_a_rollback_by_the_start_of_its_version(pending):
    first = read_decision(pending.root).version
    promote(pending)
    assert rollback(pending, first[:5], reason="it bites").version == first


def test_a_later_rollback_does_not_go_back_to_what_was_rolled_back(pending):
    promote(pending)
    rollback(pending, reason="it bites")
    run(pending.root, "git", "commit", "--quiet", "--allow-empty", "--message", "Something else")
    with pytest.raises(SlipwayError, match="no earlier champion that was not rolled back"):
        rollback(pending, reason="again")


def test_a_rollback_does_not_go_back_behind_a_champion_that_was_removed(pending):
    run(pending.root, "git", "rm", "--quiet", "champion.dvc")
    run(pending.root, "git", "commit", "--quiet", "--message", "Another problem")
    with pytest.raises(SlipwayError, match="nothing was released yet"):
        rollback(pending, reason="?")
    put_candidate(pending, "2")
    promote(pending)
    with pytest.raises(SlipwayError, match="no earlier champion that was not rolled back"):
        rollback(pending, reason="?")


def test_a_version_that_never_served_or_serves_now_is_refused(pending):
    now = read_decision(pending.root).version
    with pytest.raises(SlipwayError, match=f"no champion ffff in the history; it has {now}"):
        rollback(pending, "ffff", reason="?")
    with pytest.raises(SlipwayError, match=f"{now} serves already"):
        rollback(pending, now, reason="?")


def test_the_history_says_when_from_to_score_reason_and_who(pending):
    first = read_decision(pending.root).version
    promote(pending)
    second = read_decision(pending.root).version
    rollback(pending, reason="it bites")
    found = [(r.decision.action, r.decision.previous, r.decision.version) for r in history(pending.root)]
    assert found == [("rollback", second, first), ("promote", first, second), ("promote", None, first)]
    newest = history(pending.root)[0]
    assert newest.decision.reason == "it bites"
    assert newest.decision.who == "Ada <ada@example.org>"
    assert newest.decision.scores == SCORES
    assert newest.when.startswith("20")


def test_before_the_first_release_the_history_is_empty_and_nothing_is_rolled_back(tmp_path):
    Repo.init(str(make_repository(tmp_path))).close()
    assert history(tmp_path) == []
    with pytest.raises(SlipwayError, match=r"^nothing was released yet: there is nothing to roll back$"):
        rollback(Workspace(tmp_path), reason="?")


@pytest.mark.parametrize("text", ["outs: []\n", "meta: {}\n", "meta: [", "- a\n"])
def test_a_pointer_that_does_not_say_what_was_released_is_refused(text):
    with pytest.raises(SlipwayError, match=r"champion.dvc: does not say what was released"):
        parse_decision(text, "champion.dvc")
