"""Ways to run the service in tests: as a process, in a thread, or without a network."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from slipway.serving import Application, Settings
from slipway.serving.logs import Log
from slipway.serving.server import bind, make_server

JSON = "application/json"


class Process:
    """`python -m slipway.serving` at a free port, waited for until it is ready (or refuses its bundle)."""

    def __init__(
        self, bundle: Path, *, python: str = sys.executable, until: str | None = "ready", **settings: Any
    ) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SLIPWAY_")}
        given = {"bundle": bundle, "port": 0, **settings}
        environment |= {f"SLIPWAY_{name.upper()}": str(value) for name, value in given.items()}
        self.process = subprocess.Popen(
            [python, "-m", "slipway.serving"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self.ports: list[int] = []
        self._seen = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        self.wait("listening")
        if until:
            self.wait(until)
        self.url = f"http://127.0.0.1:{self.ports[0]}"

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._seen:
                self.lines.append(line)
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if event["event"] == "listening":
                        self.ports.append(event["port"])
                self._seen.notify_all()

    def events(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if f'"event":"{name}"' in line]

    def wait(self, event: str, count: int = 1) -> None:
        with self._seen:
            found = self._seen.wait_for(lambda: len(self.events(event)) >= count or self.process.poll() is not None, 30)
        assert found, f"no {event}"
        assert len(self.events(event)) >= count, "".join(self.lines)

    def stop(self, number: int = signal.SIGTERM, *, timeout: float = 30) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def threaded(app: Application) -> Iterator[str]:
    """Run an application in a thread; gives its address once it has started."""
    started = threading.Event()
    server = make_server(app, app.settings)
    inner = server.startup

    async def startup(sockets: Any = None) -> None:
        await inner(sockets)
        started.set()

    server.startup = startup  # type: ignore[method-assign]
    sockets = bind(app.settings.model_copy(update={"port": 0, "ops_port": None}))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets)))
    thread.start()
    assert started.wait(30)
    try:
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def quiet(bundle: Path, **settings: Any) -> Application:
    """Make an application that logs nowhere."""
    options = {name: settings.pop(name) for name in ("plain", "lifespan", "dependencies") if name in settings}
    log = Log(os.open(os.devnull, os.O_WRONLY))
    return Application(Settings(bundle=bundle, **{"log_requests": False, **settings}), log=log, **options)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Direct:
    """An application that is called without a network, for many calls."""

    def __init__(self, app: Application) -> None:
        self.app = app
        app.load()
        assert app.model, app.reason
        self.model = app.model
        self._runner = asyncio.Runner()

    def ask(self, path: str, body: bytes | Any = None, kind: str = JSON, method: str | None = None) -> Answer:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self._runner.run(self._ask(path, content, kind, method or ("GET" if body is None else "POST")))

    async def _ask(self, path: str, body: bytes, kind: str, method: str) -> Answer:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": path, "method": method, "headers": [(b"content-type", kind.encode())]}
        await self.app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))

    def close(self) -> None:
        self._runner.close()


def client(url: str, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=30, **options)


def without_version(metrics: str) -> str:
    """Leave the model's version, which each of its series names, out of an exposition."""
    return re.sub(r',?version="[0-9a-f]{12}"', "", metrics).replace("{}", "")
