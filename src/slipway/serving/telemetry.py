"""What `/metrics` tells. Counts are kept as plain numbers and arrays, and become metrics only when they are scraped.

docs/metrics.md lists every metric; a test compares it with what is exported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from slipway.model.predictor import Predictor
from slipway.serving.counters import Histogram, Model, histogram_family

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FAILED = (500, 503)


class Telemetry(Collector):
    """The service's counters. `requests` and its kin are for the event loop; `observe` is for any thread."""

    def __init__(self) -> None:
        self.ready = False
        self.in_flight = 0
        self.dropped_lines: Callable[[], int] = lambda: 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._durations: dict[str, Histogram] = {}
        self._model: Model | None = None
        self.registry = CollectorRegistry()
        self.registry.register(self)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def attach(self, predictor: Predictor, lineage: Mapping[str, Any]) -> Model:
        """Begin to count for a model."""
        self._model = Model(predictor, lineage)
        return self._model

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests[route, status] += 1
        histogram = self._durations.get(route)
        if histogram is None:
            histogram = self._durations[route] = Histogram(SECONDS)
            # Prometheus sees the increase of a series only from its first scrape on: begin before the first failure.
            self._requests.update({(route, failed): 0 for failed in FAILED})
        histogram.add(seconds)

    def exposition(self, accept: str) -> tuple[bytes, bytes]:
        """Write the metrics in the format that a scraper accepts: content and content type."""
        encoder, kind = choose_encoder(accept)
        content: bytes = encoder(self.registry)
        return content, kind.encode()

    def collect(self) -> Iterator[Metric]:
        """Turn the counts into metrics (the registry calls this when it is scraped)."""
        requests = CounterMetricFamily("slipway_requests", "Requests answered", labels=["route", "status"])
        for (route, status), count in sorted(self._requests.items()):
            requests.add_metric([route, str(status)], count)
        yield requests
        yield histogram_family("slipway_request_duration_seconds", "From head to answer", self._durations, "route")
        yield GaugeMetricFamily("slipway_requests_in_flight", "Requests read, not yet answered", value=self.in_flight)
        yield GaugeMetricFamily("slipway_ready", "1 when the model was verified and serves", value=int(self.ready))
        yield CounterMetricFamily(
            "slipway_log_lines_dropped", "Log lines that could not be written", value=self.dropped_lines()
        )
        if self._model is not None:
            yield from self._model.collect()
