"""The candidate as a shadow against the champion: the same live rows, and the truth that came for them."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from statistics import NormalDist

from slipway.evaluation import intervals
from slipway.evaluation.intervals import Bootstrap, Score
from slipway.evaluation.live import CHAMPION, SHADOW, answers, versions
from slipway.evaluation.metrics import lower_is_better
from slipway.evaluation.test_set import TestSet
from slipway.gate.checks import Reason, against_champion
from slipway.model.predictor import Predictor
from slipway.workspace import Workspace

LEAST_GROUPS = 30  # of fewer a bootstrap interval is too narrow
POWER = 0.8
# What live rows decide better than a test set: whether the candidate is worse, and whether an error in new data that
# affects both models alike, which may look like drift, made it worse.
SETTLED = ("champion", "champion's record", "drift")


def check_live(workspace: Workspace, candidate: Predictor, champion: Predictor | None, bootstrap: Bootstrap) -> Reason:
    """Compare candidate and champion by paired intervals on the live rows that both answered and whose truth came."""
    import pandas as pd

    if champion is None or champion.bundle.digest == candidate.bundle.digest:
        return Reason("live", "hold", "there is no champion that differs from the candidate")
    if not workspace.live.exists():  # it is written last, so the rows are whole if it is there
        return Reason("live", "hold", "no truth was joined here: `slipway labels` joins it")
    table = pd.read_parquet(workspace.live_rows)
    mine = (versions(table, CHAMPION) == champion.version) & (versions(table, SHADOW) == candidate.version)
    known = table[[f"{who}.prediction" for who in (CHAMPION, SHADOW)]].notna().all(axis=1)
    rows = table[mine.fillna(value=False) & known]
    if rows.empty:
        detail = f"no row with truth has an answer of {champion.version} and of {candidate.version} as its shadow"
        return Reason("live", "hold", f"{detail}: serve with SLIPWAY_SHADOW=build/bundle, then `slipway labels`")
    test_set = TestSet(workspace.problem, rows.reset_index(drop=True))
    now, before = (test_set.statistics(answers(test_set.table, test_set.target, who)) for who in (SHADOW, CHAMPION))
    groups, on = int(test_set.groups.max()) + 1, f"on {len(rows):,} live rows"
    if groups < LEAST_GROUPS:
        return Reason("live", "hold", f"{on} in {groups} groups; at least {LEAST_GROUPS} groups are needed")
    gate, comparison = workspace.params.gate, intervals.compare(test_set.target, now, before, bootstrap)
    reason = against_champion(gate, comparison, champion.version, bootstrap.confidence)
    detail = f"{on}: {reason.detail}"
    if reason.outcome == "hold" and (score := comparison.get(gate.champion.metric)):
        sign = -1 if lower_is_better(gate.champion.metric) else 1
        needed = rows_needed(score, sign, gate.champion.margin, bootstrap.confidence, len(rows))
        more = f"about {needed - len(rows):,} more rows with truth would tell" if needed else "more rows would not tell"
        detail = f"{detail}; {more}"
    return Reason("live", reason.outcome, detail)


def rows_needed(score: Score, sign: int, margin: float, confidence: float, rows: int) -> int | None:
    """Estimate how many rows, in all, decide with a power of 80 % if the difference stays as it is; None: no number.

    n = ((z_a + z_b) s / d)^2 for a paired difference (Chow, Shao, Wang: Sample Size Calculations in Clinical Research,
    2008, chapter 3). d: the distance to the conclusion, "not worse by more than the margin" or "worse", whichever is
    farther. s, the deviation of one row, follows from the present interval, which is z_a s / sqrt(rows) to each side.
    """
    distance = max(sign * score.value + margin, -sign * score.value)
    if distance <= 0:
        return None
    z_a, z_b = NormalDist().inv_cdf((1 + confidence) / 2), NormalDist().inv_cdf(POWER)
    half = (score.high - score.low) / 2
    return max(rows + 1, ceil(rows * ((z_a + z_b) / z_a * half / distance) ** 2))


def settle(reasons: list[Reason], live: Reason) -> list[Reason]:
    """Add the reason of the live rows; where these decide, they settle the doubts that the test set left."""
    if live.outcome == "hold":
        return [*reasons, live]
    return [
        *(
            replace(one, outcome="pass", detail=f"{one.detail}. The live rows decide")
            if one.check in SETTLED and one.outcome == "hold"
            else one
            for one in reasons
        ),
        live,
    ]
