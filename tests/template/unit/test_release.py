import functools
import json
import os
import shutil
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest

from checkouts import commit_params, run
from slipway.champion import history, parse_decision, read_decision
from slipway.gate import judge
from slipway.model.bundle import read_bundle
from slipway.problem import SlipwayError
from slipway.release import promote, rollback
from slipway.workspace import Workspace


def commits(workspace: Workspace) -> int:
    return int(run(workspace.root, "git", "rev-list", "--count", "HEAD"))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_clean(workspace: Workspace) -> bool:
    return run(workspace.root, "git", "status", "--porcelain") == ""


def test_promoting_makes_the_candidate_the_champion_in_one_commit(challenged):
    before = commits(challenged)
    candidate = read_bundle(challenged.bundle)
    promote(challenged)
    assert commits(challenged) == before + 1
    assert is_clean(challenged)
    assert files(challenged.champion / "bundle") == files(challenged.bundle)
    assert read_decision(challenged.root).digest == candidate.digest
    assert candidate.version in run(challenged.root, "git", "log", "-1", "--format=%s")


def test_the_decision_lies_beside_the_bundle(challenged):
    promote(challenged)
    decision = json.loads((challenged.champion / "decision.json").read_bytes())
    assert decision["judged"]["verdict"] == "PROMOTE"
    assert decision["who"] == "Ada <ada@example.org>"
    assert decision["previous"] == history(challenged.root)[1].decision.version
    assert decision["when"].endswith("+00:00")


@pytest.mark.parametrize(("of", "named"), [("the candidate", "r1"), ("another", None)])
def test_the_decision_names_the_candidates_run_and_no_other_ones(challenged, of, named):
    digest = read_bundle(challenged.bundle).digest if of == "the candidate" else "0" * 64
    challenged.tracked.write_text(json.dumps({"candidate": digest, "run": "r1"}))
    assert promote(challenged).run == named


def test_a_clone_pulls_the_champion_without_any_account(challenged, tmp_path):
    promote(challenged)
    run(tmp_path, "git", "clone", "--quiet", str(challenged.root), "clone")
    run(tmp_path / "clone", "dvc", "pull", "--quiet", "champion.dvc", "data.dvc")
    assert files(tmp_path / "clone" / "champion") == files(challenged.champion)


def test_promoting_the_champion_again_does_nothing(challenged):
    promote(challenged)
    before = commits(challenged)
    assert promote(challenged) is None
    assert commits(challenged) == before


def test_a_verdict_that_is_not_promote_is_refused_with_its_reasons(challenged):
    workspace = commit_params(challenged, "    log_loss: 0.5", "    log_loss: 0.000001")
    assert judge(workspace).verdict == "REJECT"
    with pytest.raises(SlipwayError, match=r"(?s)the verdict is REJECT.*threshold log_loss: .*at most 1e-06 is needed"):
        promote(workspace)


def test_force_overrules_a_verdict_and_the_reason_is_recorded(challenged):
    workspace = commit_params(challenged, "    log_loss: 0.5", "    log_loss: 0.000001")
    judge(workspace)
    promote(workspace, force_reason="the old one is on fire")
    decision = history(workspace.root)[0].decision
    assert (decision.verdict, decision.reason) == ("REJECT", "the old one is on fire")
    assert "the old one is on fire" in run(workspace.root, "git", "log", "-1", "--format=%b")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"candidate": "0" * 64}, "another candidate"),
        ({"champion": None}, "another champion"),
        ({"table": "0" * 64}, "another test set"),
    ],
)
def test_a_verdict_of_something_else_is_refused_even_with_force(challenged, change, words):
    verdict = json.loads(challenged.verdict.read_bytes())
    challenged.verdict.write_text(json.dumps({**verdict, **change}))
    with pytest.raises(SlipwayError, match=words):
        promote(challenged, force_reason="I want it")


@pytest.mark.parametrize(
    ("text", "words"), [(None, "missing; `slipway run` makes it"), ("{", "makes it anew"), ("[]", "makes it anew")]
)
def test_without_a_readable_verdict_there_is_no_release(challenged, text, words):
    challenged.verdict.unlink()
    if text is not None:
        challenged.verdict.write_text(text)
    with pytest.raises(SlipwayError, match=words):
        promote(challenged)


def test_code_that_was_not_committed_is_not_released(challenged):
    path = challenged.root / "src" / "project" / "model.py"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(SlipwayError, match=r"the record would not say what was released: src/project/model.py"):
        promote(challenged)


def test_a_remote_that_does_not_take_it_leaves_the_champion_and_the_same_call_works_later(challenged):
    store = challenged.root / ".dvc" / "store"
    aside = store.rename(store.with_name("aside"))
    store.write_text("in the way")
    before = commits(challenged)
    with pytest.raises(SlipwayError, match="nothing was released, try again"):
        promote(challenged)
    assert commits(challenged) == before
    store.unlink()
    aside.rename(store)
    promote(challenged)
    assert commits(challenged) == before + 1
    assert is_clean(challenged)


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
def test_a_promotion_that_is_killed_can_be_run_again(challenged, step, when):
    before = commits(challenged)
    process = get_context("fork").Process(target=_die_at, args=(challenged, step, when, promote))
    process.start()
    process.join()
    assert process.exitcode == 9
    promote(challenged)
    assert commits(challenged) == before + 1
    assert is_clean(challenged)
    assert files(challenged.champion / "bundle") == files(challenged.bundle)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["write_pointer", "commit"])
def test_a_rollback_that_is_killed_can_be_run_again(challenged, step, when):
    first = files(challenged.champion)
    promote(challenged)
    version = read_decision(challenged.root).version
    process = get_context("fork").Process(
        target=_die_at, args=(challenged, step, when, functools.partial(rollback, reason="it bites"))
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    if (step, when) != ("commit", "after"):
        rollback(challenged, reason="it bites")
    assert files(challenged.champion) == first
    assert history(challenged.root)[0].decision.rolled_back == [version]
    assert is_clean(challenged)


def _promote(root: Path) -> None:
    promote(Workspace(root))


def test_of_two_promotions_at_once_one_makes_the_commit(challenged):
    before = commits(challenged)
    processes = [get_context("fork").Process(target=_promote, args=(challenged.root,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert commits(challenged) == before + 1
    assert is_clean(challenged)


def test_a_rollback_restores_the_champion_before_byte_for_byte(challenged):
    first = files(challenged.champion)
    promote(challenged)
    assert files(challenged.champion) != first
    before = commits(challenged)
    rollback(challenged, reason="it bites")
    assert files(challenged.champion) == first
    assert commits(challenged) == before + 1
    assert is_clean(challenged)


def test_a_rollback_fetches_what_is_no_longer_here(challenged):
    first = files(challenged.champion)
    promote(challenged)
    shutil.rmtree(challenged.root / ".dvc" / "cache")
    rollback(challenged, reason="it bites")
    assert files(challenged.champion) == first


def test_a_rollback_that_cannot_fetch_leaves_the_champion(challenged):
    promote(challenged)
    now = files(challenged.champion)
    before = commits(challenged)
    shutil.rmtree(challenged.root / ".dvc" / "cache")
    shutil.rmtree(challenged.root / ".dvc" / "store")
    with pytest.raises(SlipwayError):
        rollback(challenged, reason="it bites")
    assert commits(challenged) == before
    assert files(challenged.champion) == now
    assert read_decision(challenged.root) == history(challenged.root)[0].decision


def test_what_was_rolled_back_is_held_by_the_gate_and_released_again_when_asked(challenged):
    promote(challenged)
    version = read_decision(challenged.root).version
    rollback(challenged, reason="it bites")
    verdict = judge(challenged)
    assert verdict.verdict == "HOLD"
    assert f"{version} was released before, and rolled back" in [reason.detail for reason in verdict.reasons]
    with pytest.raises(SlipwayError, match="the verdict is HOLD"):
        promote(challenged)
    promote(challenged, force_reason="it does not bite any more")
    assert read_decision(challenged.root).rolled_back == []


def test_a_champion_can_be_named_for_a_rollback_by_the_start_of_its_version(challenged):
    first = read_decision(challenged.root).version
    promote(challenged)
    assert rollback(challenged, first[:5], reason="it bites").version == first


def test_a_later_rollback_does_not_go_back_to_what_was_rolled_back(challenged):
    promote(challenged)
    rollback(challenged, reason="it bites")
    run(challenged.root, "git", "commit", "--quiet", "--allow-empty", "--message", "Something else")
    with pytest.raises(SlipwayError, match="no earlier champion that was not rolled back"):
        rollback(challenged, reason="again")


def test_a_rollback_does_not_go_back_behind_a_champion_that_was_removed(challenged):
    run(challenged.root, "git", "rm", "--quiet", "champion.dvc")
    run(challenged.root, "git", "commit", "--quiet", "--message", "Another problem")
    with pytest.raises(SlipwayError, match="nothing was released yet"):
        rollback(challenged, reason="?")
    judge(challenged)
    promote(challenged)
    with pytest.raises(SlipwayError, match="no earlier champion that was not rolled back"):
        rollback(challenged, reason="?")


def test_a_version_that_never_served_or_serves_now_is_refused(released):
    now = read_decision(released.root).version
    with pytest.raises(SlipwayError, match=f"no champion ffff in the history; it has {now}"):
        rollback(released, "ffff", reason="?")
    with pytest.raises(SlipwayError, match=f"{now} serves already"):
        rollback(released, now, reason="?")


def test_the_history_says_when_from_to_score_reason_and_who(challenged):
    first = read_decision(challenged.root).version
    promote(challenged)
    second = read_decision(challenged.root).version
    rollback(challenged, reason="it bites")
    found = [(r.decision.action, r.decision.previous, r.decision.version) for r in history(challenged.root)]
    assert found == [("rollback", second, first), ("promote", first, second), ("promote", None, first)]
    newest = history(challenged.root)[0]
    assert newest.decision.reason == "it bites"
    assert newest.decision.who == "Ada <ada@example.org>"
    assert newest.decision.scores["accuracy"] > 0.9
    assert newest.when.startswith("20")


def test_before_the_first_release_the_history_is_empty_and_nothing_is_rolled_back(tmp_path):
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, "dvc", "init", "--quiet")
    assert history(tmp_path) == []
    with pytest.raises(SlipwayError, match="nothing was released yet"):
        rollback(Workspace(tmp_path), reason="?")


@pytest.mark.parametrize("text", ["outs: []\n", "meta: {}\n", "meta: [", "- a\n"])
def test_a_pointer_that_does_not_say_what_was_released_is_refused(text):
    with pytest.raises(SlipwayError, match=r"champion.dvc: does not say what was released"):
        parse_decision(text, "champion.dvc")
