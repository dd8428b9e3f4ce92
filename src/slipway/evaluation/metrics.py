"""Scores with their intervals: of one model, of two models on the same rows, of slices.

Rows are first summed into additive statistics for each group (a patient with all rows of the patient), from which every
score can be computed. A bootstrap (Efron 1979) then resamples whole groups, since rows of one group are not
independent, and costs the same for a thousand rows as for a million. Two models are compared on the same
resamplings, which makes the interval of their difference a paired one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway.contract import Array, Target
from slipway.model.predictor import Predictions, label_name

CALIBRATION_BINS = 10
MOST_GROUPS = 4000  # more are merged at random: the interval is as good, and memory stays bounded
LEAST_PROBABILITY = 1e-15
LOWER_IS_BETTER = frozenset({"log_loss", "calibration_error", "mae", "rmse"})


@dataclass(frozen=True)
class Score:
    """A point estimate and its interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """Give the three numbers by name."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: the number of resamplings, the confidence, the seed."""

    samples: int
    confidence: float
    seed: int = 0

    def weights(self, groups: int) -> Array:
        """Draw how often each group occurs in each resampling; shape (samples, groups)."""
        rng = np.random.default_rng(self.seed)
        return rng.multinomial(groups, np.full(groups, 1 / groups), size=self.samples).astype(np.float64)

    def interval(self, values: Array) -> tuple[float, float]:
        """Give the percentile interval of a score's resampled values, shape (samples,)."""
        tail = (1 - self.confidence) / 2
        low, high = np.nanquantile(values, [tail, 1 - tail])
        return float(low), float(high)


def headlines(target: Target) -> tuple[str, ...]:
    """Name the scores that every slice has; plots show the first."""
    return ("accuracy", "macro_f1", "log_loss") if target.classes else ("r2", "mae", "rmse")


def names(target: Target) -> tuple[str, ...]:
    """Name every score of this target's kind."""
    if not target.classes:
        return headlines(target)
    labels = [label_name(label) for label in target.classes]
    each = [f"{score}.{label}" for score in ("precision", "recall") for label in labels]
    return (*headlines(target), "calibration_error", *each)


def statistics(target: Target, truth: Array, predictions: Predictions, groups: Array) -> Array:
    """Sum each group's rows into the statistics that scores are computed from; float64, shape (groups, statistics).

    truth: class indices or values, shape (rows,). groups: the number of each row's group, from 0, shape (rows,).
    """
    size = int(groups.max(initial=-1)) + 1
    if size > MOST_GROUPS:
        groups = np.random.default_rng(0).integers(0, MOST_GROUPS, size)[groups]
        size = MOST_GROUPS

    def summed(values: Array, part: Array | int = 0, parts: int = 1) -> Array:
        return np.bincount(groups * parts + part, values, minlength=size * parts).reshape(size, parts)

    ones, predicted = np.ones(len(truth)), predictions.values
    if not target.classes:
        error = predicted - truth
        return np.hstack([summed(column) for column in (ones, error**2, np.abs(error), truth, truth**2)])
    k = len(target.classes)
    columns = [summed(ones), summed((predicted == truth).astype(float), truth, k)]
    columns += [summed(ones, predicted, k), summed(ones, truth, k)]
    if predictions.probabilities is not None:
        for label in range(k):
            probability = predictions.probabilities[:, label]
            columns.append(summed(probability - (truth == label), _bins(probability), CALIBRATION_BINS))
        likelihood = np.clip(predictions.probabilities[np.arange(len(truth)), truth], LEAST_PROBABILITY, 1)
        columns.append(summed(-np.log(likelihood)))
    return np.hstack(columns)


def _bins(probability: Array) -> Array:
    bins: Array = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return bins


def scores(target: Target, totals: Array) -> dict[str, Array]:
    """Compute every score from summed statistics; shape (..., statistics) gives scores of shape (...).

    A score that is not defined (the recall of a class that does not occur) is NaN.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        if target.classes:
            return _classification_scores(target, totals)
        n, squared, absolute, total, total_squared = np.moveaxis(totals, -1, 0)
        spread = total_squared - total**2 / n
        return {"r2": 1 - squared / spread, "mae": absolute / n, "rmse": np.sqrt(squared / n)}


def _classification_scores(target: Target, totals: Array) -> dict[str, Array]:
    k = len(target.classes)
    n = totals[..., 0]
    hits, predicted, true = (totals[..., 1 + i * k : 1 + (i + 1) * k] for i in range(3))
    f1 = 2 * hits / (predicted + true)
    found: dict[str, Array] = {"accuracy": hits.sum(-1) / n, "macro_f1": _mean_of_defined(f1)}
    if totals.shape[-1] > 1 + 3 * k:
        gaps = totals[..., 1 + 3 * k : -1]  # probability minus truth, by class and bin
        found["log_loss"] = totals[..., -1] / n
        found["calibration_error"] = np.abs(gaps).sum(-1) / n / k
    for i, label in enumerate(target.classes):
        found[f"precision.{label_name(label)}"] = hits[..., i] / predicted[..., i]
    for i, label in enumerate(target.classes):
        found[f"recall.{label_name(label)}"] = hits[..., i] / true[..., i]
    return found


def _mean_of_defined(values: Array) -> Array:
    defined = ~np.isnan(values)
    mean: Array = np.where(defined, values, 0).sum(-1) / defined.sum(-1)
    return mean


def evaluate(target: Target, table: Array, bootstrap: Bootstrap) -> dict[str, Score]:
    """Give every defined score with its interval. table: `statistics` of one model."""
    point = scores(target, table.sum(axis=0))
    spread = scores(target, bootstrap.weights(len(table)) @ table)
    return {
        name: Score(float(value), *bootstrap.interval(spread[name]))
        for name, value in point.items()
        if not np.isnan(value)
    }


def compare(target: Target, candidate: Array, champion: Array, bootstrap: Bootstrap) -> dict[str, Score]:
    """Give candidate minus champion for every score that both have, with paired intervals.

    Both arguments are `statistics` over the same rows and groups.
    """
    weights = bootstrap.weights(len(candidate))
    points = [scores(target, table.sum(axis=0)) for table in (candidate, champion)]
    spreads = [scores(target, weights @ table) for table in (candidate, champion)]
    return {
        name: Score(float(points[0][name] - points[1][name]), *bootstrap.interval(spreads[0][name] - spreads[1][name]))
        for name in points[0]
        if name in points[1] and not np.isnan(points[0][name] - points[1][name])
    }


def constant(target: Target, truth: Array) -> Predictions:
    """Make the best prediction that is the same for every row: the shares of the classes, or the mean.

    truth: class indices or values, shape (rows,).
    """
    rows = len(truth)
    if not target.classes:
        return Predictions(np.full(rows, truth.mean()), None, ())
    shares = np.bincount(truth, minlength=len(target.classes)) / rows
    return Predictions(np.full(rows, shares.argmax()), np.tile(shares, (rows, 1)), target.classes)


def calibration(target: Target, truth: Array, probabilities: Array) -> list[dict[str, Any]]:
    """Give, for each class and each bin of its probability that holds rows: mean probability, share of the class, rows.

    Of two classes only the second, which is taken for the positive one: the first mirrors it.
    probabilities: float64, shape (rows, classes).
    """
    found = []
    for label, name in enumerate(target.classes):
        if len(target.classes) == 2 and label == 0:
            continue
        probability = probabilities[:, label]
        bins = _bins(probability)
        for number in np.unique(bins):
            inside = bins == number
            point = {"predicted": float(probability[inside].mean()), "observed": float((truth[inside] == label).mean())}
            found.append({"class": label_name(name), **point, "rows": int(inside.sum())})
    return found
