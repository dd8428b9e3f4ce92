"""Scores with their intervals: of one model, of two models on the same rows, of slices.

Rows are first summed into additive statistics for each group (an individual with all its rows), from which every
score can be computed. A bootstrap (Efron 1979) then resamples whole groups, since rows of one individual are not
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
    """Name the scores that one number of any slice can be asked for; the first is the one for plots."""
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
    if target.classes:
        columns = _classification_columns(len(target.classes), truth, predictions)
    else:
        error = predictions.values - truth
        columns = [np.ones(len(truth)), error**2, np.abs(error), truth, truth**2]
    size = int(groups.max(initial=-1)) + 1
    if size > MOST_GROUPS:
        groups = np.random.default_rng(0).integers(0, MOST_GROUPS, size)[groups]
        size = MOST_GROUPS
    return np.stack([np.bincount(groups, weights=column, minlength=size) for column in columns], axis=1)


def _classification_columns(classes: int, truth: Array, predictions: Predictions) -> list[Array]:
    predicted = predictions.values
    hit = predicted == truth
    columns = [np.ones(len(truth))]
    columns += [(hit & (truth == k)).astype(float) for k in range(classes)]
    columns += [(predicted == k).astype(float) for k in range(classes)]
    columns += [(truth == k).astype(float) for k in range(classes)]
    if predictions.probabilities is None:
        return columns
    likelihood = np.clip(predictions.probabilities[np.arange(len(truth)), truth], LEAST_PROBABILITY, 1)
    confidence = predictions.probabilities.max(axis=1)
    index = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    for k in range(CALIBRATION_BINS):
        inside = index == k
        columns += [inside.astype(float), inside * confidence, (inside & hit).astype(float)]
    return [*columns, -np.log(likelihood)]


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
        bins = totals[..., 1 + 3 * k : -1].reshape(*totals.shape[:-1], CALIBRATION_BINS, 3)
        found["log_loss"] = totals[..., -1] / n
        found["calibration_error"] = np.abs(bins[..., 1] - bins[..., 2]).sum(-1) / n
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


def calibration(target: Target, table: Array) -> list[dict[str, Any]]:
    """Give, for each bin of confidence that holds rows: mean confidence, share of right answers, rows."""
    k = len(target.classes)
    bins = table.sum(axis=0)[1 + 3 * k : -1].reshape(-1, 3)
    return [
        {"confidence": float(confidence / n), "accuracy": float(right / n), "rows": int(n)}
        for n, confidence, right in bins
        if n
    ]
