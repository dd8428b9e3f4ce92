"""Explains predictions: the Shapley value of each field of a row, against background rows.

A coalition is a set of fields: these have the row's values, the others those of a background row. Its worth is the
mean prediction over the background rows, and a field's contribution is its addition to the coalitions without it, with
the weights of Shapley ("A Value for n-Person Games", 1953). This is SHAP's interventional value (Lundberg and Lee
2017). Only predictions are used, so any estimator is explained, with its derived features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import comb

import numpy as np

from slipway.contract import Array
from slipway.model.predictor import Predictions

BUDGET = 1 << 15  # rows predicted to explain one: all coalitions of 11 fields with 16 background rows
CHUNK = 1024  # rows in one call of the predictor
PAIRS = 2  # of orders with each background row, at least: one alone has no standard error

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Explanations:
    """Explanations of n rows of d fields: `bases` plus the sum of `contributions` is the explained number.

    That is the value in a regression, otherwise the probability of the predicted class; of a model without
    probabilities, 1 for the predicted class and 0 for another.
    bases: the mean over the background rows, shape (n,). contributions: shape (n, d), in the order of the contract.
    errors: the contributions' standard errors if orders of the fields were sampled; None if they are exact.
    """

    predictions: Predictions
    bases: Array
    contributions: Array
    errors: Array | None


@dataclass(frozen=True)
class Design:
    """The coalitions whose worth is asked for, and what makes contributions of it.

    coalitions: bool, shape (cases, fields). background: the background row of each, shape (cases,).
    solve: from the predictions for the cases to base, contributions and their standard errors.
    """

    coalitions: Array
    background: Array
    solve: Callable[[Array], tuple[float, Array, Array | None]]


def explain(
    predict: Callable[[Arrays], Predictions], arrays: Arrays, background: Arrays, *, budget: int = BUDGET
) -> Explanations:
    """Explain the predictions for the contract's arrays, each of shape (rows,).

    predict: as `Predictor.predict_arrays`. background: arrays of the background rows. budget: rows that may be
    predicted to explain one; if all coalitions are more, some are sampled.
    """
    fields, size = len(arrays), len(next(iter(background.values())))
    design = _every(fields, size) if size << fields <= budget else _sampled(fields, size, budget)
    predictions = predict(arrays)
    bases, contributions, errors = [], [], []
    for row in range(len(predictions)):
        one = {name: values[row : row + 1] for name, values in arrays.items()}
        base, contribution, error = design.solve(_worth(predict, one, background, design, predictions.values[row]))
        bases.append(base)
        contributions.append(contribution)
        errors.append(error)
    exact = any(error is None for error in errors)
    return Explanations(predictions, np.array(bases), np.array(contributions), None if exact else np.array(errors))


def _worth(predict: Callable[[Arrays], Predictions], row: Arrays, background: Arrays, design: Design, to: int) -> Array:
    """Predict for each case of a design. to: the predicted class of the row."""
    found = []
    for start in range(0, len(design.coalitions), CHUNK):
        part = slice(start, start + CHUNK)
        kept, others = design.coalitions[part].T, design.background[part]
        mixed = {name: np.where(kept[n], row[name], background[name][others]) for n, name in enumerate(row)}
        answers = predict(mixed)
        if not answers.classes:
            found.append(answers.values)
        elif answers.probabilities is None:
            found.append((answers.values == to).astype(np.float64))
        else:
            found.append(answers.probabilities[:, to])
    return np.concatenate(found)


def _every(fields: int, size: int) -> Design:
    """All coalitions with all background rows: exact."""
    coalitions = (np.arange(1 << fields)[:, None] >> np.arange(fields)) & 1 == 1
    members = coalitions.sum(axis=1)
    weight = np.array([1 / (fields * comb(fields - 1, others)) for others in range(fields)])
    joined, left = weight[members - 1], -weight[np.minimum(members, fields - 1)]
    weights = np.where(coalitions, joined[:, None], left[:, None])

    def solve(predicted: Array) -> tuple[float, Array, None]:
        worth = predicted.reshape(-1, size).mean(axis=1)
        return float(worth[0]), worth @ weights, None

    return Design(np.repeat(coalitions, size, axis=0), np.tile(np.arange(size), len(coalitions)), solve)


def _sampled(fields: int, size: int, budget: int) -> Design:
    """Random orders in which the fields join one by one, each with its reverse (antithetic), as many for each row.

    Every order's steps add up to the difference of row and background row, so the means add up exactly; where fields
    act alone or in pairs they are exact, as of a pair the later field gets all in an order, and the other in its
    reverse (Castro et al. 2009, Mitchell et al. 2022).
    """
    pairs = max(PAIRS, budget // (2 * size * (fields + 1)))
    orders = np.tile(np.arange(fields), (size * pairs, 1))
    ranks = np.random.default_rng(0).permuted(orders, axis=1)  # the same for each row: its answer can be repeated
    ranks = np.concatenate([ranks, fields - 1 - ranks])
    coalitions = ranks[:, None, :] < np.arange(fields + 1)[:, None]
    background = np.repeat(np.tile(np.repeat(np.arange(size), pairs), 2), fields + 1)

    def solve(predicted: Array) -> tuple[float, Array, Array]:
        worth = predicted.reshape(len(ranks), fields + 1)
        steps = np.take_along_axis(np.diff(worth), ranks, axis=1).reshape(2, size, pairs, fields).mean(axis=0)
        errors = np.sqrt(steps.var(axis=1, ddof=1).sum(axis=0) / pairs) / size
        return float(worth[:, 0].mean()), steps.mean(axis=(0, 1)), errors

    return Design(coalitions.reshape(-1, fields), background, solve)
