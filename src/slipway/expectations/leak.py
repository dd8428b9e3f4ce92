"""Does one feature tell the target? How well each feature alone predicts held-out rows, learned on training rows.

A feature that alone is (nearly) never wrong was most likely recorded after the target was known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from slipway.contract import Array, Column, Contract, Target
from slipway.errors import SlipwayError

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = 50
STRETCH = 5  # as many neighbours of one class are a place where the feature speaks clearly


def scores(features: Contract, target: Target, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """Score each feature alone, 0 to 1; features and targets that are not of their kind are left out.

    Classification: each bin of the feature's values predicts its most usual class, and the score is the share of
    each class that is recognised, averaged over the classes (so that a rare class counts like any other).
    Regression: each bin predicts its mean, and the score is R2 between ranks (so that a few huge values do not hide
    that the order is known).
    """
    learned, asked = _truth(target, train), _truth(target, test)
    if learned is None or asked is None:
        return {}
    known, judged = ~np.isnan(learned), ~np.isnan(asked)
    learned, asked = learned[known], asked[judged]
    if len(np.unique(learned)) < 2 or len(np.unique(asked)) < 2:
        return {}  # nothing to tell apart
    score = _recognised if target.classes else _explained
    result = {}
    for column in features.columns:
        try:
            seen, shown = column.array(train[column.name])[known], column.array(test[column.name])[judged]
        except (KeyError, SlipwayError):
            continue  # lacking, or not of its kind: another expectation says so
        bins = _bins(column, seen, shown, learned if target.classes else None)
        result[column.name] = round(score(*bins, learned, asked), 6)
    return result


def _truth(target: Target, table: pd.DataFrame) -> Array | None:
    """Give the target as float64, classes as their index; NaN where it is none."""
    if target.column.name not in table:
        return None
    try:
        values = target.column.array(table[target.column.name])
    except SlipwayError:
        return None
    if not target.classes:
        return values
    return np.select([values == label for label in target.classes], range(len(target.classes)), default=np.nan)


def _bins(column: Column, seen: Array, shown: Array, classes: Array | None) -> tuple[Array, Array]:
    """Number the bin of each value, from 0, for training and held-out rows. Missing values have their own bin."""
    if not column.numeric:
        return _categories(seen, shown)
    present = np.isfinite(seen)
    edges = np.quantile(seen[present], np.linspace(0, 1, QUANTILES + 1)) if present.any() else np.empty(0)
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
    """Find the values where a stretch of neighbours of one class ends: bins must not straddle those."""
    order = np.argsort(values, kind="stable")
    values, classes = values[order], classes[order]
    ends = np.flatnonzero(np.diff(classes)) + 1
    starts = np.concatenate([[0], ends])
    lengths = np.diff(np.concatenate([starts, [len(values)]]))
    long = lengths >= STRETCH
    cuts = np.union1d(starts[long], (starts + lengths)[long])
    cuts = cuts[(cuts > 0) & (cuts < len(values))]
    middle: Array = (values[cuts - 1] + values[cuts]) / 2
    return middle


def _recognised(seen: Array, shown: Array, learned: Array, asked: Array) -> float:
    """Mean recall of the held-out classes when each bin predicts its most usual class, each class weighing the same."""
    _, classes = np.unique(learned, return_inverse=True)
    labels = np.unique(learned)
    size = int(max(seen.max(), shown.max())) + 1
    counts = np.bincount(seen * len(labels) + classes, minlength=size * len(labels)).reshape(size, len(labels))
    shares = counts / np.bincount(classes)
    predicted = labels[np.where(counts.any(axis=1), shares.argmax(axis=1), np.bincount(classes).argmax())]
    hits = predicted[shown] == asked
    return float(np.mean([hits[asked == label].mean() for label in np.unique(asked)]))


def _explained(seen: Array, shown: Array, learned: Array, asked: Array) -> float:
    """R2 of the bins' means, between ranks; 0 at least."""
    ordered = np.sort(learned)

    def rank(values: Array) -> Array:
        return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2

    learned, asked = rank(learned), rank(asked)
    size = int(max(seen.max(), shown.max())) + 1
    counts, sums = np.bincount(seen, minlength=size), np.bincount(seen, weights=learned, minlength=size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), learned.mean())
    spread = ((asked - asked.mean()) ** 2).sum()
    return float(max(0.0, 1 - ((asked - means[shown]) ** 2).sum() / spread)) if spread else 0.0
