"""Scores of predictions, computed from additive statistics of groups of rows, of which `intervals` takes samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from slipway.contract import Array, Target
from slipway.model.predictor import Predictions, label_name
from slipway.problem import SlipwayError

CALIBRATION_BINS = 10
MAX_GROUPS = 4000  # more are merged at random: the interval is as good, and memory is bounded
MIN_PROBABILITY = 1e-15
RANKS = 512  # distinct probabilities for roc_auc: exact up to as many rows, within 0.002 beyond
PINBALL = "pinball."
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "calibration_error", "mae", "rmse", "mape"})
Compute = Callable[[Target, Array], dict[str, Array]]  # `scores` or `selection_rates`


def headlines(target: Target) -> tuple[str, ...]:
    """Name the scores that every slice has; plots show the first."""
    return (*(("accuracy", "macro_f1", "log_loss") if target.classes else ("r2", "mae", "rmse")), *target.metrics)


def lower_is_better(name: str) -> bool:
    """Whether the least of a score is the best."""
    own = "." not in name and name.endswith(("_loss", "_error"))
    return own or name in LOWER_IS_BETTER or name.startswith(PINBALL)


def names(target: Target) -> tuple[str, ...]:
    """Name every score of this target's kind."""
    if not target.classes:
        return (*headlines(target), "mape")
    labels = [label_name(label) for label in target.classes]
    each = [f"{score}.{label}" for score in ("precision", "recall", "f1") for label in labels]
    ranked = ("roc_auc", "average_precision") if len(labels) == 2 else ()
    return (*headlines(target), "balanced_accuracy", "brier", "calibration_error", *ranked, *each)


def statistics(target: Target, truth: Array, predictions: Predictions, groups: Array, *, ranked: bool = True) -> Array:
    """Sum each group's rows into statistics for `scores`; float64, shape (groups, statistics).

    truth: class indices or values, shape (rows,). groups: the number of each row's group, from 0, shape (rows,).
    ranked: also what roc_auc and average_precision need, which is by far the most of the statistics.
    """
    size = int(groups.max(initial=-1)) + 1
    if size > MAX_GROUPS:
        groups = np.random.default_rng(0).integers(0, MAX_GROUPS, size)[groups]
        size = MAX_GROUPS

    def summed(values: Array, part: Array | int = 0, parts: int = 1) -> Array:
        return np.bincount(groups * parts + part, values, minlength=size * parts).reshape(size, parts)

    ones, predicted = np.ones(len(truth)), predictions.values
    if not target.classes:
        error = predicted - truth
        relative = np.abs(error) / np.maximum(np.abs(truth), np.finfo(np.float64).eps)
        under = np.maximum(-error, 0)  # how far the prediction is too low
        parts = (ones, error**2, np.abs(error), truth, truth**2, relative, under, *_own(target, truth, predictions))
        return np.hstack([summed(part) for part in parts])
    k = len(target.classes)
    columns = [summed(ones), summed((predicted == truth).astype(float), truth, k)]
    columns += [summed(ones, predicted, k), summed(ones, truth, k)]
    if predictions.probabilities is not None:
        for label in range(k):
            probability = predictions.probabilities[:, label]
            columns.append(summed(probability - (truth == label), _bins(probability), CALIBRATION_BINS))
        likelihood = np.clip(predictions.probabilities[np.arange(len(truth)), truth], MIN_PROBABILITY, 1)
        columns.append(summed(-np.log(likelihood)))
        columns.append(summed(((predictions.probabilities - np.eye(k)[truth]) ** 2).sum(axis=1)))
        if ranked and k == 2:
            ranks = _ranks(predictions.probabilities[:, 1])
            columns += [summed((truth == label).astype(float), ranks, RANKS) for label in (0, 1)]
    columns += [summed(values) for values in _own(target, truth, predictions)]
    return np.hstack(columns)


def _own(target: Target, truth: Array, predictions: Predictions) -> Iterator[Array]:
    """Give the rows' values of the project's own scores. Raises SlipwayError if they are not one number a row."""
    labels = np.array(target.classes, dtype=object)
    told = [labels[values] if target.classes else values for values in (truth, predictions.values)]
    for name, function in target.own.items():
        values = np.asarray(function(*told, predictions.probabilities), dtype=np.float64)
        if values.shape != truth.shape or not np.isfinite(values).all():
            raise SlipwayError(
                f"{function.name} gave an array of shape {values.shape}, or one with NaN or infinity; "
                f"{name} must be one finite number for each of the {len(truth)} rows"
            )
        yield values


def _bins(probability: Array) -> Array:
    bins: Array = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return bins


def _ranks(probability: Array) -> Array:
    """Number the distinct values in ascending order; of more than RANKS, neighbours share a number."""
    edges = np.unique(probability)
    if len(edges) > RANKS:
        edges = np.unique(np.quantile(probability, np.linspace(0, 1, RANKS, endpoint=False)))
    ranks: Array = np.searchsorted(edges, probability, side="right") - 1
    return ranks


def scores(target: Target, totals: Array) -> dict[str, Array]:
    """Compute every score from summed statistics; shape (..., statistics) gives scores of shape (...).

    An undefined score (the recall of a class that does not occur) is NaN.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        size = totals.shape[-1] - len(target.own)
        totals, own = totals[..., :size], totals[..., size:]
        means = {name: own[..., position] / totals[..., 0] for position, name in enumerate(target.own)}
        if target.classes:
            return _classification_scores(target, totals) | means
        n, squared, absolute, total, total_squared, relative, under = np.moveaxis(totals, -1, 0)
        spread = total_squared - total**2 / n
        errors = {"mae": absolute / n, "rmse": np.sqrt(squared / n), "mape": relative / n}
        for name in target.metrics:  # pinball loss (Koenker and Bassett 1978): what is predicted too low costs q
            if name in target.own:
                continue
            q = float(name.removeprefix(PINBALL))
            errors[name] = (q * under + (1 - q) * (absolute - under)) / n
        return {"r2": 1 - squared / spread, **errors, **means}


def _classification_scores(target: Target, totals: Array) -> dict[str, Array]:
    k = len(target.classes)
    widths = [1, k, k, k, k * CALIBRATION_BINS, 1, 1, RANKS]
    n, hits, predicted, true, gaps, likelihood, squares, *ranks = np.split(totals, np.cumsum(widths), axis=-1)
    rates = {"precision": hits / predicted, "recall": hits / true, "f1": 2 * hits / (predicted + true)}
    n = n[..., 0]
    found = {
        "accuracy": hits.sum(-1) / n,
        "macro_f1": np.nanmean(rates["f1"], axis=-1),
        "balanced_accuracy": np.nanmean(rates["recall"], axis=-1),
    }
    if likelihood.shape[-1]:  # there are probabilities
        found["log_loss"] = likelihood[..., 0] / n
        found["brier"] = squares[..., 0] / n / (2 if k == 2 else 1)
        found["calibration_error"] = np.abs(gaps).sum(-1) / n / k  # of probability minus truth, by class and bin
    if ranks[-1].shape[-1]:
        found |= _ranked_scores(*ranks)
    for rate, values in rates.items():
        found |= {f"{rate}.{label_name(label)}": values[..., i] for i, label in enumerate(target.classes)}
    return found


def _ranked_scores(negative: Array, positive: Array) -> dict[str, Array]:
    """Compute roc_auc and average_precision from the rows of each class by ascending rank; shape (..., RANKS)."""
    positives, negatives = positive.sum(-1), negative.sum(-1)
    below = np.cumsum(negative, axis=-1) - negative / 2  # rows of one rank are ties: half of them count
    from_here = np.cumsum((positive + negative)[..., ::-1], axis=-1)[..., ::-1]
    true_from_here = np.cumsum(positive[..., ::-1], axis=-1)[..., ::-1]
    precision = true_from_here / np.maximum(from_here, 1)
    return {
        "roc_auc": (positive * below).sum(-1) / (positives * negatives),
        "average_precision": (positive * precision).sum(-1) / positives,
    }


def selection_rates(target: Target, totals: Array) -> dict[str, Array]:
    """Compute the share of rows for which each class is predicted; shapes as for `scores`."""
    k = len(target.classes)
    predicted = totals[..., 1 + k : 1 + 2 * k] / totals[..., :1]
    return {f"selection_rate.{label_name(label)}": predicted[..., i] for i, label in enumerate(target.classes)}


def constant(target: Target, truth: Array) -> Predictions:
    """Make the best constant prediction: the shares of the classes, or the mean.

    truth: class indices or values, shape (rows,).
    """
    rows = len(truth)
    if not target.classes:
        return Predictions(np.full(rows, truth.mean()), None, ())
    shares = np.bincount(truth, minlength=len(target.classes)) / rows
    return Predictions(np.full(rows, shares.argmax()), np.tile(shares, (rows, 1)), target.classes)


def calibration(target: Target, truth: Array, probabilities: Array) -> list[dict[str, Any]]:
    """Give mean probability, share of the class and rows, for each class and each non-empty bin of its probability.

    With two classes only for the second, the positive one, as the first mirrors it.
    probabilities: float64, shape (rows, classes).
    """
    points = _reliability(target, truth, probabilities)
    return [{"class": label_name(target.classes[label]), **point} for (label, _), point in points.items()]


def paired_calibration(target: Target, truth: Array, a: Array, b: Array) -> list[dict[str, Any]]:
    """Give the points of `calibration` of two models, `a` and `b`, for each class and bin, which is `from` to `to`.

    a, b: their probabilities, each of shape (rows, classes). In a bin that one of them never predicts, it has None.
    """
    curves = [_reliability(target, truth, probabilities) for probabilities in (a, b)]
    return [
        {
            "class": label_name(target.classes[label]),
            "from": number / CALIBRATION_BINS,
            "to": (number + 1) / CALIBRATION_BINS,
            "a": curves[0].get((label, number)),
            "b": curves[1].get((label, number)),
        }
        for label, number in sorted(curves[0].keys() | curves[1].keys())
    ]


def _reliability(target: Target, truth: Array, probabilities: Array) -> dict[tuple[int, int], dict[str, Any]]:
    """Give mean probability, share of the class and rows by class and bin, see `calibration`."""
    found = {}
    for label in range(1 if len(target.classes) == 2 else 0, len(target.classes)):
        probability = probabilities[:, label]
        bins = _bins(probability)
        for number in np.unique(bins):
            inside = bins == number
            point = {"predicted": float(probability[inside].mean()), "observed": float((truth[inside] == label).mean())}
            found[label, int(number)] = {**point, "rows": int(inside.sum())}
    return found
