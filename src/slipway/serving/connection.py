"""An HTTP connection: uvicorn's, with limits of time and size, and each answer in one write."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slipway.serving.problems import ProblemDetails

HEAD_BYTES = 64 << 10  # of a request's line and headers, and of a chunked body's trailers
HEADER_BYTES = 64  # that a header takes beyond its text
HEAD_SLICE, BODY_SLICE = 4 << 10, 64 << 10  # parsed at once; what follows a whole request waits for its answer
LAST_SECONDS, FIRST_SECONDS = 0.2, 2.0  # that a connection has to send a request once the server stops; the first
FRAMING = (b"content-length", b"transfer-encoding")
TOO_LARGE = ProblemDetails(431, "too-large", f"the headers are larger than {HEAD_BYTES} bytes")


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


class Connection(HttpToolsProtocol):
    """A connection whose heads and bodies must come in time, and whose heads and unread requests are bounded.

    uvicorn only watches the time between two requests.
    """

    seconds = 10.0
    _timer: asyncio.TimerHandle | None = None
    _task: asyncio.Task[None] | None = None
    _receiving = True  # a head or a body that is not complete
    _in_head = True
    _head_bytes = 0  # of the request at hand
    _silent = 0  # bytes since the parser last told of something
    _rest = b""  # received behind a request that is not answered yet
    _refused = _replaying = _stopping = _ended = False

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request's head."""
        super().connection_made(Whole(transport))  # type: ignore[arg-type]
        self._timer = self.loop.call_later(self.seconds, self._late)

    def data_received(self, data: bytes) -> None:
        """Read; what is not complete by now has its time."""
        data = self._rest + data if self._rest else data
        while data and not self._refused:
            if self._unanswered() and not self._receiving:
                self.flow.pause_reading()
                break
            size = HEAD_SLICE if self._in_head else BODY_SLICE
            part, data = (data, b"") if len(data) <= size else (data[:size], data[size:])
            self._parse(part)
        self._rest = b"" if self._refused else data
        if self._receiving and self._timer is None and not self._refused:
            self._timer = self.loop.call_later(self.seconds, self._late)

    def _parse(self, data: bytes) -> None:
        self._silent += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(None)
        else:
            if self._silent > HEAD_BYTES:
                self._refuse(TOO_LARGE)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on with a request that offers another protocol: the parser leaves its body to that protocol.

        Java's default client and `curl --http2` make such offers. Another parser reads the head again, without it.
        """
        framing = b"".join(b"%s: %s\r\n" % header for header in self.headers if header[0] in FRAMING)
        self.parser = httptools.HttpRequestParser(self)
        self._replaying = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % framing)
        self._replaying = False
        if rest:
            self._parse(rest)

    def on_message_begin(self) -> None:
        """A head has begun to come."""
        if not self._replaying:
            self._unset_keepalive_if_required()
            self._receiving = self._in_head = True
            self._head_bytes = self._silent = 0
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the path has come."""
        if not self._replaying:
            self._count(len(url))
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has come, or a trailer, which nobody reads."""
        self._count(len(name) + len(value) + HEADER_BYTES)
        if self._in_head and not (self._replaying or self._refused):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head is complete; its body has a time of its own."""
        self._stop_timer()
        self._silent = 0
        if not (self._replaying or self._refused):
            self._in_head = False
            super().on_headers_complete()
            if self._stopping:
                self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of a body has come."""
        self._silent = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A body is complete, too."""
        if self._refused or self.parser.should_upgrade():
            return
        self._receiving, self._in_head, self._silent = False, True, 0
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is complete (one to HEAD has no body): go on with what came behind its request."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()
        if self.pipeline or self._unanswered():
            self.flow.pause_reading()
        elif self._rest and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.loop.call_soon(self.data_received, b"")
        elif self._ended:
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more: a whole request is answered all the same."""
        self._ended = True
        return self._unanswered() and not self._in_body()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_timer()
        self._refused = True
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Stop: answer what was sent, and close. A request may be under way to a connection that has none."""
        self._stopping = True
        if self._unanswered():
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(LAST_SECONDS if self.cycle else FIRST_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if not self._unanswered():
            self.transport.close()

    def _unanswered(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count(self, size: int) -> None:
        self._head_bytes += size
        self._silent = 0
        if self._head_bytes > HEAD_BYTES:
            self._refuse(TOO_LARGE)

    def _refuse(self, problem: ProblemDetails | None) -> None:
        """Take no more from this connection; 400 without a problem."""
        if self._refused:
            return
        self._refused = True
        self._stop_timer()
        if self._unanswered() and (self.pipeline or self.cycle.response_started or not self._in_body()):
            self.cycle.keep_alive = False  # an answer that comes now would be taken for that of an earlier request
        elif problem is None:
            self.send_400_response("Invalid HTTP request received.")
        else:
            answer = problem.response("unknown")
            fields = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
            head = f"HTTP/1.1 {problem.status_code} {HTTPStatus(problem.status_code).phrase}\r\n".encode()
            self.transport.write(head + fields + b"connection: close\r\n\r\n" + bytes(answer.body))
            self.transport.close()

    def _in_body(self) -> bool:
        return self._receiving and not self._in_head

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        """Let the application answer 408 where a body is late; a connection without a whole head is closed."""
        if self._unanswered() and self._in_body() and self._task is not None:
            self.cycle.scope["slipway.late"] = True  # type: ignore[typeddict-unknown-key]
            self._task.cancel()
        elif self._unanswered():
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._task = self.loop.create_task(cycle.run_asgi(app))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)
