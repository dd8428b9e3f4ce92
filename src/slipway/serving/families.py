"""Counts as Prometheus metrics: each is made of plain numbers, at a scrape."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from slipway.contract import Array


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

    def buckets(self) -> list[tuple[str, int]]:
        """Give the cumulative counts, as Prometheus expects them."""
        return list(zip([*map(str, self.edges), "+Inf"], np.cumsum(self.counts).tolist(), strict=True))


def family(kind: Any, name: str, text: str, values: Mapping[Any, Any], *labels: str) -> Metric:
    """Make a Prometheus metric from values (or histograms) keyed by their label values, as tuples."""
    made: Metric = kind(name, text, labels=labels)
    for key, value in values.items():
        made.add_metric(key, *((value.buckets(), value.sum) if isinstance(value, Histogram) else (value,)))  # type: ignore[attr-defined]
    return made


def labelled(metrics: Iterable[Metric], **labels: str) -> Iterator[Metric]:
    """Give metrics with further labels on each of their samples."""
    for metric in metrics:
        metric.samples = [sample._replace(labels=sample.labels | labels) for sample in metric.samples]
        yield metric


counter, gauge, histograms = (
    partial(family, kind) for kind in (CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily)
)
