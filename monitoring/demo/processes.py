"""Processes that run for as long as a block, and events that are waited for."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from slipway.problem import SlipwayError

WAIT_SECONDS = 60
ASK_SECONDS = 0.05


def program(*names: str) -> str:
    """Find a program by one of its names. Raises SlipwayError, which says where to get it."""
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    raise SlipwayError(
        f"{names[0]} is not on the PATH. The demo starts a Prometheus and an Alertmanager of its own, at free ports.\n"
        "  Debian, Ubuntu:  apt-get install prometheus prometheus-alertmanager\n"
        "  other systems:   the archives `prometheus` and `alertmanager` of https://prometheus.io/download/; put the "
        "program of that name in each into a folder on the PATH"
    )


def free_port() -> int:
    """Find a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def metrics_server(read: Callable[[str], tuple[bytes, str]]) -> Iterator[str]:
    """Serve metrics at a free port of this machine until the block ends; give host and port.

    read: gives content and media type for a request's `accept`.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):  # a scrape that fails, as it does when a machine is slow
                content, kind = read(self.headers.get("accept", ""))
                self.send_response(200)
                self.send_header("content-type", kind)
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def bare_environment() -> dict[str, str]:
    """Give the environment without settings of the service, and without those of a CI job, which verdicts go to."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SLIPWAY_", "GITHUB_"))}


def call(*command: str, folder: Path) -> str:
    """Run a command there, and give its output. Raises SlipwayError, with the output, if it fails."""
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, env=bare_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SlipwayError(f"{' '.join(command)} ends with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def process(*command: str, log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends, which asks it to end and waits for it. options: of subprocess.Popen."""
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file, **options) as running:  # noqa: S603
        try:
            yield running
        finally:
            running.terminate()


def await_event(happened: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Ask until the answer is true, and give it. Raises SlipwayError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := happened()):
        if time.monotonic() > deadline:
            raise SlipwayError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(ASK_SECONDS)
    return answer
