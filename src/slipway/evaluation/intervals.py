"""Scores with intervals: of one model, of two models on the same rows.

The rows of each group (all rows of one patient) are first summed into additive statistics (see `metrics.statistics`),
from which every score can be computed. A bootstrap (Efron 1979) then resamples whole groups, since rows of one group
are not independent; its cost does not grow with the rows. Two models are compared on the same resamples, so the
interval of their difference is paired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slipway.contract import Array, Target
from slipway.evaluation import metrics


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
class Difference(Score):
    """A score of one model, `a`, minus that of another, `b`, with the paired interval."""

    a: float
    b: float


@dataclass(frozen=True)
class Bootstrap:
    """The parameters of intervals: number of resamples, confidence, seed."""

    samples: int
    confidence: float
    seed: int = 0

    def weights(self, groups: int) -> Array:
        """Draw the number of occurrences of each group in each resample; shape (samples, groups)."""
        rng = np.random.default_rng(self.seed)
        return rng.multinomial(groups, np.full(groups, 1 / groups), size=self.samples).astype(np.float64)

    def interval(self, values: Array) -> tuple[float, float]:
        """Give the percentile interval of a score's values over the resamples, shape (samples,)."""
        tail = (1 - self.confidence) / 2
        low, high = np.nanquantile(values, [tail, 1 - tail])
        return float(low), float(high)


def direction(name: str, low: float, high: float) -> str:
    """Interpret the interval of a score's difference: "better", "worse", or "" if it includes 0."""
    if low <= 0 <= high:
        return ""
    return "better" if (low > 0) != metrics.lower_is_better(name) else "worse"


def gain(name: str, difference: Score) -> tuple[float, float]:
    """Give the interval of a score's difference with the sign by which more is better."""
    return (-difference.high, -difference.low) if metrics.lower_is_better(name) else (difference.low, difference.high)


def evaluate(
    target: Target, table: Array, bootstrap: Bootstrap, compute: metrics.Compute = metrics.scores
) -> dict[str, Score]:
    """Give every defined score with its interval. table: `statistics` of one model."""
    point = compute(target, table.sum(axis=0))
    spread = compute(target, bootstrap.weights(len(table)) @ table)
    return {
        name: Score(float(value), *bootstrap.interval(spread[name]))
        for name, value in point.items()
        if not np.isnan(value)
    }


def compare(target: Target, candidate: Array, champion: Array, bootstrap: Bootstrap) -> dict[str, Difference]:
    """Give candidate minus champion, with paired intervals, for every score defined for both.

    Both arguments are `statistics` over the same rows and groups.
    """
    weights = bootstrap.weights(len(candidate))
    points = [metrics.scores(target, table.sum(axis=0)) for table in (candidate, champion)]
    spreads = [metrics.scores(target, weights @ table) for table in (candidate, champion)]
    found = {}
    for name in points[0]:
        if name in points[1] and not np.isnan(points[0][name] - points[1][name]):
            a, b = (float(point[name]) for point in points)
            found[name] = Difference(a - b, *bootstrap.interval(spreads[0][name] - spreads[1][name]), a, b)
    return found
