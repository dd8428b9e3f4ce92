"""What is counted of one model: predictions, confidence, the features' values by bin, feedback."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from slipway.contract import Array
from slipway.model.predictor import Predictions, Predictor, label_name
from slipway.model.reference import ABSENT, CONFIDENCE_EDGES, Bins, bins_of
from slipway.serving.problems import Fault

FOLD_ROWS = 512  # rows are counted together, when so many have come or someone asks
UNSEEN = {"literal_error"}
OUT_OF_RANGE = {"greater_than_equal", "less_than_equal", "greater_than", "less_than"}


class Histogram:
    """Counts of values up to each edge, and their sum."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.sum += value

    def add_all(self, values: Array) -> None:
        """Count many values."""
        counts = np.bincount(np.searchsorted(self.edges, values, side="left"), minlength=len(self.counts))
        self.counts = [have + new for have, new in zip(self.counts, counts.tolist(), strict=True)]
        self.sum += float(values.sum())

    def buckets(self) -> list[tuple[str, float]]:
        """Give the cumulated counts as Prometheus has them."""
        names = [*map(str, self.edges), "+Inf"]
        return [(name, int(count)) for name, count in zip(names, np.cumsum(self.counts), strict=True)]


class Model:
    """Counters of one model's predictions, inputs and feedback."""

    def __init__(self, predictor: Predictor, lineage: Mapping[str, Any]) -> None:
        reference = predictor.bundle.reference
        self._info = {
            "name": predictor.bundle.manifest.name,
            "version": predictor.version,
            "kind": predictor.bundle.manifest.kind,
            "runtime": predictor.bundle.manifest.runtime,
            "commit": str(lineage.get("commit") or ""),
            "data": predictor.bundle.manifest.data,
        }
        self._released = lineage.get("released")
        self._reference = reference
        self._bins = bins_of(reference)
        self._counts = {name: np.zeros(len(bins.labels), np.int64) for name, bins in self._bins.items()}
        self._numbers = [name for name, bins in self._bins.items() if bins.edges]
        most = max([len(self._bins[name].edges) for name in self._numbers], default=0)
        self._edges = np.full((len(self._numbers), most), np.inf)
        for row, name in zip(self._edges, self._numbers, strict=True):
            row[: len(self._bins[name].edges)] = self._bins[name].edges
        self._outcomes = _Outcomes(predictor.classes, reference.get("predictions", {}))
        self._confidence = Histogram(CONFIDENCE_EDGES)
        self._unseen: Counter[str] = Counter(dict.fromkeys(self._bins, 0))
        self._beyond: Counter[str] = Counter(dict.fromkeys(self._bins, 0))
        self.feedback: Counter[str] = Counter(
            dict.fromkeys(("correct", "incorrect", "forged", "expired", "duplicate", "other_version"), 0)
            if predictor.classes
            else dict.fromkeys(("scored", "forged", "expired", "duplicate", "other_version"), 0)
        )
        self.absolute_error = 0.0
        self._lock = threading.Lock()
        self._waiting: list[tuple[Mapping[str, Array], Predictions]] = []
        self._rows = 0

    def observe(self, arrays: Mapping[str, Array], predictions: Predictions) -> None:
        """Count rows and what was predicted for them; from any thread."""
        with self._lock:
            self._waiting.append((arrays, predictions))
            self._rows += len(predictions)
            if self._rows >= FOLD_ROWS:
                self._fold()

    def refused(self, faults: Iterable[Fault]) -> None:
        """Count the values of features that the contract does not allow."""
        for fault in faults:
            if fault["field"] in self._bins:
                if fault["rule"] in UNSEEN:
                    self._unseen[fault["field"]] += 1
                elif fault["rule"] in OUT_OF_RANGE:
                    self._beyond[fault["field"]] += 1

    def _fold(self) -> None:
        waiting, self._waiting, self._rows = self._waiting, [], 0
        if not waiting:
            return
        together = {name: np.concatenate([arrays[name] for arrays, _ in waiting]) for name in self._bins}
        for name in self._bins.keys() - set(self._numbers):
            self._counts[name] += self._bins[name].count(together[name])
        if self._numbers:
            self._count_numbers(np.stack([together[name] for name in self._numbers]))
        self._outcomes.count(np.concatenate([predictions.values for _, predictions in waiting]))
        if waiting[0][1].probabilities is not None:
            self._confidence.add_all(
                np.concatenate([p.probabilities.max(axis=1) for _, p in waiting if p.probabilities is not None])
            )

    def _count_numbers(self, values: Array) -> None:
        """Count all numeric features at once, shape (features, rows): a comparison an edge, instead of searches."""
        absent = np.count_nonzero(np.isnan(values), axis=1)
        above = [values.shape[1] - absent]
        above += [np.count_nonzero(values >= edges[:, None], axis=1) for edges in self._edges.T]
        counts = -np.diff([*above, np.zeros_like(absent)], axis=0)
        for name, found, missing in zip(self._numbers, counts.T, absent, strict=True):
            size = len(self._bins[name].edges) + 1
            self._counts[name] += [*found[:size], missing]

    def collect(self) -> Iterator[Metric]:
        """Turn the counts into metrics, each with the model's version: another model has other bins."""
        with self._lock:
            self._fold()
        for metric in self._metrics():
            version = {"version": self._info["version"]}
            metric.samples = [sample._replace(labels=sample.labels | version) for sample in metric.samples]
            yield metric

    def _metrics(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("slipway_model_info", "The model that serves", labels=list(self._info))
        info.add_metric(list(self._info.values()), 1)
        yield info
        if self._released:
            yield GaugeMetricFamily(
                "slipway_model_released_timestamp_seconds", "When the model was promoted", value=self._released
            )
        yield from self._outcomes.collect()
        yield histogram_family("slipway_prediction_confidence", "Largest probability", {"": self._confidence})
        confidence = GaugeMetricFamily(
            "slipway_confidence_reference_share", "Share of training rows by confidence", labels=["bin"]
        )
        expected = self._reference.get("predictions", {}).get("confidence", {})
        for label, part in zip(expected.get("labels", ()), expected.get("shares", ()), strict=True):
            confidence.add_metric([label], part)
        yield confidence
        yield from self._drift()
        yield from self._feedback()

    def _drift(self) -> Iterator[Metric]:
        values = CounterMetricFamily("slipway_feature_values", "Values by bin", labels=["feature", "bin"])
        share = GaugeMetricFamily(
            "slipway_feature_reference_share", "Share of training rows by bin", labels=["feature", "bin"]
        )
        missing = CounterMetricFamily("slipway_feature_missing", "Values that were missing", labels=["feature"])
        unseen = CounterMetricFamily("slipway_feature_unseen", "Categories refused as unknown", labels=["feature"])
        beyond = CounterMetricFamily("slipway_feature_out_of_range", "Numbers refused by bounds", labels=["feature"])
        for name, bins in self._bins.items():
            expected = self._reference["features"][name]["shares"]
            for label, count, part in zip(bins.labels, self._counts[name].tolist(), expected, strict=True):
                values.add_metric([name, label], count)
                share.add_metric([name, label], part)
            missing.add_metric([name], int(self._counts[name][bins.labels.index(ABSENT)]))
            unseen.add_metric([name], self._unseen[name])
            beyond.add_metric([name], self._beyond[name])
        yield from (values, share, missing, unseen, beyond)
        rows = self._reference["rows"]
        yield GaugeMetricFamily("slipway_reference_rows", "Training rows behind the shares", value=rows)

    def _feedback(self) -> Iterator[Metric]:
        feedback = CounterMetricFamily("slipway_feedback", "Feedback by outcome", labels=["outcome"])
        for outcome, count in self.feedback.items():
            feedback.add_metric([outcome], count)
        yield feedback
        if "scored" in self.feedback:
            yield CounterMetricFamily(
                "slipway_feedback_absolute_error", "Sum of absolute errors by feedback", value=self.absolute_error
            )
        elif judged := self.feedback["correct"] + self.feedback["incorrect"]:
            yield GaugeMetricFamily(
                "slipway_live_accuracy", "Share of feedback that was correct", value=self.feedback["correct"] / judged
            )


class _Outcomes:
    """Counts predictions by class, or by the reference's bins in a regression."""

    def __init__(self, classes: Sequence[str | bool], reference: Mapping[str, Any]) -> None:
        self._bins: Bins | None = None
        if not classes:
            reference = reference.get("value", {})
        labels = reference.get("labels", {})
        if classes:
            names = [label_name(label) for label in classes]
        elif edges := tuple(reference.get("edges", ())):
            self._bins = Bins.between("prediction", edges)
            names = list(self._bins.labels)
        else:
            names = ["value"]
        self._names = names
        self._counts = np.zeros(len(names), np.int64)
        parts = labels if isinstance(labels, Mapping) else dict(zip(labels, reference.get("shares", ()), strict=False))
        self._shares = {name: parts[name] for name in names if name in parts}

    def count(self, values: Array) -> None:
        """Count predictions: class indices or numbers."""
        if self._bins is not None:
            self._counts += self._bins.count(values)
        elif values.dtype.kind == "f":
            self._counts[0] += len(values)
        else:
            self._counts += np.bincount(values, minlength=len(self._names))

    def collect(self) -> Iterator[Metric]:
        """Turn the counts into metrics."""
        counts = CounterMetricFamily("slipway_predictions", "Predictions by outcome", labels=["outcome"])
        for name, count in zip(self._names, self._counts.tolist(), strict=True):
            counts.add_metric([name], count)
        yield counts
        share = GaugeMetricFamily(
            "slipway_prediction_reference_share", "Share of training rows by predicted outcome", labels=["outcome"]
        )
        for name, part in self._shares.items():
            share.add_metric([name], part)
        yield share


def histogram_family(
    name: str, help_: str, parts: Mapping[str, Histogram], label: str | None = None
) -> HistogramMetricFamily:
    """Make a metric of histograms, by the value of a label."""
    family = HistogramMetricFamily(name, help_, labels=[label] if label else [])
    for value, histogram in parts.items():
        family.add_metric([value] if label else [], histogram.buckets(), histogram.sum)
    return family
