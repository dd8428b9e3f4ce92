"""Runs the application with uvicorn: one process, one event loop, a graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import logging
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn

from slipway.problem import SlipwayError
from slipway.serving.app import Application
from slipway.serving.connection import Connection
from slipway.serving.settings import Settings

GC_THRESHOLD = 20_000  # objects; requests create hardly any reference cycles
SWITCH_SECONDS = 0.0005  # how long a thread with a large request may hold the GIL while the event loop waits
BACKLOG = 2048
ATTACH_FILTER, TCP_FLAGS, SYN = 26, 13, 2  # constants of Linux and TCP that the socket module lacks
UNACKED_OFFSET = 24  # of tcpi_unacked in Linux's struct tcp_info
HANDSHAKE_SECONDS = 0.1


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to `serve`."""

    async def startup(self, sockets: Any = None) -> None:
        """Start the application, then accept requests."""
        await super().startup(sockets)
        # Keep the model and the libraries out of garbage collection.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 20)
        gc.enable()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


def bind(settings: Settings) -> list[socket.socket]:
    """Listen on the port, and on the operations port. Raises SlipwayError if one is in use or not allowed."""
    sockets = []
    for port in (settings.port, settings.ops_port):
        if port is not None:
            family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
            try:
                sockets.append(socket.create_server((settings.host, port), family=family, backlog=BACKLOG))
            except OSError as error:
                reason = str(error.strerror).partition(" (while")[0]
                raise SlipwayError(f"cannot listen on {settings.host}:{port}: {reason}") from None
    return sockets


def load_application(name: str) -> Application:
    """Import an application, named as module:attribute. Raises SlipwayError unless `create_app` made it."""
    module, _, attribute = name.partition(":")
    try:
        app = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise SlipwayError(f"SLIPWAY_APP: {name}: there is no module {error.name}") from None
    except AttributeError:
        raise SlipwayError(f"SLIPWAY_APP: {name}: {module} has no {attribute!r}") from None
    if not isinstance(app, Application):
        raise SlipwayError(f"SLIPWAY_APP: {name} is a {type(app).__name__}; make it with slipway.serving.create_app")
    return app


async def serve(app: Application, sockets: list[socket.socket]) -> None:
    """Serve until SIGTERM or SIGINT; then stop being ready, drain, finish the accepted requests, and return."""
    settings = app.settings
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    servers = [make_server(app, settings)]
    if app.ops is not None:
        servers.append(make_server(app.ops, settings))
    for listening in sockets:
        host, port = listening.getsockname()[:2]
        app.log.line("listening", host=host, port=port)
    running = [asyncio.create_task(server.serve([sock])) for server, sock in zip(servers, sockets, strict=True)]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
    app.unready("the server is stopping")
    if stop.is_set():
        await asyncio.sleep(settings.drain_seconds)
    await _empty_backlog(sockets, settings.grace_seconds)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*running)


async def _empty_backlog(sockets: list[socket.socket], seconds: float) -> None:
    """Refuse new connections and accept those in the backlog, which closing the socket would reset (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    for listening in sockets:
        _drop_syn(listening)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.sleep(HANDSHAKE_SECONDS)
            while any(_backlog_size(listening) for listening in sockets):
                await asyncio.sleep(0.01)


def _drop_syn(listening: socket.socket) -> None:
    """Drop SYN packets: the client's kernel sends them again, and then finds the port closed.

    The BPF filter loads the byte of TCP flags and keeps 0 bytes of a packet with SYN, and all of any other.
    """
    load, jump_if_set, keep = 0x30, 0x45, 0x06
    steps = ((load, 0, 0, TCP_FLAGS), (jump_if_set, 0, 1, SYN), (keep, 0, 0, 0), (keep, 0, 0, 0xFFFFFFFF))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    with contextlib.suppress(OSError):
        filtered = struct.pack("HP", len(steps), ctypes.addressof(program))
        listening.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, filtered)


def _backlog_size(listening: socket.socket) -> int:
    """The number of connections that are not accepted yet: `tcpi_unacked` of a listening socket."""
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, UNACKED_OFFSET + 4)
    return int(struct.unpack_from("I", info, UNACKED_OFFSET)[0])


def run(settings: Settings, sockets: list[socket.socket]) -> None:
    """Serve the application named by the settings in this process, until SIGTERM or SIGINT.

    Raises SlipwayError on Windows, which lacks what this needs.
    """
    if sys.platform == "win32":
        raise SlipwayError("the server runs on Linux and macOS: use the image or the development container (README.md)")
    import resource

    import uvloop

    app = load_application(settings.app)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # idle connections must not use up the file descriptors
    root = logging.getLogger()
    root.handlers, root.level = [app.log], logging.WARNING
    # The application has already logged the exception, with the request's id.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not record.msg.startswith("Exception in ASGI"))
    sys.setswitchinterval(SWITCH_SECONDS)
    uvloop.run(serve(app, sockets))


def make_server(app: Any, settings: Settings) -> Server:
    """Make the server of an application, or of the operations application, which has no lifespan of its own."""
    config = uvicorn.Config(
        app,
        http=type("Connection", (Connection,), {"receive_timeout": settings.body_seconds}),
        ws="none",
        lifespan="on" if isinstance(app, Application) else "off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.grace_seconds,
    )
    return Server(config)
