"""What expected accuracy and expected roc_auc are made of: live predictions by bin, and the test set's share of each.

Everything that is counted adds up over replicas; the rules of Prometheus do the rest (docs/monitoring.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from prometheus_client.metrics_core import Metric

from slipway.contract import Array
from slipway.model.reference import CONFIDENCE_BINS, CONFIDENCE_EDGES, POSITIVE_BINS, POSITIVE_EDGES
from slipway.serving.families import Histogram, counter, gauge

Tested = Mapping[str, tuple[float, float]]  # by bin: a share of the test set's rows, and its standard deviation


class Expected:
    """Counts probabilities; not safe for threads."""

    def __init__(self, accuracies: Tested, positives: Tested) -> None:
        """accuracies: by confidence. positives: of two classes, by the second's probability. Each may be empty."""
        self._accuracies, self._positives = accuracies, positives
        self.confidence, self._ranked = Histogram(CONFIDENCE_EDGES), Histogram(POSITIVE_EDGES)

    def add(self, probabilities: Array) -> None:
        """Count predictions. probabilities: shape (rows, classes)."""
        self.confidence.add_all(probabilities.max(axis=1))
        if self._positives:
            self._ranked.add_all(probabilities[:, 1])

    def collect(self) -> Iterator[Metric]:
        """Give the metrics."""
        if self._accuracies:
            counts = dict(zip(CONFIDENCE_BINS, self.confidence.counts, strict=True))
            yield _by_bin(counter, "slipway_confidence_predictions", "Predictions by confidence", counts)
            yield from _tested("slipway_confidence_accuracy", "Test set's accuracy by confidence", self._accuracies)
        if self._positives:
            text = "Test set's share of the second class by its probability"
            yield from _tested("slipway_ranked_positive_share", text, self._positives)
            yield from self._ranks()

    def _ranks(self) -> Iterator[Metric]:
        """The sums over lower and higher bins, as Prometheus cannot sum over these; half of a bin's own rows are in."""
        rows = np.array(self._ranked.counts)
        share = np.array([share for share, _ in self._positives.values()])
        positives, negatives = rows * share, rows * (1 - share)
        below = np.cumsum([0, *negatives[:-1]]) + negatives / 2
        above = np.cumsum([0, *positives[:0:-1]])[::-1] + positives / 2
        for name, text, values in (
            ("predictions", "Predictions by the probability of the second class", rows),
            ("negatives_below", "Predictions expected to be of the first class, ranked lower", below),
            ("positives_above", "Predictions expected to be of the second class, ranked higher", above),
        ):
            by_bin = dict(zip(POSITIVE_BINS, values.tolist(), strict=True))
            yield _by_bin(counter, f"slipway_ranked_{name}", text, by_bin)


def _tested(name: str, text: str, shares: Tested) -> Iterator[Metric]:
    yield _by_bin(gauge, name, text, {bin_: share for bin_, (share, _) in shares.items()})
    yield _by_bin(gauge, f"{name}_deviation", f"{text}: deviation", {bin_: of for bin_, (_, of) in shares.items()})


def _by_bin(kind: Callable[..., Metric], name: str, text: str, values: Mapping[str, float]) -> Metric:
    return kind(name, text, {(bin_,): value for bin_, value in values.items()}, "bin")
