"""Backtest: the estimator fitted again on the training rows before each of several windows of time, and scored there.

One test set says how good a model is in one period; the windows say how much that varies from period to period. Each
window's model learns from all earlier rows (an expanding window: Hyndman and Athanasopoulos, "Forecasting", 5.10). The
test set is not used.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from slipway.contract import record, times
from slipway.evaluation import intervals
from slipway.evaluation.folds import TrainingRows
from slipway.evaluation.intervals import Bootstrap
from slipway.model.manifest import Decision
from slipway.problem import Problem
from slipway.problem.params import Params


def backtest(
    problem: Problem, params: Params, rows: pd.DataFrame, decision: Decision | None = None
) -> list[dict[str, Any]]:
    """Give each window's time, numbers of rows, and scores with intervals, oldest first.

    rows: the training rows. decision: the bundle's decision threshold, which every window's labels are by.
    Raises SlipwayError if there are too few times, or the rows before a window lack a class.
    """
    training, column = TrainingRows(problem, rows), record(problem)[str(problem.time)]
    bootstrap = Bootstrap(params.evaluate.bootstrap, params.evaluate.confidence)
    found = []
    for fold in training.windows(params, params.evaluate.backtest, "evaluate.backtest"):
        table = training.statistics(params, fold, decision)
        scores = {
            name: score.as_json() for name, score in intervals.evaluate(training.target, table, bootstrap).items()
        }
        inside = training.at[fold.inside]
        began, until = (times.written(column, float(at)) for at in (inside.min(), inside.max()))
        counts = {"trained": int(fold.before.sum()), "rows": len(inside)}
        found.append({"from": began, "until": until, **counts, "scores": scores})
    return found
