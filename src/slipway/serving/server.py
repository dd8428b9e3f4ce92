"""Runs the application with uvicorn: one process, one event loop, a graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slipway.problem import SlipwayError
from slipway.serving.app import Application
from slipway.serving.settings import Settings

COLLECT_AFTER = 20_000  # objects; requests leave hardly any cycles behind
SWITCH_SECONDS = 0.0005  # how long a thread with a large request may keep the event loop from its turn
BACKLOG = 2048


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
    """HTTP whose heads and bodies must come in time; uvicorn only watches the time between two requests."""

    seconds = 10.0
    _timer: asyncio.TimerHandle | None = None
    _receiving = True  # a head or a body that is not complete
    _task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request's head."""
        super().connection_made(Whole(transport))  # type: ignore[arg-type]
        self._timer = self.loop.call_later(self.seconds, self._late)

    def on_message_begin(self) -> None:
        """A head has begun to come."""
        self._receiving = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is complete; its body has a time of its own."""
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A body is complete, too."""
        self._receiving = False
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is complete; one to HEAD has no body."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Read; what is not complete by now has its time."""
        super().data_received(data)
        if self._receiving and self._timer is None:
            self._timer = self.loop.call_later(self.seconds, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        """Let the application answer 408 where a body is late; a connection without a whole head is closed."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and self._task is not None:
            cycle.scope["slipway.late"] = True  # type: ignore[typeddict-unknown-key]
            self._task.cancel()
        else:
            self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._task = self.loop.create_task(cycle.run_asgi(app))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to `serve`."""

    async def startup(self, sockets: Any = None) -> None:
        """Start the application, then answer."""
        await super().startup(sockets)
        # Let the collector look at what requests leave behind, not at the model and the libraries.
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER, 20, 20)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def bind(settings: Settings) -> list[socket.socket]:
    """Listen at the port, and at the one for operations. Raises SlipwayError if one is taken or not allowed."""
    sockets = []
    for port in (settings.port, settings.ops_port):
        if port is not None:
            family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
            try:
                sockets.append(socket.create_server((settings.host, port), family=family, backlog=BACKLOG))
            except OSError as error:
                raise SlipwayError(f"cannot listen at {settings.host}:{port}: {error.strerror or error}") from None
    return sockets


def load_application(name: str) -> Application:
    """Import an application, named as module:attribute. Raises SlipwayError if it is none that `create_app` made."""
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
        raise SlipwayError(f"SLIPWAY_APP: {name} is a {type(app).__name__}, not what slipway.serving.create_app makes")
    return app


async def serve(app: Application, sockets: list[socket.socket]) -> None:
    """Serve until SIGTERM or SIGINT; then be not ready, drain, finish what was accepted, and return."""
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
    running = [asyncio.create_task(one.serve([at])) for one, at in zip(servers, sockets, strict=True)]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
    app.unready("the server is stopping")
    if stop.is_set():
        await asyncio.sleep(settings.drain_seconds)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*running)


def run(settings: Settings, sockets: list[socket.socket]) -> None:
    """Serve the application that the settings name in this process, until it is told to stop."""
    import uvloop

    app = load_application(settings.app)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # silent connections must not use up what there is
    root = logging.getLogger()
    root.handlers, root.level = [app.log], logging.WARNING
    # The application has logged it already, with the request's id.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not record.msg.startswith("Exception in ASGI"))
    sys.setswitchinterval(SWITCH_SECONDS)
    uvloop.run(serve(app, sockets))


def make_server(app: Any, settings: Settings) -> Server:
    """Make a server of an application, or of the one for operations, which has no lifespan of its own."""
    config = uvicorn.Config(
        app,
        http=type("Protocol", (Protocol,), {"seconds": settings.body_seconds}),
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
