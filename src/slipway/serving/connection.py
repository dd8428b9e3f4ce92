"""uvicorn's HTTP connection with timeouts, size limits, and each response in a single write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slipway.serving.problems import ProblemDetails

HEAD_BYTES = 64 << 10  # limit on the request line and headers, and on the trailers of a chunked body
HEADER_OVERHEAD = 64  # bytes of memory that a header takes beyond its text
HEAD_SLICE, BODY_SLICE = 4 << 10, 64 << 10  # bytes parsed at once, so that pipelined requests stay unparsed
IDLE_GRACE, NEW_GRACE = 0.2, 2.0  # seconds at shutdown: after a keep-alive response; before a first request
LINGER_SECONDS = 2.0  # after a response that ends the connection, input is dropped for so long
FRAMING = (b"content-length", b"transfer-encoding")
NOT_HTTP = ProblemDetails(400, "malformed", "this is not an HTTP request")
TOO_LARGE = ProblemDetails(431, "too-large", f"the headers are larger than {HEAD_BYTES} bytes")


class BufferedTransport:
    """A transport that sends a response's head together with its body: one system call instead of two.

    To close while the client still sends would reset the connection, and the response could be lost: so the output is
    ended, and input is dropped for a while (RFC 9112, 9.6).
    """

    def __init__(self, transport: Any, drop_input: Callable[[], bool]) -> None:
        """drop_input: drops further input, and returns whether any is expected: the request has not ended."""
        self._transport, self._drop_input = transport, drop_input
        self._head, self._closing = b"", False
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes) -> None:
        """Hold the head of a response until its body is written."""
        if self._head:
            self._transport.writelines((self._head, data))
            self._head = b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
        else:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether nothing more is sent."""
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        """Send the buffered output and close, with a delay if the client still sends."""
        self.flush()
        if not self.is_closing() and self._drop_input():
            self._transport.write_eof()
            self._transport.resume_reading()
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.close)
        else:
            self._transport.close()
        self._closing = True

    def flush(self) -> None:
        """Send a head that is still held (the response has no body)."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""


class Connection(HttpToolsProtocol):
    """Adds to uvicorn a timeout for heads and bodies, and limits on the size of heads and of pipelined requests.

    uvicorn itself only has the keep-alive timeout.
    """

    receive_timeout = 10.0  # seconds for a head, and again for a body
    _timer: asyncio.TimerHandle | None = None
    _task: asyncio.Task[None]  # of the request that is being answered
    _receiving = True  # a head or a body is incomplete
    _in_head = True
    _head_bytes = 0  # of the current request
    _unparsed_bytes = 0  # since the parser's last callback
    _pipelined = b""  # received before the current request was answered
    _refused = _replaying = _stopping = _eof = False

    def connection_made(self, transport: Any) -> None:
        """Start the timeout for the first request's head."""
        super().connection_made(BufferedTransport(transport, self._drop_input))  # type: ignore[arg-type]
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Parse the data; start the timeout if a head or a body is still incomplete."""
        data = self._pipelined + data if self._pipelined else data
        while data and not self._refused:
            if self._unanswered() and not self._in_body():
                self.flow.pause_reading()
                break
            size = HEAD_SLICE if self._in_head else BODY_SLICE
            part, data = (data, b"") if len(data) <= size else (data[:size], data[size:])
            self._parse(part)
        self._pipelined = b"" if self._refused else data
        self._start_timer()

    def _parse(self, data: bytes) -> None:
        self._unparsed_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(NOT_HTTP)
        else:
            if self._unparsed_bytes > HEAD_BYTES:
                self._refuse(TOO_LARGE)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Serve a request with an `Upgrade` header as HTTP/1.1: Java's default client and `curl --http2` send one.

        The parser stops behind such a head, so a new parser gets the head again without the header.
        """
        framing = b"".join(b"%s: %s\r\n" % header for header in self.headers if header[0] in FRAMING)
        self.parser = httptools.HttpRequestParser(self)
        self._replaying = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % framing)
        self._replaying = False
        if rest:
            self._parse(rest)

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._replaying:
            self._unset_keepalive_if_required()
            self._receiving = self._in_head = True
            self._head_bytes = self._unparsed_bytes = 0
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the path was parsed."""
        if not self._replaying:
            self._count(len(url))
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header was parsed, or a trailer, which is counted and dropped."""
        self._count(len(name) + len(value) + HEADER_OVERHEAD)
        if self._in_head and not (self._replaying or self._refused):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete; the body gets a new timeout."""
        self._stop_timer()
        self._unparsed_bytes = 0
        if not (self._replaying or self._refused):
            self._in_head = False
            super().on_headers_complete()
            if self._stopping:
                self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of the body was parsed."""
        self._unparsed_bytes = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self._refused or self.parser.should_upgrade():
            return
        self._receiving, self._in_head, self._unparsed_bytes = False, True, 0
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The response is complete (to HEAD it has no body): parse the next pipelined request."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._unanswered():
            self.flow.pause_reading()
            self._start_timer()
        elif self._pipelined or (self._receiving and self._in_head and not self._eof):
            if self._receiving:  # else what was sent ahead may be line ends only, which begin no request
                self._unset_keepalive_if_required()
            self.loop.call_soon(self.data_received, b"")
        elif self._eof:
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client closed its sending side: complete requests are still answered."""
        self._eof = True
        return bool(self._pipelined or self.pipeline) or (self._unanswered() and not self._in_body())

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        self._stop_timer()
        self._refused = True
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close after the current request; an idle connection gets a grace period, as a request may be in transit."""
        self._stopping = True
        if self._unanswered():
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(IDLE_GRACE if self.cycle else NEW_GRACE, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if not self._unanswered():
            self.transport.close()

    def _unanswered(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count(self, size: int) -> None:
        self._head_bytes += size
        self._unparsed_bytes = 0
        if self._head_bytes > HEAD_BYTES:
            self._refuse(TOO_LARGE)

    def _refuse(self, problem: ProblemDetails) -> None:
        """Answer with the problem and read no more from this connection."""
        if self._refused:
            return
        self._refused = True
        self._stop_timer()
        response = problem.response("unknown")
        if self._unanswered() and (self.pipeline or self.cycle.response_started or not self._in_body()):
            self.cycle.keep_alive = False  # the client would take this response for that of an earlier request
            if self.pipeline and self._in_body():  # in the place of the application's, which would wait for the body
                self.pipeline[0] = self.cycle, response  # type: ignore[assignment]
            return
        fields = b"".join(b"%s: %s\r\n" % header for header in response.raw_headers)
        head = f"HTTP/1.1 {problem.status_code} {HTTPStatus(problem.status_code).phrase}\r\n".encode()
        self.transport.write(head + fields + b"connection: close\r\n\r\n" + bytes(response.body))
        self.transport.close()

    def _drop_input(self) -> bool:
        self._refused = self._refused or (self._receiving and (not self._in_head or self._head_bytes > 0))
        return self._refused and self._receiving

    def _in_body(self) -> bool:
        return self._receiving and not self._in_head

    def _start_timer(self) -> None:
        """Start the timeout if a head or a body is incomplete, and the requests before it were answered."""
        waits = self.pipeline or (self._in_head and self._unanswered())
        if self._receiving and self._timer is None and not (self._refused or waits):
            self._timer = self.loop.call_later(self.receive_timeout, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        """Let the application answer 408 if the body timed out; close the connection if the head did."""
        if self._unanswered():
            self.cycle.scope["slipway.timeout"] = True  # type: ignore[typeddict-unknown-key]
            self._task.cancel()
        else:
            self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._task = self.loop.create_task(cycle.run_asgi(app))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)
