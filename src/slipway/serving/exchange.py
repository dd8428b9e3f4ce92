"""One request and its answer, over plain ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from slipway.serving.problems import CLOSE, HEADERS, Problem, overloaded, too_large

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
PROBLEM = b"application/problem+json"
encode = msgspec.json.Encoder(decimal_format="number").encode


class Reply(NamedTuple):
    """What is answered."""

    body: bytes
    type: bytes = JSON
    status: int = 200
    headers: HEADERS = ()


class Gone(Exception):  # noqa: N818  (it is no error)
    """The client closed the connection before it was answered."""


class Exchange:
    """A request, what is known of it for the log, and its answer."""

    __slots__ = (
        "body",
        "ends",
        "headers",
        "held",
        "id",
        "late",
        "outcome",
        "receive",
        "route",
        "rows",
        "scope",
        "send",
        "started",
        "status",
    )

    def __init__(self, scope: Message, receive: Receive, send: Send, number: str) -> None:
        self.started = perf_counter()
        self.scope, self.receive, self.send = scope, receive, send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.id = number
        self.route = "unknown"
        self.body = b""
        self.rows = 0
        self.status = 0
        self.outcome = "ok"
        self.ends = 0.0
        self.held = 0
        self.late: Problem | None = None

    @property
    def type(self) -> bytes:
        """The body's media type, without parameters; empty if it is not said."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()

    async def reply(self, reply: Reply) -> None:
        """Send the answer."""
        self.status = reply.status
        headers = [
            (b"content-type", reply.type),
            (b"content-length", b"%d" % len(reply.body)),
            (b"x-request-id", self.id.encode()),
            *reply.headers,
        ]
        await self.send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": reply.body})

    async def refuse(self, problem: Problem) -> None:
        """Send a problem document."""
        self.outcome = problem.kind
        await self.reply(Reply(encode(problem.document(self.id)), PROBLEM, problem.status, problem.headers))


class Bodies:
    """Reads bodies within limits of size and of memory in all."""

    def __init__(self, *, largest: int, at_once: int) -> None:
        self._largest, self._at_once = largest, at_once
        self._held = 0

    async def read(self, exchange: Exchange) -> bytes:
        """Read the body. Raises Problem (413, 415, 503), or Gone."""
        if b"content-encoding" in exchange.headers and exchange.headers[b"content-encoding"] != b"identity":
            headers = ((b"accept-encoding", b"identity"), CLOSE)
            raise Problem(415, "wrong-type", "compressed bodies are not taken", headers=headers)
        if b"content-length" in exchange.headers and int(exchange.headers[b"content-length"]) > self._largest:
            raise self._too_large()
        message = await exchange.receive()
        if message["type"] == "http.request" and not message["more_body"]:
            body: bytes = message["body"]
            if len(body) > self._largest:
                raise self._too_large()
            return body
        return await self._parts(exchange, message)

    async def _parts(self, exchange: Exchange, message: Message) -> bytes:
        parts = bytearray()
        while True:
            if message["type"] != "http.request":
                raise Gone
            parts += message["body"]
            if len(parts) > self._largest:
                raise self._too_large()
            self._held += len(message["body"])
            exchange.held += len(message["body"])
            if self._held > self._at_once:
                raise overloaded("too many large bodies are at hand")
            if not message["more_body"]:
                return bytes(parts)
            message = await exchange.receive()

    def release(self, exchange: Exchange) -> None:
        """Forget a body that came in parts, when its request is done with."""
        self._held -= exchange.held
        exchange.held = 0

    def _too_large(self) -> Problem:
        return too_large(f"the body is larger than {self._largest} bytes")
