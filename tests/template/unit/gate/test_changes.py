import pytest

from slipway.evaluation.drift import Drift
from slipway.evaluation.metrics import Score
from slipway.gate.changes import check_coverage, check_drift, check_record

RECORDED = Score(0.9, 0.85, 0.95)


@pytest.mark.parametrize(
    ("recorded", "now", "outcome"),
    [
        (RECORDED, Score(0.9, 0.85, 0.95), "pass"),
        (RECORDED, Score(0.95, 0.9, 0.99), "pass"),
        (RECORDED, Score(0.83, 0.77, 0.88), "pass"),  # 0.07 worse; 0.0707 is noise
        (RECORDED, Score(0.82, 0.77, 0.87), "hold"),
        (Score(1, 1, 1), Score(0.94, 0.88, 0.99), "hold"),
        (Score(1, 1, 1), Score(0.97, 0.93, 1.0), "pass"),
    ],
)
def test_a_champion_that_scores_clearly_below_its_record_holds(recorded, now, outcome):
    assert check_record("accuracy", recorded, now, "v").outcome == outcome


@pytest.mark.parametrize(("now", "outcome"), [(Score(0.3, 0.2, 0.4), "pass"), (Score(0.6, 0.5, 0.7), "hold")])
def test_of_a_loss_more_is_worse(now, outcome):
    reason = check_record("log_loss", Score(0.4, 0.3, 0.5), now, "abc")
    assert reason.outcome == outcome
    assert f"log_loss of abc: 0.4 (0.3 to 0.5) at its release, {now.value} ({now.low} to {now.high})" in reason.detail


def test_a_column_that_moved_by_more_than_its_limit_holds_with_its_numbers():
    found = [Drift("height", 0.31, 0.12), Drift("colour", 0.02, 0.1)]
    reason = check_drift(found, "abc")
    assert reason.outcome == "hold"
    assert "height (PSI 0.310, limit 0.120)" in reason.detail
    assert "colour" not in reason.detail


@pytest.mark.parametrize(("psi", "outcome"), [(0.12, "pass"), (0.121, "hold")])
def test_a_drift_at_its_limit_passes(psi, outcome):
    assert check_drift([Drift("height", psi, 0.12)], "v").outcome == outcome


@pytest.mark.parametrize(
    ("before", "now", "lost"),
    [
        ({"bed=north": 10}, {"bed=north": 10}, ""),
        ({"bed=north": 10}, {"bed=north": 9}, "bed=north (10 rows, now 9)"),
        ({"bed=north": 10}, {}, "bed=north (10 rows, now 0)"),
        ({"bed=north": 9}, {}, ""),  # too few to be judged then
        ({"kind=rose": 50, "kind=iris": 50}, {"kind=iris": 100}, "kind=rose (50 rows, now 0)"),
    ],
)
def test_a_slice_or_class_that_was_judged_and_cannot_be_any_more_holds(before, now, lost):
    reason = check_coverage(before, now, 10, "v")
    assert reason.outcome == ("hold" if lost else "pass")
    assert lost in reason.detail
