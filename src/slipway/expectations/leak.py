"""Does one feature tell the target? How well each feature alone predicts it, in rows that it was not learned on.

A feature that alone is (nearly) never wrong was most likely recorded after the target was known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from slipway.contract import Array, Column, Contract, Target
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = 50
STRETCH = 5  # rows: fewer that agree may be chance


def scores(features: Contract, target: Target, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """Score each feature alone, 0 to 1; features and targets that are not of their kind are left out.

    Each part is predicted from the other, so that all rows are judged, and no individual by itself. Classification:
    the share of each class that is recognised, averaged over the classes, so that a rare class counts like any other.
    Regression: R2 between ranks, so that a few huge values do not hide that the order is known.
    """
    parts = (train, test)
    truth = [_truth(target, part) for part in parts]
    known = [~np.isnan(values) for values in truth]
    answers = [values[there] for values, there in zip(truth, known, strict=True)]
    if any(len(np.unique(values)) < 2 for values in answers):
        return {}  # nothing to tell apart
    whole = np.concatenate(answers)
    if not target.classes:
        whole = np.unique(whole, return_inverse=True)[1].astype(float)
        answers = np.split(whole, [len(answers[0])])
    result = {}
    for column in features.columns:
        try:
            one, other = (column.array(part[column.name])[there] for part, there in zip(parts, known, strict=True))
        except (KeyError, SlipwayError):
            continue  # lacking, or not of its kind: another expectation says so
        guesses = [
            _guess(column, other, answers[1], one, classes=bool(target.classes)),
            _guess(column, one, answers[0], other, classes=bool(target.classes)),
        ]
        score = (_recognised if target.classes else _explained)(np.concatenate(guesses), whole)
        result[column.name] = round(score, 6)
    return result


def _truth(target: Target, table: pd.DataFrame) -> Array:
    """Give the target as float64, classes as their index; NaN where it is none."""
    try:
        values = target.column.array(table[target.column.name])
    except (KeyError, SlipwayError):
        return np.full(len(table), np.nan)
    if not target.classes:
        return values
    return np.select([values == label for label in target.classes], range(len(target.classes)), default=np.nan)


def _guess(column: Column, seen: Array, answers: Array, shown: Array, *, classes: bool) -> Array:
    """Predict for `shown` what the rows of the same bin in `seen` say: their mean, or their most usual class.

    Each class weighs the same, however many rows it has.
    """
    bins, asked = _bins(column, seen, shown, answers if classes else None)
    size = int(max(bins.max(), asked.max())) + 1
    if not classes:
        filled = np.bincount(bins, minlength=size)
        sums = np.bincount(bins, weights=answers, minlength=size)
        means: Array = np.where(filled > 0, sums / np.maximum(filled, 1), answers.mean())
        return means[asked]
    labels, index = np.unique(answers, return_inverse=True)
    counts = np.bincount(bins * len(labels) + index, minlength=size * len(labels)).reshape(size, len(labels))
    usual: Array = labels[(counts / np.bincount(index)).argmax(axis=1)]
    return usual[asked]


def _bins(column: Column, seen: Array, shown: Array, classes: Array | None) -> tuple[Array, Array]:
    """Number the bin of each value, from 0. Missing values have their own bin."""
    if not column.numeric:
        return _categories(seen, shown)
    present = np.isfinite(seen)
    amount = max(1, min(QUANTILES, int(present.sum()) // STRETCH))
    ranks = np.linspace(0, 1, amount + 1)[1:-1]  # the first and the last bin are open
    edges = np.quantile(seen[present], ranks) if present.any() else np.empty(0)
    if classes is not None:
        edges = np.concatenate([edges, _turns(seen[present], classes[present])])
    edges = np.unique(edges)
    absent = len(edges) + 1

    def place(values: Array) -> Array:
        return np.where(np.isnan(values), absent, np.searchsorted(edges, values, side="right"))

    return place(seen), place(shown)


def _categories(seen: Array, shown: Array) -> tuple[Array, Array]:
    """Number categories and texts; bin 0 is for those that were seen too rarely to learn from."""
    import pandas as pd

    codes, _ = pd.factorize(np.concatenate([seen, shown]))
    often = np.bincount(codes[: len(seen)], minlength=codes.max() + 1) >= STRETCH
    bins = np.where(often, np.cumsum(often), 0)[codes]
    return bins[: len(seen)], bins[len(seen) :]


def _turns(values: Array, classes: Array) -> Array:
    """Find the values where a stretch of neighbours of one class begins or ends: bins must not straddle those."""
    order = np.argsort(values, kind="stable")
    values, classes = values[order], classes[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(classes)) + 1])
    ends = np.append(starts[1:], len(values))
    long = ends - starts >= STRETCH
    cuts = np.union1d(starts[long], ends[long])
    cuts = cuts[(cuts > 0) & (cuts < len(values))]
    middle: Array = (values[cuts - 1] + values[cuts]) / 2
    return middle


def _recognised(guesses: Array, truth: Array) -> float:
    hits = guesses == truth
    return float(np.mean([hits[truth == label].mean() for label in np.unique(truth)]))


def _explained(guesses: Array, truth: Array) -> float:
    return float(max(0.0, 1 - ((truth - guesses) ** 2).mean() / truth.var()))
