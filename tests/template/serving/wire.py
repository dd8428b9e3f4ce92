"""A connection of the service without a network: what is sent to it, and what it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from slipway.serving.connection import HEADER_OVERHEAD, Connection

OFFER = b"connection: Upgrade\r\nupgrade: h2c\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n"


class Transport:
    """What was done to a connection, in place of a socket."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.reading = True
        self.ended = False  # the output
        self.closed = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def writelines(self, parts: Any) -> None:
        self.writes.append(b"".join(parts))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def close(self) -> None:
        self.closed.set()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Service:
    """An application that answers with the body that it got, once it is free; and a connection to it.

    As Slipway's own does, it takes the end of the time for a body as a cancellation, and then ends the connection.
    """

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.transport = Transport()
        config = Config(self, ws="none", lifespan="off", log_config=None, timeout_keep_alive=60)
        self.state = ServerState()
        self.connection = Connection(config, self.state, {})
        self.connection.connection_made(self.transport)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        headers = []
        try:
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)
            await self.free.wait()
        except asyncio.CancelledError:
            if "slipway.timeout" not in scope:
                raise
            body, headers = b"too late", [(b"connection", b"close")]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def settle(self, until: Callable[[], Any] = lambda: False, rounds: int = 50) -> None:
        """Let the event loop do what is due."""
        for _ in range(rounds):
            if until():
                return
            await asyncio.sleep(0)

    async def send(self, *parts: bytes) -> list[bytes]:
        """Send data; the writes that answer it."""
        for part in parts:
            self.connection.data_received(part)
        await self.settle()
        return self.transport.writes

    def statuses(self) -> list[int]:
        return [int(write[9:12]) for write in self.transport.writes if write.startswith(b"HTTP/1.1 ")]


@asynccontextmanager
async def connected() -> AsyncIterator[Service]:
    service = Service()
    yield service
    service.connection.connection_lost(None)
    service.free.set()
    await service.settle()


def head(size: int, *, method: bytes = b"GET", more: bytes = b"") -> bytes:
    """A head of which the path, the names and values of headers, and their overhead count `size` in all."""
    path, name = b"/" + b"p" * 99, b"x"
    value = b"v" * (size - len(path) - len(name) - HEADER_OVERHEAD)
    return b"%s %s HTTP/1.1\r\n%s: %s\r\n%s\r\n" % (method, path, name, value, more)
