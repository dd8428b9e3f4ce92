import pytest

from slipway.evaluation.intervals import Score
from slipway.gate import conclude
from slipway.gate.checks import Reason
from slipway.gate.live import rows_needed, settle


def reasons(**outcomes: str) -> list[Reason]:
    return [Reason(name.replace("_", " "), outcome, "found") for name, outcome in outcomes.items()]


@pytest.mark.parametrize(
    ("before", "live", "verdict"),
    [
        ({"champion": "hold"}, "pass", "PROMOTE"),
        ({"champion": "hold"}, "fail", "REJECT"),
        ({"champion": "hold"}, "hold", "HOLD"),
        ({"champion": "pass"}, "hold", "HOLD"),
        ({"champion": "hold", "drift": "hold"}, "pass", "PROMOTE"),
        ({"champion": "pass", "drift": "hold"}, "hold", "HOLD"),
        ({"champion": "pass"}, "fail", "REJECT"),
        ({"champion": "fail"}, "pass", "REJECT"),
        ({"threshold accuracy": "fail", "champion": "hold"}, "pass", "REJECT"),
        ({"champion": "hold", "history": "hold"}, "pass", "HOLD"),
        ({"champion": "hold", "coverage": "hold"}, "pass", "HOLD"),
    ],
)
def test_live_rows_settle_what_the_test_set_left_in_doubt_and_nothing_else(before, live, verdict):
    assert conclude(settle(reasons(**before), Reason("live", live, "found"))) == verdict


def test_what_the_live_rows_settled_says_so():
    (champion, live) = settle(reasons(champion="hold"), Reason("live", "pass", "found"))
    assert (champion.detail, live.check) == ("found. The live rows decide", "live")


@pytest.mark.parametrize(
    ("score", "sign", "margin", "needed"),
    [
        # The interval is 1.96 s/10 to each side, the distance half of it: 100 * ((1.96 + 0.84) / 1.96 * 2)^2
        (Score(0.0, -0.02, 0.02), 1, 0.01, 818),
        (Score(0.01, -0.01, 0.03), 1, 0.0, 818),
        (Score(0.01, -0.01, 0.03), -1, 0.0, 818),  # of a loss: worse, and this many rows show it
        (Score(0.0, -0.02, 0.02), 1, 0.02, 205),
        (Score(0.0, -0.02, 0.02), 1, 0.0, None),
        (Score(0.0, -0.001, 0.001), 1, 0.5, 101),
    ],
)
def test_the_rows_that_are_needed_follow_from_the_interval_and_the_distance(score, sign, margin, needed):
    assert rows_needed(score, sign, margin, 0.95, 100) == pytest.approx(needed, abs=1)
