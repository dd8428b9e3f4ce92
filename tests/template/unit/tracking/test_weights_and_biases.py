import pytest

from plants import client_of, write_verdict
from slipway.model.bundle import read_bundle
from slipway.problem import SlipwayError
from slipway.tracking import track
from slipway.tracking import weights_and_biases as wb


@pytest.fixture
def offline(monkeypatch, workspace):
    monkeypatch.setenv("WANDB_PROJECT", "garden")
    monkeypatch.setenv("WANDB_MODE", "offline")
    return workspace


def copies(workspace):
    return sorted((workspace.root / "wandb").glob("offline-run-*/*.wandb"))


def test_the_candidate_becomes_a_run_with_its_version_as_id(offline):
    track(offline)
    (copy,) = copies(offline)
    bundle = read_bundle(offline.bundle)
    assert copy.name == f"run-{bundle.version}.wandb"
    content = copy.read_bytes()
    for text in ("garden", "model.strength", "accuracy.low", bundle.digest, "PROMOTE"):
        assert text.encode() in content, text
    pictures = {path.name.split("_")[0] for path in copy.parent.rglob("*.html")}
    assert pictures == {"confusion", "calibration", "importance", "slices"}


def test_recording_twice_writes_once_and_a_changed_verdict_again(offline):
    track(offline)
    track(offline)
    assert len(copies(offline)) == 1
    write_verdict(offline, read_bundle(offline.bundle).digest, "HOLD")
    track(offline)
    assert b"HOLD" in copies(offline)[-1].read_bytes()


def test_it_is_left_out_unless_asked_for(workspace, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert not wb.wanted()
    track(workspace)
    assert copies(workspace) == []


def test_a_service_that_is_down_leaves_mlflows_record_and_is_tried_again(offline, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("WANDB_MODE", "online")
        patch.setenv("WANDB_API_KEY", "0" * 40)
        patch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
        patch.setattr(wb, "TIMEOUT_SECONDS", 2)
        with pytest.raises(SlipwayError, match="MLflow has the record"):
            track(offline)
    assert [int(v.version) for v in client_of(offline).search_model_versions("name = 'plants'")] == [1]
    track(offline)
    assert len(copies(offline)) == 1
