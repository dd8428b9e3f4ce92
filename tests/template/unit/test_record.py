"""The record of a release in Git: the pointer, the overlays, and the words of the commit."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from checkouts import commit_files, make_repository, run
from overlays import pinned
from slipway.champion import Decision, Pin, parse_decision, parse_pin
from slipway.problem import SlipwayError
from slipway.release import record

PIN = Pin(f"ghcr.io/ada/penguins@sha256:{'b' * 64}", "2" * 12, "d" * 40)
STAGING, PRODUCTION, LOCAL = (f"k8s/overlays/{name}/kustomization.yaml" for name in ("staging", "production", "local"))
DECISION = Decision(
    digest="2" * 64,
    action="promote",
    previous="1" * 12,
    verdict="HOLD",
    reason="I looked at it",
    who="Ada",
    scores={"accuracy": 0.95, "macro_f1": 0.123456, "log_loss": 0.1},
)


@pytest.fixture
def root(tmp_path) -> Path:
    root = make_repository(tmp_path / "checkout")
    overlays = {STAGING: pinned("a"), PRODUCTION: pinned("a"), LOCAL: pinned("a")}
    data = {"data.dvc": "outs:\n- md5: aaaaaaaaaaaa.dir\n", "champion.dvc": "outs: []\n", "dvc.lock": "1", "other": "1"}
    commit_files(root, "First", {**overlays, **data})
    return root


def repository(url: str = "/elsewhere") -> SimpleNamespace:
    return SimpleNamespace(config={"remote": {"store": {"url": url}}, "core": {"remote": "store"}})


def committed(root: Path) -> set[str]:
    return set(run(root, "git", "show", "--name-only", "--format=", "HEAD").split())


def message(root: Path) -> list[str]:
    return run(root, "git", "log", "-1", "--format=%B").strip().splitlines()


def test_a_release_is_one_commit_of_its_record_and_nothing_else(root):
    for name in ("champion.dvc", "dvc.lock", "other"):
        (root / name).write_text("2")
    run(root, "git", "add", "other")  # somebody else's, for a commit of its own
    (root / "store").mkdir()
    (root / "store/file").write_text("1")
    record.commit(root, repository(), DECISION, None)
    assert committed(root) == {"champion.dvc", "dvc.lock"}
    assert message(root) == [
        f"Promote {'2' * 12}: accuracy 0.95, macro_f1 0.1235",
        "",
        f"Previous: {'1' * 12}",
        "Verdict: HOLD",
        "Reason: I looked at it",
    ]


def test_the_remotes_new_files_the_pins_and_a_change_of_the_data_are_in_it(root):
    (root / "data.dvc").write_text("outs:\n- md5: bbbbbbbbbbbb.dir\n")
    (root / "store").mkdir()
    (root / "store/file").write_text("1")
    first = DECISION.model_copy(update={"previous": None})
    record.commit(root, repository(str(root / "store")), first, PIN)
    assert committed(root) == {"data.dvc", "store/file", STAGING, PRODUCTION}
    assert message(root)[2:] == [
        "Previous: none",
        "Verdict: HOLD",
        "Reason: I looked at it",
        f"Image: {PIN.image}",
        "Data: aaaaaaaa -> bbbbbbbb",
    ]
    assert [parse_pin((root / path).read_text(), path) for path in (STAGING, PRODUCTION)] == [PIN, PIN]


def test_a_file_of_the_record_that_does_not_exist_is_left_out(root):
    commit_files(root, "No lock", {"dvc.lock": None})
    (root / "champion.dvc").write_text("2")
    record.commit(root, repository(), DECISION, None)
    assert committed(root) == {"champion.dvc"}


def test_another_image_of_the_same_champion_is_a_commit_of_the_overlays_alone(root):
    (root / "champion.dvc").write_text("2")
    record.deploy(root, PIN)
    assert committed(root) == {STAGING, PRODUCTION}
    assert message(root) == [f"Deploy {'2' * 12} in a new image", "", f"Image: {PIN.image}"]


def test_overlays_are_pinned_as_the_last_commit_has_them_and_edits_are_not_overwritten(root):
    commit_files(root, "No staging", {STAGING: None})
    texts = record.pinned_overlays(root, PIN)
    assert list(texts) == [PRODUCTION]
    assert (root / PRODUCTION).read_text() == pinned("a")
    (root / PRODUCTION).write_text(texts[PRODUCTION])  # an interrupted release
    assert record.pinned_overlays(root, PIN) == texts
    (root / PRODUCTION).write_text(pinned("c"))
    with pytest.raises(SlipwayError, match=f"^commit {PRODUCTION} first: a release writes the deployed image into it$"):
        record.pinned_overlays(root, PIN)


def test_the_pointer_keeps_its_outputs_in_their_order_and_gets_the_decision(root):
    source = "outs:\n- path: champion\n  md5: '0123'\nmeta:\n  digest: old\nwdir: lost\n"
    decision = DECISION.model_copy(update={"reason": "fällt aus"})
    record.write_pointer(root, source, decision)
    text = (root / "champion.dvc").read_text("utf-8")
    assert text.startswith("outs:\n- path: champion\n  md5: '0123'\nmeta:\n")
    assert "  reason: fällt aus\n" in text
    assert set(yaml.safe_load(text)) == {"outs", "meta"}
    assert parse_decision(text, "champion.dvc") == decision
    assert not list(root.glob(".champion*"))


def test_the_time_of_a_decision_is_utc_in_whole_seconds():
    said = datetime.fromisoformat(record.timestamp())
    assert said.utcoffset() == timedelta(0)
    assert said.microsecond == 0
    assert abs(said - datetime.now(UTC)) < timedelta(minutes=1)
