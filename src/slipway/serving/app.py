"""The application: FastAPI with Slipway's routes, metrics, request log and limits."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from time import perf_counter
from typing import Any

from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette._utils import get_route_path
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from slipway.problem import SlipwayError
from slipway.serving.keys import Keys
from slipway.serving.logs import Log
from slipway.serving.metrics import Metrics
from slipway.serving.model import LoadedModel
from slipway.serving.problems import ProblemDetails
from slipway.serving.route import Bodies, Call, Route
from slipway.serving.routes import add_routes, name_paths
from slipway.serving.settings import Settings

LOADING = "the application has not started: its lifespan loads the model"
CORS_HEADERS = ["Authorization", "Content-Type", "X-API-Key", "traceparent"]


class Application(FastAPI):
    """A FastAPI application that serves a bundle. It is not ready until its lifespan has loaded the bundle."""

    def __init__(self, settings: Settings, *, plain: bool = False, log: Log | None = None, **options: Any) -> None:
        """plain: see `create_app`. options: of FastAPI."""
        self.settings, self.plain = settings, plain
        self.log = log or Log()
        self.metrics = Metrics(lambda: self.log.dropped)
        self.bodies = Bodies(largest=settings.body_bytes, at_once=settings.buffer_bytes)
        self.keys = Keys(settings.api_keys_file) if settings.api_keys_file else None
        self.lock = Security(self.keys) if self.keys else None
        self.model: LoadedModel | None = None
        self.reason = LOADING
        self._ids = (f"{os.urandom(5).hex()}{number:06x}" for number in count(1))
        self.titled, self._described = "title" in options, False
        self._stack: ASGIApp | None = None
        self._traced = False
        handlers: dict[Any, Any] = dict.fromkeys((HTTPException, RequestValidationError, Exception), self._on_error)
        super().__init__(
            **{
                "title": "Slipway",
                "docs_url": None,
                "redoc_url": None,
                "telemetry": settings.telemetry(),
                **options,
                "exception_handlers": handlers | options.get("exception_handlers", {}),
                "dependencies": [*([self.lock] if self.lock else []), *options.get("dependencies", ())],
            }
        )
        self.state.slipway = self
        self.router.max_body_size = settings.body_bytes  # for a project's routes; `Bodies` limits Slipway's own
        self.ops: FastAPI | None = None
        if settings.ops_port is not None:
            self.ops = FastAPI(openapi_url=None, exception_handlers=handlers)
        add_routes(self)
        if settings.cors_origins:
            self.add_middleware(
                CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=CORS_HEADERS
            )
        self._index()
        self._start = self.router.lifespan_context
        self.router.lifespan_context = self._lifespan

    def load(self) -> None:
        """Verify and load the bundle; on an error stay alive but not ready, with the error as the reason."""
        self.model = None
        try:
            model = LoadedModel(self.settings, self.metrics, self.log)
            name_paths(self, model)
            self.openapi_schema, self._described = None, False
        except Exception as error:  # noqa: BLE001  (/readyz and the log report it)
            known = isinstance(error, SlipwayError)
            self.unready(str(error) if known else f"the model cannot be loaded: {type(error).__name__}: {error}")
            self.log.line("refused", level="error", reason=self.reason)
            return
        if self.settings.feedback_key is None:
            self.log.line(
                "only this process accepts feedback on its predictions; set SLIPWAY_FEEDBACK_KEY", level="warning"
            )
        self.model, self.reason, self.metrics.ready = model, "", True
        self.log.line("ready", model=model.name, version=model.version)

    def unready(self, reason: str) -> None:
        """Stop being ready, and give the reason."""
        self.reason, self.metrics.ready = reason, False

    @asynccontextmanager
    async def _lifespan(self, outer: FastAPI) -> AsyncIterator[Any]:
        """Load the model, then run the project's lifespan; end them in reverse order."""
        outer.state.slipway = self
        await asyncio.to_thread(self.load)
        if outer is not self:  # its OpenAPI document is made of this application's router
            _ = self.routes
        try:
            async with self._start(outer) as state:
                self._traced = self._native_telemetry.enabled()
                yield state
        finally:
            self.unready("the server has stopped")
            if self.model is not None:
                await asyncio.to_thread(self.model.close)
            self.log.flush()

    def build_middleware_stack(self) -> ASGIApp:
        """Build the middleware stack, and remember it: requests may bypass it only while it is FastAPI's own."""
        self._stack = super().build_middleware_stack()
        return self._stack

    def openapi(self) -> dict[str, Any]:
        """Give FastAPI's OpenAPI document, with errors as problem documents."""
        from slipway.serving.openapi import errors_described

        return errors_described(super().openapi())

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes, described for OpenAPI. What serves takes `router.routes`, as a start should not wait for that."""
        if not self._described:
            from slipway.serving.openapi import describe

            self._described = True
            describe(self)
        return super().routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; Slipway's own routes directly, unless a middleware or a dependency applies to them."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        call = Call(scope, receive, send, next(self._ids))
        try:
            if (route := self._direct(scope)) is not None:
                scope["app"] = self
                await route.answer(call, send)
            elif self._traced:
                scope["slipway"] = call
                await super().__call__(scope, receive, call.answer)
            else:
                scope["slipway"], scope["root_path"] = call, self.root_path or scope.get("root_path", "")
                await Starlette.__call__(self, scope, receive, call.answer)  # FastAPI's own only adds telemetry
        except asyncio.CancelledError:
            if "slipway.timeout" not in scope:
                raise
            timeout = ProblemDetails(
                408, "too-slow", "the body did not arrive in time", headers={"connection": "close"}
            )
            await (await self.explain(call, timeout))(scope, receive, call.answer)
        except ClientDisconnect:
            call.status, call.outcome = 499, "gone"
        finally:
            self._record(call)

    def _record(self, call: Call) -> None:
        seconds = perf_counter() - call.started
        call.status = call.status or 500  # uvicorn sends 500 if the application sent nothing
        if call.template == "unknown" and "endpoint" in call.scope:
            route = call.scope.get("route")
            call.template = str(getattr(route, "template", None) or getattr(route, "path_format", "other"))
        self.metrics.request(call.template, call.status, seconds)
        if self.settings.log_requests:
            self.log.write(call.log_line(seconds, with_body=self.settings.log_values))

    def _direct(self, scope: Scope) -> Route | None:
        """The route that may bypass FastAPI's stack, as nothing in it could guard the route or change its response."""
        if self.router.routes != self._indexed_routes or self.router.dependencies != self._indexed_dependencies:
            self._index()
        if (
            self.plain
            or self._traced
            or self.user_middleware
            or self.dependency_overrides
            or self.middleware_stack is not self._stack
        ):
            return None
        path = get_route_path(scope) if scope.get("root_path") or self.root_path else scope["path"]
        return self._direct_routes.get((scope["method"], path))

    def _index(self) -> None:
        """Index the routes that may answer directly: without dependencies, and the first to match their paths."""
        router = self.router
        self._indexed_routes, self._indexed_dependencies = list(router.routes), list(router.dependencies)
        self._direct_routes: dict[tuple[str, str], Route] = {}
        earlier: list[StarletteRoute] = []
        for route in self._indexed_routes:
            if not isinstance(route, StarletteRoute):
                break  # a mounted application may match any later path
            if isinstance(route, Route) and route.owner is self:
                if route.guards != [guard for guard in self._indexed_dependencies if guard is not self.lock]:
                    route.describe()
                for method in route.verbs:
                    scope: dict[str, Any] = {"type": "http", "method": method, "path": route.path, "headers": []}
                    taken = any(other.matches(scope)[0] is not Match.NONE for other in earlier)
                    if not (taken or route.guards or route.param_convertors):
                        self._direct_routes[method, route.path] = route
            earlier.append(route)

    async def explain(self, call: Request, error: HTTPException) -> Response:
        """Make the response to an error as FastAPI does: with the project's exception handler, if there is one."""
        handlers = self.exception_handlers
        kinds = [error.status_code, *type(error).__mro__]
        handler: Callable[..., Any] = next(handlers[kind] for kind in kinds if kind in handlers)
        if asyncio.iscoroutinefunction(handler):
            response: Response = await handler(call, error)
        else:
            response = await run_in_threadpool(handler, call, error)
        return response

    async def _on_error(self, request: Request, error: Exception) -> Response:
        problem = ProblemDetails.of(error)
        call = request if isinstance(request, Call) else Call.of(request.scope, request.receive, request._send)
        call.outcome = problem.kind
        if problem.errors and self.model is not None:
            self.model.counters.refused(problem.errors)
        if not isinstance(error, HTTPException | RequestValidationError):
            trace = "".join(traceback.format_exception(error))
            self.log.line("error", level="error", request=call.id, error=trace)
        return problem.response(call.id)


def create_app(settings: Settings | None = None, *, plain: bool = False, **options: Any) -> Application:
    """Make the application that serves the model.

    settings: by default from the environment (`SLIPWAY_*`). plain: make Slipway's own routes ordinary FastAPI routes;
    this costs about half of the throughput, and dependencies and middleware hold without it, too.
    options: FastAPI's own, such as `lifespan`, `dependencies`, `middleware`, `exception_handlers`, `root_path`.
    Raises SlipwayError for a wrong setting.
    """
    return Application(settings or Settings.from_environment(), plain=plain, **options)
