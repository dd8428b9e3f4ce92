"""Backtest: the estimator fitted again on the training rows before each of several windows of time, and scored there.

One test set says how good a model is in one period; the windows say how much that varies from period to period. Each
window's model learns from all earlier rows (an expanding window: Hyndman and Athanasopoulos, "Forecasting", 5.10). The
test set is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.contract import Array, Label, features, record, target, times
from slipway.evaluation import metrics
from slipway.evaluation.metrics import Bootstrap
from slipway.fitting import held_out, weights_of
from slipway.model.derived import derive
from slipway.model.manifest import Decision
from slipway.model.predictor import decide
from slipway.problem import Problem, SlipwayError
from slipway.problem.params import Params

if TYPE_CHECKING:
    import pandas as pd


def backtest(
    problem: Problem, params: Params, rows: pd.DataFrame, decision: Decision | None = None
) -> list[dict[str, Any]]:
    """Give each window's time, numbers of rows, and scores with intervals, oldest first.

    rows: the training rows. decision: the bundle's decision threshold, which every window's labels are by.
    Raises SlipwayError if there are too few times, or the rows before a window lack a class.
    """
    column, goal, seen = record(problem)[str(problem.time)], target(problem), features(problem)
    at, truth, arrays = times.points(column, rows[column.name]), goal.encode(rows[problem.target]), seen.arrays(rows)
    derived = derive(problem, arrays)
    arrays = derived(arrays) if derived else arrays
    groups = rows.groupby(list(problem.groups), sort=False, dropna=False).ngroup().to_numpy()
    bootstrap = Bootstrap(params.evaluate.bootstrap, params.evaluate.confidence)
    starts = window_starts(at, params.evaluate.backtest)
    found = []
    for start, end in zip(starts, [*starts[1:], np.inf], strict=True):
        inside, before = (at >= start) & (at < end), at < start - params.prepare.gap * times.unit(column)
        if params.prepare.split == "group_and_time":
            before &= ~np.isin(groups, groups[inside])
        began = times.written(column, start)
        _require_classes(goal.classes, truth[before], began)
        weights = weights_of(problem, rows[before])
        classes = len(goal.classes)
        output = held_out(problem, params, arrays, truth, weights, before=before, inside=inside, classes=classes)
        of_groups = np.unique(groups[inside], return_inverse=True)[1]
        table = metrics.statistics(goal, truth[inside], decide(output, goal.classes, decision), of_groups)
        scores = {name: score.as_json() for name, score in metrics.evaluate(goal, table, bootstrap).items()}
        until = times.written(column, at[inside].max())
        counts = {"trained": int(before.sum()), "rows": int(inside.sum())}
        found.append({"from": began, "until": until, **counts, "scores": scores})
    return found


def window_starts(at: Array, windows: int) -> list[float]:
    """Give the first time of each window: the times in `windows` + 1 parts of about as many rows, less the first part.

    Rows of one time are never in two windows. Raises SlipwayError if there are too few times.
    """
    ordered = np.sort(at)
    starts = np.unique([ordered[len(at) * part // (windows + 1)] for part in range(1, windows + 1)])
    if len(starts) < windows or starts[0] <= ordered[0]:
        raise SlipwayError(
            f"params.yaml: evaluate.backtest: {windows} windows need more different times than the training rows have"
        )
    return [float(start) for start in starts]


def _require_classes(classes: tuple[Label, ...], truth: Array, began: str | float) -> None:
    lacking = [str(label) for index, label in enumerate(classes) if not (truth == index).any()]
    if lacking or not len(truth):
        what = f"has the class {', '.join(lacking)}" if lacking else "is left to train on"
        raise SlipwayError(f"params.yaml: evaluate.backtest: before the window from {began} on no row {what}")
