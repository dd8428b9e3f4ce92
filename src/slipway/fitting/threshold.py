"""The decision threshold of a binary classifier: from which probability of a class on that class is predicted.

It is chosen by cross-validation over groups on the training rows alone: each row's probability comes from an estimator
that has not seen its group, so the threshold is not fitted to the rows by which it is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from slipway.contract import Array, Target
from slipway.fitting import held_out, weights_of
from slipway.model.manifest import Decision
from slipway.problem import Problem, SlipwayError
from slipway.problem.params import Decision as Asked
from slipway.problem.params import Params

if TYPE_CHECKING:
    import pandas as pd

FOLDS = 5
CURVE = np.round(np.linspace(0.01, 0.99, 99), 2)
DIGITS = 6
FEW = "train.decision: cross-validation over groups needs more groups of each class"


def choose(
    problem: Problem, params: Params, goal: Target, arrays: Mapping[str, Array], rows: pd.DataFrame
) -> tuple[Decision | None, list[list[float]]]:
    """Choose the threshold that `train.decision` asks for, if it does; give it with the curve over thresholds.

    arrays: the estimator's inputs, of the training rows; rows: their table. The curve's points are threshold and f1, or
    mean cost of a row. Raises SlipwayError if the estimator gives no probabilities, or there are too few groups.
    """
    asked = params.train.decision
    if asked is None:
        return None, []
    positive, truth = goal.classes.index(asked.positive), goal.encode(rows[problem.target])
    groups = rows.groupby(list(problem.groups), sort=False, dropna=False).ngroup().to_numpy()
    probability = out_of_fold(problem, params, arrays, truth, groups, weights_of(problem, rows))[:, positive]
    distinct, actual = np.unique(probability), truth == positive
    middles = (distinct[1:] + distinct[:-1]) / 2
    candidates = np.round([distinct[0] / 2, *middles, (1 + distinct[-1]) / 2], DIGITS)
    candidates = np.clip(candidates, 10.0**-DIGITS, 1 - 10.0**-DIGITS)
    values = measure(asked, actual, probability, candidates)
    best = candidates[values == (values.max() if asked.maximize == "f1" else values.min())]
    chosen = Decision(
        positive=goal.classes[positive],
        threshold=float(best[np.abs(best - 0.5).argmin()]),
        maximize=asked.maximize,
        costs=asked.costs.model_dump() if asked.costs else None,
    )
    curve = measure(asked, actual, probability, CURVE)
    return chosen, [[float(at), float(f"{value:.6g}")] for at, value in zip(CURVE, curve, strict=True)]


def measure(asked: Asked, actual: Array, probability: Array, thresholds: Array) -> Array:
    """Compute F1, or the mean cost of a row, of each threshold; shape of `thresholds`.

    actual: whether each row is of the positive class. probability: of that class.
    """
    order = np.sort(probability[actual]), np.sort(probability[~actual])
    hits, false_alarms = (len(one) - np.searchsorted(one, thresholds, side="left") for one in order)
    misses = len(order[0]) - hits
    if asked.costs:
        cost: Array = asked.costs.false_positive * false_alarms + asked.costs.false_negative * misses
        return cost / len(actual)
    f1: Array = 2 * hits / np.maximum(2 * hits + false_alarms + misses, 1)
    return f1


def out_of_fold(
    problem: Problem,
    params: Params,
    arrays: Mapping[str, Array],
    truth: Array,
    groups: Array,
    weights: Array | None,
) -> Array:
    """Predict each row's probabilities by an estimator fitted without the row's group; shape (rows, classes)."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = min(FOLDS, *(len(np.unique(groups[truth == label])) for label in np.unique(truth)))
    if folds < 2:
        raise SlipwayError(FEW)
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=params.train.seed).split(truth, truth, groups)
    found = np.full((len(truth), 2), np.nan)
    for before, inside in split:
        of_fitted = None if weights is None else weights[before]
        output = held_out(problem, params, arrays, truth, of_fitted, before=before, inside=inside, classes=2)
        if output.probabilities is None:
            name = type(problem.build(**params.model)).__name__
            raise SlipwayError(f"train.decision: {name} gives no probabilities to decide by")
        if output.probabilities.shape[1] != found.shape[1]:
            raise SlipwayError(FEW)
        found[inside] = output.probabilities
    return found
