import pytest

from slipway.evaluation.drift import Drift
from slipway.evaluation.intervals import Score
from slipway.gate.changes import check_coverage, check_drift, check_record
from slipway.gate.checks import Reason

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
    reason = check_record("accuracy", recorded, now, "v")
    assert (reason.check, reason.outcome) == ("champion's record", outcome)


@pytest.mark.parametrize(("now", "outcome"), [(Score(0.3, 0.2, 0.4), "pass"), (Score(0.6, 0.5, 0.7), "hold")])
def test_of_a_loss_more_is_worse(now, outcome):
    reason = check_record("log_loss", Score(0.4, 0.3, 0.5), now, "abc")
    assert reason.outcome == outcome
    assert f"log_loss of abc: 0.4 (0.3 to 0.5) at its release, {now.value} ({now.low} to {now.high})" in reason.detail


def test_columns_that_drifted_by_more_than_their_limit_hold_with_their_numbers():
    found = [Drift("height", 0.31, 0.12), Drift("colour", 0.02, 0.1), Drift("bed", 0.2, 0.1)]
    detail = (
        "the training rows drifted since abc by more than sampling error explains: "
        "height (PSI 0.310, limit 0.120), bed (PSI 0.200, limit 0.100)"
    )
    assert check_drift(found, "abc") == Reason("drift", "hold", detail)


def test_within_the_limits_the_column_nearest_to_its_own_is_named():
    found = [Drift("height", 0.2, 0.5), Drift("bed", 0.09, 0.1), Drift("colour", 0.08, 0.1)]
    detail = "bed drifted most since abc: PSI 0.090, the limit is 0.100"
    assert check_drift(found, "abc") == Reason("drift", "pass", detail)


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
        ({"a": 10, "b": 11}, {"b": 2}, "a (10 rows, now 0), b (11 rows, now 2)"),
        ({"a": 1}, {}, ""),
    ],
)
def test_a_slice_or_class_that_was_judged_and_cannot_be_any_more_holds(before, now, lost):
    reason = check_coverage(before, now, 10, "v")
    assert (reason.check, reason.outcome) == ("coverage", "hold" if lost else "pass")
    judged = sum(rows >= 10 for rows in before.values())
    assert reason.detail == (
        f"v was judged on {lost}; at least 10 are needed to judge it again"
        if lost
        else f"the {judged} slices and classes that v was judged on have at least 10 rows"
    )


def test_with_a_minimum_of_one_row_a_slice_without_rows_is_lost():
    assert check_coverage({"a": 1}, {}, 1, "v").outcome == "hold"
