"""The service: one plain ASGI callable that reads, limits, dispatches, answers, counts and logs every request.

FastAPI describes all of it (`/openapi.json`) and answers the pages; the paths that carry traffic do not pass
through it.
"""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from time import perf_counter
from typing import Any

from slipway.problem import SlipwayError
from slipway.serving.deadlines import Deadlines
from slipway.serving.exchange import Bodies, Exchange, Gone, Message, Receive, Reply, Send, encode
from slipway.serving.keys import Keys
from slipway.serving.logs import Log
from slipway.serving.model import Served
from slipway.serving.problems import Problem, overloaded
from slipway.serving.settings import Settings
from slipway.serving.telemetry import Telemetry
from slipway.serving.tracing import Tracing

Handler = Callable[[Exchange], Awaitable[Reply]]


@dataclass(frozen=True)
class Route:
    """What answers a path, and how it is called in metrics and logs. A public route needs no API key."""

    template: str
    handler: Handler
    public: bool = False


class Service:
    """The ASGI application. It lives, not ready, until `load` has succeeded."""

    def __init__(self, settings: Settings, log: Log | None = None) -> None:
        self.settings = settings
        self.log = log or Log()
        self.telemetry = Telemetry()
        self.telemetry.dropped_lines = lambda: self.log.dropped
        self.reason = "the model is being loaded"
        self.served: Served | None = None
        self._keys = Keys(settings.api_keys_file)
        self._bodies = Bodies(largest=settings.body_bytes, at_once=settings.buffer_bytes)
        self.tracing = Tracing(settings.otlp_endpoint) if settings.otlp_endpoint else None
        self._deadlines = Deadlines()
        self._prefix = os.urandom(5).hex()
        self._number = count(1)
        self._routes: dict[str, dict[str, Route]] = {}
        self.ops = Ops(self)
        for path, handler in self.ops.handlers.items():
            if settings.ops_port is None:
                self.add("GET", path, handler, public=path != "/metrics" or settings.api_keys_file is None)

    def add(
        self, method: str, path: str, handler: Handler, *, template: str | None = None, public: bool = False
    ) -> None:
        """Let a handler answer a path."""
        self._routes.setdefault(path, {})[method] = Route(template or path, handler, public)

    def load(self) -> None:
        """Verify and load the bundle; what refuses it stays as the reason for not being ready."""
        try:
            served = Served(self.settings, self.telemetry)
            from slipway.serving.paths import paths

            paths(self, served)
        except Exception as error:  # noqa: BLE001  (whatever it is, the process lives and says why it does not serve)
            known = isinstance(error, SlipwayError)
            self.reason = str(error) if known else f"the model cannot be loaded: {type(error).__name__}: {error}"
            self.log.line("refused", level="error", reason=self.reason)
            return
        if self.settings.feedback_key is None:
            self.log.line("feedback is taken by this process only; set SLIPWAY_FEEDBACK_KEY", level="warning")
        self.served = served
        self.ready("")
        self.log.line("ready", model=served.name, version=served.version)

    def ready(self, reason: str) -> None:
        """Be ready (no reason) or not."""
        self.reason = reason
        self.telemetry.ready = not reason

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send, f"{self._prefix}{next(self._number):06x}")
        self._deadlines.watch(exchange)
        try:
            await self._dispatch(exchange)
        except Problem as problem:
            if problem.faults and self.served:
                self.served.counters.refused(problem.faults)
            await exchange.refuse(problem)
        except asyncio.CancelledError:
            if exchange.late is None:
                raise
            await exchange.refuse(exchange.late)
        except Gone:
            exchange.status, exchange.outcome = 499, "gone"
        except Exception:  # noqa: BLE001  (the client gets an answer, the log the traceback)
            self.log.line("error", level="error", request=exchange.id, error=traceback.format_exc())
            await exchange.refuse(Problem(500, "failed", "the model or the server failed on this request"))
        finally:
            self._deadlines.forget(exchange)
            self._bodies.release(exchange)
            self._account(exchange)

    async def _dispatch(self, exchange: Exchange) -> None:
        route = self._route(exchange)
        exchange.route = route.template
        if not route.public:
            self._keys.check(exchange)
        if exchange.scope["method"] == "POST":
            exchange.ends = exchange.started + self.settings.body_seconds
            exchange.body = await self._bodies.read(exchange)
        exchange.ends = exchange.started + self.settings.request_seconds
        if self.telemetry.in_flight >= self.settings.in_flight and not route.public:
            raise overloaded(f"{self.settings.in_flight} requests are at work")
        self.telemetry.in_flight += 1
        try:
            await exchange.reply(await route.handler(exchange))
        finally:
            self.telemetry.in_flight -= 1

    def _route(self, exchange: Exchange) -> Route:
        methods = self._routes.get(exchange.scope["path"])
        if methods is None:
            if self.served is None:
                raise Problem(503, "not-ready", self.reason, headers=((b"retry-after", b"5"),))
            raise Problem(404, "not-found", "there is nothing here; /docs lists what there is")
        method = exchange.scope["method"]
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = ", ".join(sorted(methods))
            raise Problem(405, "not-allowed", f"use {allowed}", headers=((b"allow", allowed.encode()),))
        return route

    def _account(self, exchange: Exchange) -> None:
        seconds = perf_counter() - exchange.started
        self.telemetry.request(exchange.route, exchange.status, seconds)
        if self.settings.log_requests:
            self.log.request(exchange, seconds, values=self.settings.log_values)
        if self.tracing is not None:
            self.tracing.span(exchange, seconds)


class Ops:
    """Probes and metrics: on the main port, or alone on a port of their own."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.handlers: dict[str, Handler] = {
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": self._metrics,
            "/ping": self._ready,
            "/version": self._version,
            "/v2/health/live": self._live,
            "/v2/health/ready": self._ready,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request on the port of its own."""
        exchange = Exchange(scope, receive, send, "ops")
        handler = self.handlers.get(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        if handler is None:
            await exchange.refuse(Problem(404, "not-found", f"here are only GET {', '.join(self.handlers)}"))
        else:
            await exchange.reply(await handler(exchange))

    async def _alive(self, _: Exchange) -> Reply:
        return Reply(b'{"status":"alive"}')

    async def _live(self, _: Exchange) -> Reply:
        return Reply(b'{"live":true}')

    async def _version(self, _: Exchange) -> Reply:
        return Reply(version("slipway").encode(), b"text/plain; charset=utf-8")

    async def _ready(self, _: Exchange) -> Reply:
        if self._service.reason:
            return Reply(encode({"status": "not ready", "ready": False, "reason": self._service.reason}), status=503)
        served: Any = self._service.served
        return Reply(
            encode({"status": "ready", "ready": True, "model": {"name": served.name, "version": served.version}})
        )

    async def _metrics(self, exchange: Exchange) -> Reply:
        content, kind = self._service.telemetry.exposition(exchange.headers.get(b"accept", b"").decode("latin-1"))
        return Reply(content, kind)
