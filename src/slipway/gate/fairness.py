"""The gate's checks of fairness: a metric may differ only so much between the slices of a column.

Difference and ratio are as in Fairlearn's MetricFrame: the largest value less the smallest, and the smallest by the
largest. With `selection_rate` this is demographic parity, with `recall` equal opportunity (Hardt, Price, Srebro 2016).
"""

from __future__ import annotations

from slipway.evaluation import intervals
from slipway.evaluation.intervals import Bootstrap, Score
from slipway.evaluation.test_set import TestSet
from slipway.gate.checks import Reason
from slipway.model.predictor import Predictions
from slipway.problem.params import Fairness


def check_fairness(limits: Fairness, test_set: TestSet, predictions: Predictions, bootstrap: Bootstrap) -> Reason:
    """Compare a metric between the slices of a column that have enough rows; names each slice's score."""
    found: dict[str, tuple[Score, int]] = {}
    for name, where in test_set.slices([limits.column]).items():
        rows = int(where.sum())
        if rows >= limits.min_rows:
            table = test_set.statistics(predictions, where, ranked=True)
            score = intervals.evaluate_one(test_set.target, limits.metric, table, bootstrap)
            if score is not None:
                found[name] = (score, rows)
    return compare_slices(limits, found)


def compare_slices(limits: Fairness, found: dict[str, tuple[Score, int]]) -> Reason:
    """Judge the scores of slices. found: score and rows by slice."""
    check = f"fairness {limits.column}"
    if len(found) < 2:
        detail = f"{len(found)} slices have {limits.min_rows} rows and a value of {limits.metric}; two are needed"
        return Reason(check, "hold", detail)
    values = [score.value for score, _ in found.values()]
    difference = max(values) - min(values)
    ratio = min(values) / max(values) if max(values) else 1.0
    listed = ", ".join(
        f"{name} {score.value:.4g} ({score.low:.4g} to {score.high:.4g}) on {rows} rows"
        for name, (score, rows) in found.items()
    )
    said, good = [], True
    if limits.max_difference is not None:
        said.append(f"difference {difference:.4g}, at most {limits.max_difference:g} is needed")
        good &= difference <= limits.max_difference
    if limits.min_ratio is not None:
        said.append(f"ratio {ratio:.4g}, at least {limits.min_ratio:g} is needed")
        good &= ratio >= limits.min_ratio
    return Reason(check, "pass" if good else "fail", f"{limits.metric}: {'; '.join(said)}; {listed}")
