"""Structured logs: one JSON object a line on standard output. A log that cannot be written never stops the service."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any

from slipway.serving.problems import encode

if TYPE_CHECKING:
    from slipway.serving.route import Call

STDOUT = 1
TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")  # W3C Trace Context, version 00
_METHODS = {name: name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")}


class Log(logging.Handler):
    """Writes lines, together at the end of each turn of the event loop. `dropped` counts those it could not write."""

    def __init__(self, descriptor: int = STDOUT) -> None:
        super().__init__(logging.INFO)
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self.dropped = 0

    def line(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Log an event."""
        self.write(encode({"time": round(time.time(), 6), "level": level, "event": event, **fields}))

    def emit(self, record: logging.LogRecord) -> None:
        """Log what other packages report through `logging`."""
        fields = {"error": logging.Formatter().formatException(record.exc_info)} if record.exc_info else {}
        self.line(record.getMessage(), level=record.levelname.lower(), logger=record.name, **fields)

    def write(self, line: bytes) -> None:
        """Write one encoded line."""
        if not self._lines:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # in a thread
                self._lines.append(line)
                self.flush()
                return
        self._lines.append(line)

    def flush(self) -> None:
        """Write what has gathered."""
        lines, self._lines = self._lines, []
        rest = memoryview(b"\n".join([*lines, b""]))
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:  # the disk is full, or the reader is gone
            self.dropped += len(lines)

    def request(self, call: Call, seconds: float, *, values: bool = False) -> None:
        """Log one request; what was asked only if `values` are wanted."""
        line = (
            f'{{"time":{time.time():.6f},"level":"info","event":"request","request":"{call.id}",'
            f'"method":"{_METHODS.get(call.scope["method"], "other")}","route":"{call.template}",'
            f'"status":{call.status},"outcome":"{call.outcome}","rows":{call.rows},'
            f'"ms":{seconds * 1000:.3f}'
        )
        parent = call.raw.get(b"traceparent")
        if parent is not None and (found := TRACEPARENT.fullmatch(parent)):
            line += f',"trace":"{found[1].decode()}"'
        if values and call.content:
            line += f',"body":{encode(call.content.decode("utf-8", "replace")).decode()}'
        self.write(line.encode() + b"}")
