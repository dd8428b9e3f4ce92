"""OpenTelemetry: one span a request, when SLIPWAY_OTLP_ENDPOINT names a collector. Needs slipway[otel]."""

from __future__ import annotations

import time

from slipway.problem import SlipwayError
from slipway.serving.exchange import Exchange


class Tracing:
    """Exports a span for each request, as a child of the caller's (`traceparent`)."""

    def __init__(self, endpoint: str) -> None:
        """Begin to export. Raises SlipwayError without OpenTelemetry's packages."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace import SpanKind
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ModuleNotFoundError as error:
            raise SlipwayError(f"SLIPWAY_OTLP_ENDPOINT needs {error.name}: pip install 'slipway[otel]'") from None
        self._provider = TracerProvider(resource=Resource.create({"service.name": "slipway"}))
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("slipway.serving")
        self._kind = SpanKind.SERVER
        self._propagator = TraceContextTextMapPropagator()

    def span(self, exchange: Exchange, seconds: float) -> None:
        """Record a request that was answered."""
        carrier = {name: exchange.headers.get(name.encode(), b"").decode("latin-1") for name in self._propagator.fields}
        ended = time.time_ns()
        span = self._tracer.start_span(
            exchange.route,
            context=self._propagator.extract(carrier),
            kind=self._kind,
            start_time=ended - int(seconds * 1e9),
            attributes={
                "http.route": exchange.route,
                "http.response.status_code": exchange.status,
                "slipway.request": exchange.id,
                "slipway.rows": exchange.rows,
                "slipway.outcome": exchange.outcome,
            },
        )
        span.end(ended)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
