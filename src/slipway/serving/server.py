"""Runs the service with uvicorn: one process, one event loop, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slipway.serving.app import Service
from slipway.serving.logs import Log
from slipway.serving.settings import Settings

COLLECT_AFTER = 20_000  # objects; requests leave hardly any cycles behind
SWITCH_SECONDS = 0.0005  # how long a thread with a large request may keep the event loop from its turn


class Whole:
    """A transport that sends an answer's head together with its body: one system call instead of two."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""
        self.close, self.is_closing = self._close, transport.is_closing
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes) -> None:
        """Hold a head back until its body comes."""
        if self._head:
            self._transport.writelines((self._head, data))
            self._head = b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
        else:
            self._transport.write(data)

    def _close(self) -> None:
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send a head that has no body."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""


class Protocol(HttpToolsProtocol):
    """HTTP that closes connections whose request does not come in time; uvicorn only watches the time between two."""

    head_seconds = 10.0
    _deadline: asyncio.TimerHandle | None = None
    _reading = True

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request's head."""
        super().connection_made(Whole(transport))  # type: ignore[arg-type]
        self._deadline = self.loop.call_later(self.head_seconds, transport.close)

    def on_message_begin(self) -> None:
        """A head has begun to come."""
        self._reading = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._reading = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer is complete; one to HEAD has no body."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Read; a head that is not complete by now has its time, too."""
        super().data_received(data)
        if self._reading and self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to `serve`, and tells where it listens."""

    log: Log

    async def startup(self, sockets: Any = None) -> None:
        """Open the door."""
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self.log.line("listening", host=host, port=port)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve(service: Service) -> None:
    """Serve until SIGTERM or SIGINT; then be unready, wait for the door to be found shut, finish, and return."""
    settings = service.settings
    loop = asyncio.get_running_loop()
    servers = [make_server(service, service, settings.port)]
    if settings.ops_port is not None:
        servers.append(make_server(service, service.ops, settings.ops_port))
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    running = [asyncio.create_task(server.serve()) for server in servers]
    loading = loop.run_in_executor(None, service.load)
    loading.add_done_callback(lambda _: _settle())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
    service.ready("the server is stopping")
    if stop.is_set():
        await asyncio.sleep(settings.drain_seconds)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*running)
    if service.served:
        service.served.lanes.close()
    if service.tracing:
        service.tracing.close()
    service.log.flush()


def run(settings: Settings) -> None:
    """Serve in this process, until it is told to stop."""
    import uvloop

    service = Service(settings)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # silent connections must not use up what there is
    root = logging.getLogger()
    root.handlers, root.level = [service.log], logging.WARNING
    sys.setswitchinterval(SWITCH_SECONDS)
    uvloop.run(serve(service))


def _settle() -> None:
    """Let the collector look at what requests leave behind, not at the model and the libraries."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


def make_server(service: Service, app: Any, port: int) -> Server:
    """Make a server of one of a service's applications."""
    settings = service.settings
    protocol = type("Protocol", (Protocol,), {"head_seconds": settings.body_seconds})
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=port,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.grace_seconds,
    )
    server = Server(config)
    server.log = service.log
    return server
