"""The rules of a release as tables of small cases: what may be released, and where a rollback goes."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from checkouts import commit_files, make_repository, run
from overlays import pinned
from slipway.champion import Decision, Pin, Release
from slipway.problem import SlipwayError
from slipway.release.publish import Remote

# `slipway.release` names the functions; these are the modules.
promotion, publication, rolling_back = (
    importlib.import_module(f"slipway.release.{name}") for name in ("promote", "publish", "rollback")
)


def release(digit: str, *, previous: str | None = "x", rolled_back: str = "") -> Release:
    decision = Decision(
        digest=digit * 64,
        action="promote",
        previous=previous,
        verdict="PROMOTE",
        reason="r",
        who="w",
        rolled_back=[one * 12 for one in rolled_back],
    )
    return Release(decision, f"commit of {digit}", "today")


@pytest.mark.parametrize(
    ("name", "releases", "version", "found"),
    [
        ("the one before", [release("c"), release("b"), release("a")], None, "b"),
        ("not one that was rolled back", [release("c", rolled_back="b"), release("b"), release("a")], None, "a"),
        (
            "not the one that serves",
            [release("b", rolled_back="c"), release("c"), release("b"), release("a")],
            None,
            "a",
        ),
        ("the one that is named", [release("c"), release("b"), release("a")], "a", "a"),
        ("by the start of its version", [release("c"), release("b"), release("a")], "bbb", "b"),
        ("also one that was rolled back", [release("c", rolled_back="b"), release("b"), release("a")], "b" * 12, "b"),
    ],
)
def test_a_rollback_goes_to(name, releases, version, found):
    assert rolling_back._earlier(releases, version).decision.digest[0] == found


@pytest.mark.parametrize(
    ("releases", "version", "words"),
    [
        ([release("a")], None, "there is no earlier champion that was not rolled back; it has aaaaaaaaaaaa"),
        ([release("b", rolled_back="a"), release("a")], None, "no earlier champion that was not rolled back"),
        ([release("b"), release("a"), release("b")], "c", "no champion c in the history; it has b{12}, a{12}$"),
        ([release("b"), release("a")], "bb", "^bbbbbbbbbbbb serves already$"),
        ([release("b"), release("b")], None, "no earlier champion"),
    ],
)
def test_where_a_rollback_can_go_nowhere_the_message_lists_what_there_is(releases, version, words):
    with pytest.raises(SlipwayError, match=words):
        rolling_back._earlier(releases, version)


def test_releases_before_the_first_that_followed_nothing_are_another_problems():
    ours = [release("c"), release("b", previous=None)]
    assert rolling_back._since_the_first([*ours, release("z"), release("y", previous=None)]) == ours
    assert rolling_back._since_the_first(ours[:1]) == ours[:1]
    assert rolling_back._since_the_first([]) == []


VERDICT = {"candidate": "a" * 64, "champion": "b" * 64, "table": "c" * 64}


@pytest.mark.parametrize(
    ("verdict", "now", "words"),
    [
        ({"candidate": "f" * 64}, "b", r"of another candidate \(ffffffffffff, now aaaaaaaaaaaa\); run `slipway gate`"),
        ({"champion": None}, "b", r"of another champion \(none, now bbbbbbbbbbbb\)"),
        ({}, None, r"of another champion \(bbbbbbbbbbbb, now none\)"),
        ({"table": "f" * 64}, "b", r"of another test set \(ffffffffffff, now cccccccccccc\)"),
        ({}, "b", None),
        ({"champion": None}, None, None),
    ],
)
def test_a_verdict_counts_for_its_candidate_champion_and_test_set(verdict, now, words):
    verdict = VERDICT | verdict
    workspace = SimpleNamespace(read_verdict=lambda: verdict, test_set_digest=lambda: "c" * 64)
    champion = release(now).decision if now else None
    if words is None:
        assert promotion._current_verdict(workspace, "a" * 64, champion) == verdict
    else:
        with pytest.raises(SlipwayError, match=words):
            promotion._current_verdict(workspace, "a" * 64, champion)


def test_a_refusal_lists_each_reason_that_is_against_it_with_the_way_out():
    reasons = [
        {"check": check, "outcome": outcome, "detail": "x 1"}
        for check, outcome in (("a", "pass"), ("b", "hold"), ("c", "fail"))
    ]
    assert promotion._refusal({"verdict": "REJECT", "reasons": reasons}).splitlines() == [
        "the verdict is REJECT, not PROMOTE:",
        "  b: x 1",
        "  c: x 1",
        "--force with --reason overrules it",
    ]


@pytest.fixture
def root(tmp_path) -> Path:
    root = make_repository(tmp_path / "checkout")
    files = ["data.dvc", "dvc.lock", "champion.dvc", "src/model.py", "store/a", "storehouse"]
    overlays = {f"k8s/overlays/{name}/kustomization.yaml": pinned("a") for name in ("staging", "production")}
    commit_files(root, "First", dict.fromkeys(files, "1") | overlays)
    return root


@pytest.mark.parametrize(
    ("changed", "listed"),
    [
        (["data.dvc", "dvc.lock", "champion.dvc", "store/a"], None),
        (["src/model.py"], "src/model.py"),
        (["storehouse", "src/model.py", "data.dvc"], "src/model.py, storehouse"),
    ],
)
def test_only_the_record_may_differ_from_the_last_commit(root, changed, listed):
    store = SimpleNamespace(config={"remote": {"s": {"url": str(root / "store")}}, "core": {"remote": "s"}})
    for name in changed:
        (root / name).write_text("2")
    if listed is None:
        promotion._require_committed(root, store, None)
    else:
        words = f"^the record would not say what was released: {listed}; commit or stash it first$"
        with pytest.raises(SlipwayError, match=words):
            promotion._require_committed(root, store, None)


def test_an_overlay_may_differ_only_by_the_pin_of_this_release(root):
    store = SimpleNamespace(config={"remote": {}, "core": {}})
    pin = Pin(f"ghcr.io/ada/penguins@sha256:{'b' * 64}", "2" * 12, "d" * 40)
    text = promotion.pinned_overlays(root, pin)
    for path in text:
        (root / path).write_text(text[path])
    promotion._require_committed(root, store, pin)
    with pytest.raises(SlipwayError, match=r"what was released: k8s/overlays/production"):
        promotion._require_committed(root, store, None)


IMAGE = f"ghcr.io/ada/penguins@sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("name", "staging", "production", "new"),
    [
        ("both run it", "head", "head", False),
        ("one runs another model", "head", "other model", True),
        ("one runs an image of another name", "other name", "head", True),
        ("one runs an image that was built by hand", "head", "no commit", True),
        ("one is not pinned yet", "head", "zeros", True),
        ("one does not exist", "head", None, False),
        ("one does not exist and the other runs another model", None, "other model", True),
        ("there is none", None, None, False),
    ],
)
def test_an_image_is_new_if_an_environment_runs_another_one(root, name, staging, production, new):
    head = run(root, "git", "rev-parse", "HEAD").strip()
    texts = {
        "head": pinned("b", commit=head),  # another digest of the same parts is the same image
        "other model": pinned("b", version="9" * 12, commit=head),
        "other name": pinned("b", commit=head).replace("ada/penguins", "ada/birds"),
        "no commit": pinned("b", commit="0" * 40),
        "zeros": pinned("0", commit=head),
        None: None,
    }
    overlays = {"staging": staging, "production": production}
    commit_files(root, name, {f"k8s/overlays/{one}/kustomization.yaml": texts[what] for one, what in overlays.items()})
    assert publication._is_new(root, IMAGE, "123456789012") == new


@pytest.mark.parametrize(("changed", "new"), [("src/slipway/x.py", True), ("docs/x.md", False), ("Dockerfile", True)])
def test_an_image_is_new_if_a_part_of_it_changed(root, changed, new):
    head = run(root, "git", "rev-parse", "HEAD").strip()
    paths = [f"k8s/overlays/{name}/kustomization.yaml" for name in ("staging", "production")]
    commit_files(root, "Pin", dict.fromkeys(paths, pinned("b", commit=head)))
    commit_files(root, "Change", {changed: "1"})
    assert publication._is_new(root, IMAGE, "123456789012") == new


def test_what_is_not_committed_is_in_no_image(root):
    head = run(root, "git", "rev-parse", "HEAD").strip()
    pins = {f"k8s/overlays/{name}/kustomization.yaml": pinned("b", commit=head) for name in ("staging", "production")}
    head = commit_files(root, "Pin", {**pins, "Dockerfile": "1"})
    commit_files(root, "Pin again", {path: pinned("b", commit=head) for path in pins})
    (root / "Dockerfile").write_text("2")
    assert not publication._is_new(root, IMAGE, "123456789012")


def test_the_branch_is_the_one_that_is_named_or_checked_out(root):
    assert publication._branch(root, Remote(branch="release")) == "release"
    assert publication._branch(root, Remote()) == "main"
    run(root, "git", "checkout", "--quiet", "--detach")
    with pytest.raises(SlipwayError, match=r"^no branch is checked out here: --branch \(or BRANCH\) says which"):
        publication._branch(root, Remote())
