"""How a shadow's answers differ from the champion's: counted in total, by outcome and by slice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from itertools import product

import numpy as np
from prometheus_client.metrics_core import Metric

from slipway.contract import Array
from slipway.model.predictor import Predictions, Predictor
from slipway.model.reference import bins_of
from slipway.serving.families import Histogram, counter, histograms
from slipway.serving.metrics import SECONDS, ModelMetrics

DISTANCES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
# What is counted by slice.
SLICED = {
    "rows": "Rows that both answered",
    "agreed": "Rows with the same answer",
    "distance": "Sum of the distances of the two answers",
    "seconds": "Sum of the seconds of each row's batch",
    "failed": "Rows on which the shadow failed",
}


class Differences:
    """Counts rows that both answered, and those on which the shadow failed; from any thread."""

    def __init__(self, champion: Predictor, counters: ModelMetrics, sliced: Set[str]) -> None:
        """sliced: the fields by whose values is counted, too, in the reference's bins."""
        self._counters = counters
        self._answers = Counter(dict.fromkeys(product(counters.outcomes, ("true", "false")), 0))
        bins = bins_of(champion.bundle.reference)
        self._slices = {name: bins[name] for name in bins if name in sliced}
        self._sliced = {
            name: {what: np.zeros(len(bins.labels)) for what in SLICED} for name, bins in self._slices.items()
        }
        self._distance, self._seconds = Histogram(DISTANCES), Histogram(SECONDS)
        edges = champion.bundle.reference.get("predictions", {}).get("value", {}).get("edges", ())
        self._unit = edges[-1] - edges[0] if len(edges) > 1 else 1.0
        self._lock = threading.Lock()

    def add(self, arrays: Mapping[str, Array], ours: Predictions, theirs: Predictions, seconds: float) -> None:
        """Count agreement (the same class, or bin of a regression's values), distance, and the batch's seconds."""
        mine, other = self._counters.outcome(ours.values), self._counters.outcome(theirs.values)
        names = self._counters.outcomes
        agreed = mine == other
        found = Counter(zip(mine.tolist(), agreed.tolist(), strict=True))
        with self._lock:
            self._seconds.add(seconds)
            self._answers.update({(names[n], str(agrees).lower()): rows for (n, agrees), rows in found.items()})
            self._slice(arrays, rows=1, agreed=agreed, seconds=seconds)
            if (distance := self._distances(ours, theirs)) is not None:
                self._distance.add_all(distance)
                self._slice(arrays, distance=distance)

    def failed(self, arrays: Mapping[str, Array]) -> None:
        """Count rows on which the shadow failed."""
        with self._lock:
            self._slice(arrays, failed=1)

    def collect(self) -> Iterator[Metric]:
        """Give the metrics."""
        with self._lock:
            answers, slices = dict(self._answers), {what: dict(self._of_slices(what)) for what in SLICED}
        yield counter("slipway_shadow_answers", "Rows that both answered", answers, "outcome", "agrees")
        for what, text in SLICED.items():
            yield counter(f"slipway_shadow_slice_{what}", text, slices[what], "feature", "bin")
        yield histograms("slipway_shadow_distance", "Distance of the two answers", {(): self._distance})
        yield histograms("slipway_shadow_duration_seconds", "Seconds of the shadow's batches", {(): self._seconds})

    def _distances(self, ours: Predictions, theirs: Predictions) -> Array | None:
        """Give the distance of each row's answers; None for classes without probabilities.

        That of probabilities is the total variation: half of the sum of the absolute differences. That of values is
        relative to the range in which most predictions of the training rows lie.
        """
        found: Array | None = None
        if ours.probabilities is not None and theirs.probabilities is not None:
            found = np.abs(ours.probabilities - theirs.probabilities).sum(axis=1) / 2
        elif not ours.classes:
            found = np.abs(ours.values - theirs.values) / self._unit
        return found

    def _slice(self, arrays: Mapping[str, Array], **of_rows: Array | float) -> None:
        """Add numbers of rows to the sums of their slices; the lock is held."""
        for name, bins in self._slices.items():
            index = bins.index(arrays[name])
            for what, values in of_rows.items():
                weights = np.broadcast_to(values, index.shape)
                self._sliced[name][what] += np.bincount(index, weights, len(bins.labels))

    def _of_slices(self, what: str) -> Iterator[tuple[tuple[str, str], float]]:
        for name, bins in self._slices.items():
            for label, total in zip(bins.labels, self._sliced[name][what].tolist(), strict=True):
                yield (name, label), total
