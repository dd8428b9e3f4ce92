"""Folds of the training rows, windows of time or groups: fitted on some and scored on others, without the test set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from slipway.contract import Array, Column, features, record, target
from slipway.evaluation import intervals, metrics
from slipway.evaluation.intervals import Bootstrap
from slipway.fitting import held_out, threshold, weights_of
from slipway.model.derived import derive
from slipway.model.manifest import Decision
from slipway.model.predictor import decide
from slipway.problem import Problem, SlipwayError
from slipway.problem.params import Params


class Fold(NamedTuple):
    """The rows that are fitted on and those that are predicted: boolean, shape (rows,). place: for errors."""

    before: Array
    inside: Array
    place: str


class TrainingRows:
    """The training rows as the estimator sees them, with their truth, groups and, if they have one, time."""

    def __init__(self, problem: Problem, rows: pd.DataFrame) -> None:
        self._problem, self._rows = problem, rows
        self.target, contract = target(problem), features(problem)
        self.truth: Array = self.target.encode(rows[problem.target])
        arrays = contract.arrays(rows)
        derived = derive(problem, arrays)
        self._arrays = derived(arrays) if derived else arrays
        self._groups = rows.groupby(list(problem.groups), sort=False, dropna=False).ngroup().to_numpy()
        self.time: Column | None = record(problem)[problem.time] if problem.time else None
        self.at: Array = self.time.points(rows[self.time.name]) if self.time else np.zeros(len(rows))

    def windows(self, params: Params, number: int, place: str) -> Iterator[Fold]:
        """Give windows of time, oldest first, each with all rows before it, less the gap of `prepare`.

        place: the parameter that asks for them. Raises SlipwayError if there are too few times.
        """
        assert self.time is not None  # noqa: S101  (a split by time has one)
        starts = window_starts(self.at, number, place)
        for start, end in zip(starts, [*starts[1:], np.inf], strict=True):
            inside = (self.at >= start) & (self.at < end)
            before = self.at < start - params.prepare.gap * self.time.gap
            if params.prepare.split == "group_and_time":
                before &= ~np.isin(self._groups, self._groups[inside])
            yield Fold(before, inside, f"{place}: before the window from {self.time.written(start)} on")

    def folds(self, params: Params, number: int, place: str) -> Iterator[Fold]:
        """Give windows of time where the test set is split off by time, else parts of about as many groups.

        Raises SlipwayError if there are too few times or groups.
        """
        from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

        if params.prepare.by_time:
            yield from self.windows(params, number, place)
            return
        if (groups := len(np.unique(self._groups))) < number:
            raise SlipwayError(f"params.yaml: {place}: {number} folds of {groups} groups")
        kind = StratifiedGroupKFold if self.target.classes else GroupKFold
        split = kind(number, shuffle=True, random_state=params.train.seed)
        for count, (_, rows) in enumerate(split.split(self.truth, self.truth, self._groups), 1):
            inside = np.isin(np.arange(len(self.truth)), rows)
            yield Fold(~inside, inside, f"{place}: without fold {count}")

    def statistics(self, params: Params, fold: Fold, decision: Decision | None) -> Array:
        """Fit on the rows before, predict those inside, and sum the predictions up by group (see `metrics.statistics`).

        decision: the labels' threshold. Raises SlipwayError if the rows that are fitted on lack a class.
        """
        truth = self.truth[fold.before]
        lacking = [str(label) for index, label in enumerate(self.target.classes) if not (truth == index).any()]
        if lacking or not len(truth):
            what = f"has the class {', '.join(lacking)}" if lacking else "is left to train on"
            raise SlipwayError(f"params.yaml: {fold.place} no row {what}")
        output = held_out(
            self._problem,
            params,
            self._arrays,
            self.truth,
            weights_of(self._problem, self._rows[fold.before]),
            before=fold.before,
            inside=fold.inside,
            classes=len(self.target.classes),
        )
        groups = np.unique(self._groups[fold.inside], return_inverse=True)[1]
        decided = decide(output, self.target.classes, decision)
        return metrics.statistics(self.target, self.truth[fold.inside], decided, groups)

    def decision(self, params: Params, fold: Fold) -> Decision | None:
        """Choose the threshold that `train.decision` asks for, on the rows that are fitted on."""
        arrays = {name: values[fold.before] for name, values in self._arrays.items()}
        return threshold.choose(self._problem, params, self.target, arrays, self._rows[fold.before])[0]


def backtest(
    problem: Problem, params: Params, rows: pd.DataFrame, decision: Decision | None = None
) -> list[dict[str, Any]]:
    """Backtest: fit the estimator again on the rows before each window of time, and score it there.

    One test set says how good a model is in one period; the windows say how much that varies. Each window's model
    learns from all earlier rows (an expanding window: Hyndman and Athanasopoulos, "Forecasting", 5.10). Gives each
    window's time, numbers of rows, and scores with intervals, oldest first. rows: the training rows. decision: the
    bundle's decision threshold, which every window's labels are by.
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
        began, until = (column.written(float(at)) for at in (inside.min(), inside.max()))
        counts = {"trained": int(fold.before.sum()), "rows": len(inside)}
        found.append({"from": began, "until": until, **counts, "scores": scores})
    return found


def window_starts(at: Array, windows: int, place: str) -> list[float]:
    """Give the first time of each window: the times in `windows` + 1 parts of about as many rows, less the first part.

    Rows of one time are never in two windows. Raises SlipwayError if there are too few times.
    """
    ordered = np.sort(at)
    starts = np.unique([ordered[len(at) * part // (windows + 1)] for part in range(1, windows + 1)])
    if len(starts) < windows or starts[0] <= ordered[0]:
        raise SlipwayError(
            f"params.yaml: {place}: {windows} windows need more different times than the training rows have"
        )
    return [float(start) for start in starts]
