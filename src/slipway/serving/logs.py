"""Structured logs: JSON lines on standard output. An error while writing them never stops the service."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

from slipway.serving.problems import encode

STDOUT = 1


class Log(logging.Handler):
    """Writes lines in one batch for each iteration of the event loop. `dropped` counts the lines it could not write."""

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
        """Write the buffered lines."""
        lines, self._lines = self._lines, []
        rest = memoryview(b"\n".join([*lines, b""]))
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:  # the disk is full, or the reader is gone
            self.dropped += len(lines)
