"""The steps of a promotion and of a rollback, each at the edge of what it guards: with Git, DVC and small bundles."""

import base64
import json
import shutil
import sys

import pytest

from checkouts import commit_files, run
from overlays import commit_overlays, pinned
from pending import SCORES, put_candidate
from slipway.champion import BUNDLE, Decision, pins, read_decision, serving_now
from slipway.model.bundle import read_bundle
from slipway.model.signature import signature_of
from slipway.problem import SlipwayError
from slipway.release import promote, rollback
from slipway.release.record import timestamp
from slipway.workspace import Workspace

promotion, rolling_back = (sys.modules[function.__module__] for function in (promote, rollback))
IMAGE = f"ghcr.io/ada/penguins@sha256:{'a' * 64}"


def head(workspace: Workspace) -> str:
    return run(workspace.root, "git", "rev-parse", "HEAD").strip()


def sign_as(workspace: Workspace, name: str) -> None:
    run(workspace.root, "git", "config", "user.name", name)


def go_on(workspace: Workspace) -> None:
    """Make another commit, after which a rollback is another one and no repetition."""
    commit_files(workspace.root, "Something else", {})


def beside_the_champion(workspace: Workspace) -> list[str]:
    return [path.name for path in workspace.root.glob(".champion*")]


# --- promote ---


def test_a_decision_records_who_released_what_from_which_commit_and_why(pending):
    sign_as(pending, "Grace")
    bundle, before, commit, began = read_bundle(pending.bundle), serving_now(pending.root), head(pending), timestamp()
    decision = promote(pending)
    assert decision == Decision(
        digest=bundle.digest,
        name="m",
        action="promote",
        previous=before.version,
        verdict="PROMOTE",
        reason="the gate's verdict",
        who="Grace <ada@example.org>",
        commit=commit,
        data=bundle.manifest.data,
        scores=SCORES,
        when=decision.when,
    )
    assert began <= decision.when <= timestamp()
    assert serving_now(pending.root) == decision


def test_the_champion_holds_the_candidates_evaluation_and_the_whole_verdict(pending):
    decision = promote(pending)
    assert (pending.champion / "evaluation/metrics.json").read_text() == "2"
    written = json.loads((pending.champion / "decision.json").read_bytes())
    assert written == {**decision.model_dump(), "judged": json.loads(pending.verdict.read_bytes())}
    assert beside_the_champion(pending) == []


def test_the_signature_of_the_candidate_lies_beside_the_champion(pending):
    resources = [{"digest": read_bundle(pending.bundle).digest}]
    payload = base64.b64encode(json.dumps({"predicate": {"resources": resources}}).encode()).decode()
    signature = json.dumps({"dsseEnvelope": {"payload": payload}})
    signature_of(pending.bundle).write_text(signature)
    promote(pending)
    assert signature_of(pending.champion / BUNDLE).read_text() == signature


def test_the_first_release_follows_nothing(pending):
    run(pending.root, "git", "rm", "--quiet", "champion.dvc")
    shutil.rmtree(pending.champion)
    commit_files(pending.root, "Another problem", {})
    put_candidate(pending, "2")
    assert promote(pending).previous is None
    assert read_bundle(pending.champion / BUNDLE) == read_bundle(pending.bundle)


def test_other_versions_that_were_rolled_back_are_still_held(pending):
    second = promote(pending).version
    put_candidate(pending, "3")
    third = promote(pending).version
    rollback(pending, reason="it bites")
    go_on(pending)
    rollback(pending, reason="so does this")
    put_candidate(pending, "3", "HOLD")
    decision = promote(pending, force_reason="mended")
    assert (decision.version, decision.rolled_back) == (third, [second])


def test_an_image_is_pinned_as_the_one_of_this_candidate_and_of_the_commit_that_it_was_built_from(pending):
    commit_overlays(pending.root, "Overlays", {"staging": pinned("0"), "local": pinned("b")})
    before = head(pending)
    decision = promote(pending, image=IMAGE)
    found = pins(pending.root)
    assert found["staging"] == (IMAGE, decision.version, before)
    assert found["local"].digest == "b" * 64


def test_without_an_image_the_overlays_stay(pending):
    commit_overlays(pending.root, "Overlays", {"staging": pinned("b")})
    promote(pending)
    assert pins(pending.root)["staging"] == (f"ghcr.io/ada/penguins@sha256:{'b' * 64}", "123456789012", "c" * 40)


def test_what_a_killed_promotion_left_beside_the_champion_is_removed(pending):
    for name in ("new", "old"):
        (pending.root / f".champion-{name}/bundle").mkdir(parents=True)
    promote(pending)
    assert beside_the_champion(pending) == []


def test_a_candidate_that_was_replaced_meanwhile_is_not_placed(pending):
    now = read_bundle(pending.champion / BUNDLE)
    decision = read_decision(pending.root)
    with pytest.raises(SlipwayError, match=f"expected is {decision.version}"):
        promotion._place(pending, decision, {})
    assert read_bundle(pending.champion / BUNDLE) == now


def test_a_remote_that_takes_nothing_and_says_nothing_is_noticed(pending, monkeypatch):
    before = head(pending)
    monkeypatch.setattr("dvc.repo.Repo.push", lambda _: 0)
    words = r"^the DVC remote did not take champion[^;]*; nothing was released, try again$"
    with pytest.raises(SlipwayError, match=words):
        promote(pending)
    assert head(pending) == before


# --- rollback ---


def test_a_rollback_records_who_did_it_why_and_what_it_replaces_and_keeps_the_rest(pending):
    first, second = serving_now(pending.root), promote(pending)
    sign_as(pending, "Grace")
    began = timestamp()
    decision = rollback(pending, reason="it bites")
    assert decision == first.model_copy(
        update={
            "action": "rollback",
            "previous": second.version,
            "reason": "it bites",
            "who": "Grace <ada@example.org>",
            "rolled_back": [second.version],
            "when": decision.when,
        }
    )
    assert began <= decision.when <= timestamp()
    assert serving_now(pending.root) == decision
    assert beside_the_champion(pending) == []


def test_each_rollback_adds_what_served_and_takes_out_what_serves_again(pending):
    first, second = serving_now(pending.root).version, promote(pending).version
    put_candidate(pending, "3")
    third = promote(pending).version
    assert rollback(pending, reason="?").rolled_back == [third]
    go_on(pending)
    back = rollback(pending, reason="?")
    assert (back.version, back.rolled_back) == (first, [third, second])
    forth = rollback(pending, third, reason="?")  # named, so that it is no repetition
    assert (forth.version, forth.rolled_back) == (third, [second, first])


def test_a_rollback_leaves_data_that_was_changed_here(pending):
    promote(pending)
    (pending.data / "rows.csv").write_text("a,b\n3,4\n")
    rollback(pending, reason="it bites")
    assert (pending.data / "rows.csv").read_text() == "a,b\n3,4\n"


def test_a_rollback_that_is_repeated_fetches_the_champion_if_it_is_not_here(pending):
    promote(pending)
    done = rollback(pending, reason="it bites")
    shutil.rmtree(pending.champion)
    assert rollback(pending, reason="it bites") == done
    assert read_bundle(pending.champion / BUNDLE).digest == done.digest


def test_a_rollback_needs_no_champion_here_and_removes_what_a_killed_one_left(pending):
    first = serving_now(pending.root)
    promote(pending)
    pending.champion.rename(pending.root / ".champion-old")
    rollback(pending, reason="it bites")
    assert read_bundle(pending.champion / BUNDLE).digest == first.digest
    assert beside_the_champion(pending) == []


@pytest.mark.parametrize("here", [True, False])
def test_a_record_that_names_another_bundle_is_not_restored_and_everything_stays(pending, here):
    pointer = (pending.root / "champion.dvc").read_text()
    now = serving_now(pending.root)
    commit_files(pending.root, "By hand", {"champion.dvc": pointer.replace(now.digest, "f" * 64)})
    put_candidate(pending, "2")
    second, text = promote(pending), (pending.root / "champion.dvc").read_text()
    before = head(pending)
    if not here:
        shutil.rmtree(pending.champion)
    with pytest.raises(SlipwayError, match=f"this is bundle {now.version}, expected is {'f' * 12}"):
        rollback(pending, "f", reason="?")
    assert (head(pending), (pending.root / "champion.dvc").read_text()) == (before, text)
    assert beside_the_champion(pending) == []
    if here:
        assert read_bundle(pending.champion / BUNDLE).digest == second.digest


def test_the_image_of_the_last_release_in_an_environment_comes_back_and_no_other(pending):
    """Not one of another overlay; and an overlay that could not be read at some time is no obstacle."""
    first = serving_now(pending.root).version
    commit_overlays(pending.root, "Broken", {"staging": "images: ["})
    for digit in "ab":
        commit_overlays(pending.root, digit, {"staging": pinned(digit, first)})
    commit_overlays(pending.root, "Ours", {"local": pinned("c", first)})
    promote(pending, image=IMAGE)
    rollback(pending, reason="it bites")
    assert pins(pending.root)["staging"] == (f"ghcr.io/ada/penguins@sha256:{'b' * 64}", first, "c" * 40)


def test_without_an_image_of_the_version_the_environments_stay(pending):
    commit_overlays(pending.root, "Overlays", {"staging": pinned("0")})
    promote(pending, image=IMAGE)
    rollback(pending, reason="it bites")
    assert pins(pending.root)["staging"].image == IMAGE
