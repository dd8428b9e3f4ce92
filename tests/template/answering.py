"""A server for tests: one function answers every request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """A request."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What is answered: bytes as they are, all else as JSON."""

    status: int
    content: Any = b""
    headers: Mapping[str, str] = {}


@contextmanager
def answering(answer: Callable[[Asked], Answer | None]) -> Iterator[str]:
    """Serve, and give the URL. answer: gives None where the connection is closed instead."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            found = answer(Asked(self.path, self.headers, body))
            if found is None:
                return self.connection.close()
            content = found.content if isinstance(found.content, bytes) else json.dumps(found.content).encode()
            self.send_response(found.status)
            for name, value in {**found.headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            return None

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
