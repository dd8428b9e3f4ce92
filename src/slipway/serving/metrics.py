"""The metrics of `/metrics`. Counts are plain numbers and arrays, and become Prometheus metrics at each scrape.

docs/metrics.md lists every metric; a test compares it with the exported ones.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any, get_args

import numpy as np
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from slipway.contract import MISSING, Array, Label
from slipway.model.ids import Refusal
from slipway.model.predictor import Predictions, Predictor, label_name
from slipway.model.reference import ABSENT, Bins, bins_of
from slipway.serving.expected import Expected
from slipway.serving.families import Histogram, counter, gauge, histograms, labelled
from slipway.serving.problems import Error

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OPEN_METRICS = "application/openmetrics-text"
FOLD_ROWS = 512  # rows are buffered and counted together, at this number or at a scrape
BOUNDS = ("greater_than_equal", "less_than_equal", "greater_than", "less_than")
UNSEEN, OUT_OF_RANGE = "slipway_feature_unseen", "slipway_feature_out_of_range"
RULES = {"literal_error": UNSEEN, **dict.fromkeys(BOUNDS, OUT_OF_RANGE)}


class Metrics(Collector):
    """The service's counters. Use `request` and `in_flight` on the event loop only."""

    def __init__(self, dropped_lines: Callable[[], int] = int) -> None:
        """dropped_lines: returns the number of log lines that could not be written."""
        self.ready = False
        self.in_flight = 0
        self.parts: list[Collector] = []  # of the model, and of what runs beside it
        self._dropped_lines = dropped_lines
        self._requests: Counter[tuple[str, int]] = Counter()
        self._durations: dict[str, Histogram] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests[route, status] += 1
        histogram = self._durations.get(route)
        if histogram is None:
            histogram = self._durations[route] = Histogram(SECONDS)
            # `rate()` misses an increase before the first scrape of a series: create those of errors in advance.
            self._requests.update({(route, 500): 0, (route, 503): 0})
        histogram.add(seconds)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Serialize the metrics, as OpenMetrics if the scraper accepts it; returns content and content type."""
        encoder, kind = choose_encoder(OPEN_METRICS if OPEN_METRICS in accept else "")
        return encoder(self.registry), kind

    def collect(self) -> Iterator[Metric]:
        """Turn the counts into metrics (the registry calls this at each scrape)."""
        answered = {(route, str(status)): n for (route, status), n in sorted(self._requests.items())}
        yield counter("slipway_requests", "Requests answered", answered, "route", "status")
        durations = {(route,): histogram for route, histogram in self._durations.items()}
        yield histograms("slipway_request_duration_seconds", "Seconds from request to response", durations, "route")
        yield gauge("slipway_requests_in_flight", "Requests in flight", {(): self.in_flight})
        yield gauge("slipway_ready", "1 when the service is ready", {(): int(self.ready)})
        yield counter("slipway_log_lines_dropped", "Log lines not written", {(): self._dropped_lines()})
        for part in self.parts:
            yield from part.collect()


class ModelMetrics:
    """The counters of one model: predictions, confidence, feature values by bin, feedback."""

    def __init__(
        self,
        predictor: Predictor,
        *,
        commit: str | None,
        released: datetime | None,
        expected: Expected,
    ) -> None:
        """expected: what is counted of the probabilities."""
        manifest = predictor.bundle.manifest
        self._info = {name: getattr(manifest, name) for name in ("name", "kind", "runtime", "data")}
        self._info |= {"version": predictor.version, "commit": commit or ""}
        self._released, self._expected = released, expected
        self._reference = reference = predictor.bundle.reference
        self._bins = bins_of(reference)
        self._counts = {name: np.zeros(len(bins.labels), np.int64) for name, bins in self._bins.items()}
        self._numbers = [name for name, bins in self._bins.items() if bins.edges]
        self._texts = [column.name for column in predictor.contract.columns if column.kind == "text"]
        edges = zip_longest(*(self._bins[name].edges for name in self._numbers), fillvalue=np.inf)
        self._edges = np.array([*edges])  # shape (edges, features)
        predicted = reference.get("predictions", {})
        self._outcome_bins, self.outcomes, self._shares = _outcomes(predictor.classes, predicted)
        self._outcome_counts = np.zeros(len(self.outcomes), np.int64)
        self._refused = {name: Counter(dict.fromkeys(self._bins, 0)) for name in (UNSEEN, OUT_OF_RANGE)}
        judged = ("correct", "incorrect") if predictor.classes else ("scored",)
        self.feedback: Counter[str] = Counter(dict.fromkeys((*judged, *get_args(Refusal)), 0))
        self.absolute_error = 0.0
        self._lock = threading.Lock()
        self._buffered: list[tuple[Mapping[str, Array], Predictions]] = []
        self._buffered_rows = 0

    def observe(self, arrays: Mapping[str, Array], predictions: Predictions) -> None:
        """Count rows and their predictions; from any thread."""
        # Free text may be long: keep only whether it is missing.
        present = {name: np.where(arrays[name] == MISSING, MISSING, "present").astype(object) for name in self._texts}
        arrays = {**arrays, **present}
        with self._lock:
            self._buffered.append((arrays, predictions))
            self._buffered_rows += len(predictions)
            if self._buffered_rows >= FOLD_ROWS:
                self._fold()

    def outcome(self, values: Array) -> Array:
        """Give the index in `outcomes` of each prediction: its class, or in a regression its bin."""
        bins = self._outcome_bins
        return np.searchsorted(bins.edges, values, side="right") if bins else values

    def refused(self, errors: Iterable[Error]) -> None:
        """Count the feature values that the contract does not allow."""
        for error in errors:
            if error["field"] in self._bins and error["rule"] in RULES:
                self._refused[RULES[error["rule"]]][error["field"]] += 1

    def _fold(self) -> None:
        buffered, self._buffered, self._buffered_rows = self._buffered, [], 0
        if not buffered:
            return
        together = {name: np.concatenate([arrays[name] for arrays, _ in buffered]) for name in self._bins}
        for name in self._bins.keys() - set(self._numbers):
            self._counts[name] += self._bins[name].count(together[name])
        if self._numbers:
            self._count_numbers(np.stack([together[name] for name in self._numbers]))
        outcomes, bins = np.concatenate([predictions.values for _, predictions in buffered]), self._outcome_bins
        self._outcome_counts += bins.count(outcomes) if bins else np.bincount(outcomes, minlength=len(self.outcomes))
        if buffered[0][1].probabilities is not None:
            found = [p.probabilities for _, p in buffered if p.probabilities is not None]
            self._expected.add(np.concatenate(found))

    def _count_numbers(self, values: Array) -> None:
        """Count all numeric features at once, shape (features, rows): one vectorized comparison for each edge."""
        absent = np.count_nonzero(np.isnan(values), axis=1)
        above = [values.shape[1] - absent]
        above += [np.count_nonzero(values >= edges[:, None], axis=1) for edges in self._edges]
        counts = -np.diff([*above, np.zeros_like(absent)], axis=0)
        for name, found, missing in zip(self._numbers, counts.T, absent, strict=True):
            size = len(self._bins[name].edges) + 1
            self._counts[name] += [*found[:size], missing]

    def collect(self) -> Iterator[Metric]:
        """Turn the counts into metrics labelled with the model's version, since another model has other bins."""
        with self._lock:
            self._fold()
        metrics = (*self._about(), *self._expected.collect(), *self._drift(), *self._feedback())
        yield from labelled(metrics, version=self._info["version"])

    def _about(self) -> Iterator[Metric]:
        yield gauge("slipway_model_info", "The model that serves", {tuple(self._info.values()): 1}, *self._info)
        when = {(): self._released.timestamp()} if self._released else {}
        yield gauge("slipway_model_released_timestamp_seconds", "Time of the model's promotion", when)
        counts = zip(self.outcomes, self._outcome_counts.tolist(), strict=True)
        yield counter("slipway_predictions", "Predictions by outcome", {(name,): n for name, n in counts}, "outcome")
        yield gauge("slipway_prediction_reference_share", "Share of training rows by outcome", self._shares, "outcome")
        yield histograms("slipway_prediction_confidence", "Largest probability", {(): self._expected.confidence})
        shares = _shares(self._reference.get("predictions", {}).get("confidence", {}))
        yield gauge("slipway_confidence_reference_share", "Share of training rows by confidence", shares, "bin")

    def _drift(self) -> Iterator[Metric]:
        values, shares, missing = {}, {}, {}
        for name, bins in self._bins.items():
            expected = self._reference["features"][name]["shares"]
            for label, count, part in zip(bins.labels, self._counts[name].tolist(), expected, strict=True):
                values[name, label], shares[name, label] = count, part
            missing[name,] = int(self._counts[name][bins.labels.index(ABSENT)])
        yield counter("slipway_feature_values", "Values by bin", values, "feature", "bin")
        yield gauge("slipway_feature_reference_share", "Share of training rows by bin", shares, "feature", "bin")
        yield counter("slipway_feature_missing", "Values that were missing", missing, "feature")
        for name, text in ((UNSEEN, "Refused unknown categories"), (OUT_OF_RANGE, "Refused numbers out of bounds")):
            yield counter(name, text, {(feature,): n for feature, n in self._refused[name].items()}, "feature")
        yield gauge("slipway_reference_rows", "Training rows behind the shares", {(): self._reference["rows"]})

    def _feedback(self) -> Iterator[Metric]:
        counts = self.feedback
        yield counter("slipway_feedback", "Feedback by outcome", {(name,): n for name, n in counts.items()}, "outcome")
        if "scored" in counts:
            yield counter("slipway_feedback_absolute_error", "Sum of absolute errors", {(): self.absolute_error})
        elif judged := counts["correct"] + counts["incorrect"]:
            yield gauge("slipway_live_accuracy", "Share of feedback that was correct", {(): counts["correct"] / judged})


def _outcomes(
    classes: Sequence[Label], reference: Mapping[str, Any]
) -> tuple[Bins | None, list[str], dict[tuple[str], float]]:
    """The bins of a regression's predictions, the labels of the counts, and the share of training rows by label."""
    if classes:
        names, shares = [label_name(label) for label in classes], reference.get("labels", {})
        return None, names, {(name,): shares[name] for name in names if name in shares}
    reference = reference.get("value", {})
    bins = Bins.between("prediction", tuple(reference.get("edges", ())))
    return bins, [*bins.labels], _shares(reference)


def _shares(binned: Mapping[str, Any]) -> dict[tuple[str], float]:
    """The share of training rows by label, of bins as the reference stores them."""
    return {(label,): share for label, share in zip(binned.get("labels", ()), binned.get("shares", ()), strict=True)}
