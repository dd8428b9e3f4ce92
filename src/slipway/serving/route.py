"""Slipway's route class: a FastAPI route that answers as plain ASGI while no dependency or middleware applies."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from inspect import Parameter, Signature
from time import perf_counter
from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from slipway.serving.model import loaded_model
from slipway.serving.problems import CLOSE, JSON, ProblemDetails, encode, not_ready, overloaded, too_large

TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")  # W3C Trace Context, version 00
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
PLAIN = (b"content-type", b"text/plain; charset=utf-8")
JSON_HEADER = (b"content-type", JSON.encode())
# Takes the model (None if the route needs none) and the request; returns JSON as bytes, or a Response.
Handler = Callable[[Any, "Call"], Awaitable[bytes | Response]]


class Call(Request):
    """A request, and the fields that its log line and its metrics need."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, number: str) -> None:
        self.started = perf_counter()
        super().__init__(scope, receive, send)
        self.id = number
        self.raw: dict[bytes, bytes] = dict(scope["headers"])
        self.content = b""
        self.template = "unknown"
        self.rows = self.status = self.held = 0
        self.outcome = "ok"
        self._instead: Response | None = None

    @classmethod
    def of(cls, scope: Scope, receive: Receive, send: Send) -> Call:
        """The request of a scope, with the `receive` and `send` that middleware may have wrapped."""
        call: Call = scope.get("slipway") or cls(scope, receive, send, "unknown")
        call._receive = receive
        return call

    @property
    def type(self) -> str:
        """The body's media type, without parameters; JSON if there is no Content-Type header."""
        return self.raw.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1") or JSON

    async def answer(self, message: Message) -> None:
        """Send a message of the response to the server."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[tuple[bytes, bytes]] = message.get("headers", [])
            if self.status == 413 and PLAIN in headers:  # FastAPI's limit on bodies answers in plain text
                self._instead = ProblemDetails.of(HTTPException(413)).response(self.id)
                headers = self._instead.raw_headers
            named = (b"x-request-id", self.id.encode())
            message = {**message, "headers": headers if named in headers else [*headers, named]}
        elif self._instead is not None:
            message = {**message, "body": self._instead.body}
        await self._send(message)

    def log_line(self, seconds: float, *, with_body: bool = False) -> bytes:
        """Make the request's log line, as JSON."""
        method = self.scope["method"]
        line = (
            f'{{"time":{time.time():.6f},"level":"info","event":"request","request":"{self.id}",'
            f'"method":"{method if method in METHODS else "other"}","route":"{self.template}",'
            f'"status":{self.status},"outcome":"{self.outcome}","rows":{self.rows},'
            f'"ms":{seconds * 1000:.3f}'
        )
        parent = self.raw.get(b"traceparent")
        if parent is not None and (found := TRACEPARENT.fullmatch(parent)):
            line += f',"trace":"{found[1].decode()}"'
        if with_body and self.content:
            line += f',"body":{encode(self.content.decode("utf-8", "replace")).decode()}'
        return line.encode() + b"}"


class Bodies:
    """Reads bodies; limits the size of each, and the memory of all that are being read."""

    def __init__(self, *, largest: int, at_once: int) -> None:
        self._largest, self._at_once = largest, at_once
        self._held = 0

    async def read(self, call: Call) -> None:
        """Read the body into `call.content`. Raises ProblemDetails (413, 415, 503), or ClientDisconnect."""
        headers = call.raw
        if b"content-encoding" in headers and headers[b"content-encoding"].strip().lower() not in (b"", b"identity"):
            detail = "compressed bodies are not accepted"
            raise ProblemDetails(415, "wrong-type", detail, headers={"accept-encoding": "identity", **CLOSE})
        if b"content-length" in headers and int(headers[b"content-length"]) > self._largest:
            raise self._too_large()
        message = await call.receive()
        content = message.get("body", b"")
        if message["type"] != "http.request" or message.get("more_body", False):
            content = await self._parts(call, message)
        if len(content) > self._largest:
            raise self._too_large()
        call.content = content

    async def _parts(self, call: Call, message: Message) -> bytes:
        parts = bytearray()
        while True:
            if message["type"] != "http.request":
                raise ClientDisconnect
            part = message.get("body", b"")
            parts += part
            if len(parts) > self._largest:
                raise self._too_large()
            self._held += len(part)
            call.held += len(part)
            if self._held > self._at_once:
                raise overloaded("too many large bodies are being read")
            if not message.get("more_body", False):
                return bytes(parts)
            message = await call.receive()

    def release(self, call: Call) -> None:
        """Give back the memory budget of a body that came in parts, after its request."""
        self._held -= call.held
        call.held = 0

    def _too_large(self) -> ProblemDetails:
        return too_large(f"the body is larger than {self._largest} bytes")


class Route(APIRoute):
    """One path of an application, answered by a handler.

    It is an ordinary FastAPI route if the application or a router has dependencies or overrides, or if the application
    is `plain`. Otherwise there are no dependencies to solve, and it answers as plain ASGI.
    """

    def __init__(self, owner: Any, handler: Handler, path: str, **options: Any) -> None:
        """owner: the `Application`. options: of `APIRoute`, and `body` (the type of the request's body), `errors` (the
        statuses that it may answer with), `public` (needs no API key), `template` (its name in metrics), `needs_model`.
        """
        self.owner, self.handler, self._options = owner, handler, options
        options = dict(options)
        body = options.pop("body", None)
        self.errors: Sequence[int] = options.pop("errors", ())
        self.public: bool = options.pop("public", False)
        self.template: str = options.pop("template", path)
        self.needs_model: bool = options.pop("needs_model", True)
        self.guards = [guard for guard in owner.router.dependencies if guard is not owner.lock]
        lock = [owner.lock] if owner.lock and not self.public else []
        endpoint = self._with_model if self.needs_model else self._without_model
        options |= {"dependencies": [*lock, *self.guards], "dependency_overrides_provider": owner}
        super().__init__(path, endpoint, **options)
        self.verbs = frozenset(self.methods or ())
        self.description = ""
        if body:
            self.body_field = _body_field(path, body)

    def describe(self, **options: Any) -> None:
        """Build the route again, with new options and the present dependencies of its application."""
        options = self._options | options
        self.__init__(self.owner, self.handler, options.pop("path", self.path), **options)  # type: ignore[misc]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request; a GET route also answers HEAD."""
        return super().matches(_without_head(scope) if "GET" in self.verbs else scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that FastAPI's router dispatched to this route."""
        scope = _without_head(scope) if "GET" in self.verbs else scope
        owner = self.owner
        ordinary = self.guards or owner.plain or owner.dependency_overrides or scope.get("app") is not owner
        if ordinary or scope["method"] not in self.verbs:
            await super().handle(scope, receive, send)
        else:
            await self.answer(Call.of(scope, receive, send), send)

    async def answer(self, call: Call, send: Send) -> None:
        """Answer a request as plain ASGI."""
        owner = self.owner
        call.template = self.template
        try:
            if owner.keys is not None and not self.public:
                owner.keys.check(call.raw)
            if self.needs_model and owner.model is None:
                raise not_ready(owner.reason)
            content = await self.respond(call, owner.model)
        except HTTPException as error:
            content = await owner.explain(call, error)
        if isinstance(content, Response):
            await content(call.scope, call.receive, send if send != call._send else call.answer)
            return
        call.status = 200
        length, number = (b"content-length", b"%d" % len(content)), (b"x-request-id", call.id.encode())
        await send({"type": "http.response.start", "status": 200, "headers": [JSON_HEADER, length, number]})
        await send({"type": "http.response.body", "body": content})

    async def respond(self, call: Call, model: Any) -> bytes | Response:
        """Read the body and call the handler. Raises HTTPException, or ClientDisconnect."""
        owner = self.owner
        try:
            if "POST" in self.verbs:
                await owner.bodies.read(call)
            if owner.metrics.in_flight >= owner.settings.in_flight and not self.public:
                raise overloaded(f"{owner.settings.in_flight} requests are in flight")
            owner.metrics.in_flight += 1
            try:
                return await self.handler(model, call)
            finally:
                owner.metrics.in_flight -= 1
        except (HTTPException, ClientDisconnect):
            raise
        except Exception as error:  # noqa: BLE001  (the client gets an answer, the log the traceback)
            owner.log.line("error", level="error", request=call.id, error=traceback.format_exc())
            raise ProblemDetails.of(error) from None
        finally:
            owner.bodies.release(call)

    async def _with_model(self, request: Request, model: Annotated[Any, Depends(loaded_model)]) -> Response:
        return await self._ordinary(request, model)

    async def _without_model(self, request: Request) -> Response:
        return await self._ordinary(request, None)

    async def _ordinary(self, request: Request, model: Any) -> Response:
        content = await self.respond(Call.of(request.scope, request.receive, request._send), model)
        return content if isinstance(content, Response) else Response(content, media_type=JSON)


def _without_head(scope: Scope) -> Scope:
    return {**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope


def _body_field(path: str, body: Any) -> Any:
    """FastAPI's description of a body's type, for OpenAPI only: the handler reads the body itself."""

    def described() -> None: ...

    parameter = Parameter("body", Parameter.KEYWORD_ONLY, annotation=body)
    described.__signature__ = Signature([parameter])  # type: ignore[attr-defined]
    return APIRoute(path.partition("{")[0], described, methods=["POST"]).body_field
