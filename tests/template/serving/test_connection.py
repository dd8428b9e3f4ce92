"""The connection's limits at their edges, without a network: what is parsed, answered, and waited for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from slipway.serving.connection import BODY_SLICE, HEAD_BYTES, HEADER_OVERHEAD, BufferedTransport, Connection

OFFER = b"connection: Upgrade\r\nupgrade: h2c\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n"


class Transport:
    """What was done to a connection, in place of a socket."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.reading = True
        self.ended = False  # the output
        self.closed = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def writelines(self, parts: Any) -> None:
        self.writes.append(b"".join(parts))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def close(self) -> None:
        self.closed.set()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Service:
    """An application that answers with the body that it got, once it is free; and a connection to it.

    As Slipway's own does, it takes the end of the time for a body as a cancellation, and then ends the connection.
    """

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.transport = Transport()
        config = Config(self, ws="none", lifespan="off", log_config=None, timeout_keep_alive=60)
        self.state = ServerState()
        self.connection = Connection(config, self.state, {})
        self.connection.connection_made(self.transport)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        headers = []
        try:
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)
            await self.free.wait()
        except asyncio.CancelledError:
            if "slipway.timeout" not in scope:
                raise
            body, headers = b"too late", [(b"connection", b"close")]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def settle(self, until: Callable[[], Any] = lambda: False, rounds: int = 50) -> None:
        """Let the event loop do what is due."""
        for _ in range(rounds):
            if until():
                return
            await asyncio.sleep(0)

    async def send(self, *parts: bytes) -> list[bytes]:
        """Send data; the writes that answer it."""
        for part in parts:
            self.connection.data_received(part)
        await self.settle()
        return self.transport.writes

    def statuses(self) -> list[int]:
        return [int(write[9:12]) for write in self.transport.writes if write.startswith(b"HTTP/1.1 ")]


@asynccontextmanager
async def connected() -> AsyncIterator[Service]:
    service = Service()
    yield service
    service.connection.connection_lost(None)
    service.free.set()
    await service.settle()


def head(size: int, *, method: bytes = b"GET", more: bytes = b"") -> bytes:
    """A head of which the path, the names and values of headers, and their overhead count `size` in all."""
    path, name = b"/" + b"p" * 99, b"x"
    value = b"v" * (size - len(path) - len(name) - HEADER_OVERHEAD)
    return b"%s %s HTTP/1.1\r\n%s: %s\r\n%s\r\n" % (method, path, name, value, more)


def statuses(*parts: bytes) -> list[int]:
    """What is answered to these parts, on a connection of their own."""

    async def ask() -> list[int]:
        async with connected() as service:
            await service.send(*parts)
            return service.statuses()

    return asyncio.run(ask())


def bytes_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1 << 20, 1000])
def test_a_head_has_as_many_bytes_as_are_allowed_in_whatever_parts_it_comes(size: int) -> None:
    assert statuses(*bytes_of(head(HEAD_BYTES), size)) == [200]
    assert statuses(*bytes_of(head(HEAD_BYTES + 1), size)) == [431]
    assert statuses(*bytes_of(head(HEAD_BYTES) * 3, size)) == [200] * 3  # each has as many


def test_many_small_headers_count_more_than_their_text() -> None:
    fields = (HEAD_BYTES - 1) // (2 + HEADER_OVERHEAD)
    assert statuses(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * fields + b"\r\n") == [200]
    assert statuses(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * (fields + 1) + b"\r\n") == [431]


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nx: ",
        b"GET / HTTP/1.1\r\n",
        CHUNKED + b"\r\n1;",
        CHUNKED + b"\r\n1\r\na\r\n0\r\nx: ",
    ],
    ids=["path", "value", "name", "extension of a chunk", "trailer"],
)
def test_what_never_ends_is_refused_before_it_takes_twice_the_limit(start: bytes) -> None:
    async def ask() -> int:
        async with connected() as service:
            service.connection.data_received(start)
            sent = 0
            while not service.statuses() and sent < 4 * HEAD_BYTES:
                service.connection.data_received(b"z" * 512)
                sent += 512
            assert service.statuses() == [431]
            assert b"connection: close" in service.transport.writes[0]
            return sent

    assert HEAD_BYTES // 2 < asyncio.run(ask()) <= HEAD_BYTES + 512


def test_trailers_count_with_the_head_and_are_dropped() -> None:
    async def ask(trailers: int) -> tuple[list[int], Any]:
        async with connected() as service:
            await service.send(CHUNKED + b"\r\n2\r\nab\r\n0\r\n" + b"t: u\r\n" * trailers + b"\r\n")
            return service.statuses(), service.seen[0]["headers"]

    assert asyncio.run(ask(3)) == ([200], [(b"transfer-encoding", b"chunked")])
    most = (HEAD_BYTES - 2 - len(b"transfer-encodingchunked") - HEADER_OVERHEAD) // (2 + HEADER_OVERHEAD)
    assert asyncio.run(ask(most))[0] == [200]
    assert asyncio.run(ask(most + 1))[0] == [431]


def test_a_long_body_counts_for_no_limit_of_the_head() -> None:
    body = b"x" * (3 * HEAD_BYTES)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in bytes_of(body, 50_000))
    for data in (
        b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body),
        CHUNKED + b"\r\n" + chunks + b"0\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + OFFER + b"content-length: %d\r\n\r\n%s" % (len(body), body),
    ):
        for size in (len(data), 1000):
            assert statuses(*bytes_of(data, size)) == [200]


@pytest.mark.parametrize("size", [1 << 20, 1], ids=["at once", "one by one"])
def test_an_offer_of_another_protocol_leaves_the_request_as_it_is(size: int) -> None:
    first = b"POST /a HTTP/1.1\r\nhost: x\r\n" + OFFER + b"content-length: 3\r\n\r\nabc"
    second = b"POST /b HTTP/1.1\r\n" + OFFER + b"transfer-encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n"
    third = b"GET /c HTTP/1.1\r\n" + OFFER + b"\r\n"

    async def ask() -> tuple[list[Any], list[bytes]]:
        async with connected() as service:
            for part in bytes_of(first + second + third + b"GET /d HTTP/1.1\r\n\r\n", size):
                await service.send(part)
            assert not service.transport.is_closing()
            seen = [(scope["method"], scope["path"], dict(scope["headers"])) for scope in service.seen]
            return seen, [write.partition(b"\r\n\r\n")[2] for write in service.transport.writes]

    offered = {b"connection": b"Upgrade", b"upgrade": b"h2c"}
    assert asyncio.run(ask()) == (
        [
            ("POST", "/a", offered | {b"host": b"x", b"content-length": b"3"}),
            ("POST", "/b", offered | {b"transfer-encoding": b"chunked"}),
            ("GET", "/c", offered),
            ("GET", "/d", {}),
        ],
        [b"abc", b"def", b"", b""],
    )


def test_requests_sent_ahead_are_neither_parsed_nor_read_until_the_one_before_is_answered() -> None:
    async def ask() -> None:
        async with connected() as service:
            service.free.clear()
            body = b"y" * BODY_SLICE
            ahead = b"POST /%d HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s"
            await service.send(b"".join(ahead % (number, len(body), body) for number in range(3)))
            await service.send(b"GET /last HTTP/1.1\r\n\r\n")
            assert len(service.seen) == 1
            assert not service.transport.reading
            service.free.set()
            await service.settle(lambda: len(service.transport.writes) == 4)
            assert service.statuses() == [200] * 4
            assert [scope["path"] for scope in service.seen] == ["/0", "/1", "/2", "/last"]
            await service.settle()
            assert (service.transport.reading, service.transport.is_closing()) == (True, False)

    asyncio.run(ask())


def test_of_very_many_requests_sent_ahead_a_few_are_parsed() -> None:
    async def ask() -> None:
        async with connected() as service:
            service.free.clear()
            await service.send(b"GET /x HTTP/1.1\r\n\r\n" * 10_000)
            assert len(service.connection.pipeline) < 300
            service.free.set()
            await service.settle(lambda: len(service.seen) == 10_000, 100_000)
            await service.settle()
            assert service.statuses() == [200] * 10_000

    asyncio.run(ask())


def test_a_request_is_under_way_for_the_server_until_it_is_answered() -> None:
    """The server waits for it when it stops."""

    async def ask() -> None:
        async with connected() as service:
            service.free.clear()
            await service.send(b"GET / HTTP/1.1\r\n\r\n")
            (task,) = service.state.tasks
            service.free.set()
            await task
            await service.settle()
            assert service.state.tasks == set()

    asyncio.run(ask())


def test_a_connection_that_is_lost_is_parsed_no_further() -> None:
    async def ask() -> list[Any]:
        errors: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with connected() as service:
            service.free.clear()
            await service.send(b"GET / HTTP/1.1\r\n\r\n", b"GET /ahead HTTP/1.1\r\n\r\n")
            service.free.set()
            await service.settle(lambda: service.transport.writes)
            service.connection.connection_lost(None)
            await service.settle()
            assert len(service.seen) == 1
        return errors

    assert asyncio.run(ask()) == []


def test_a_response_is_one_write_with_its_body_and_a_head_alone_is_sent_too() -> None:
    async def ask() -> list[bytes]:
        async with connected() as service:
            await service.send(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
            assert service.transport.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
            await service.send(b"ab")
            await service.send(b"HEAD / HTTP/1.1\r\n\r\n")
            return service.transport.writes[1:]

    answer, to_head = asyncio.run(ask())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nab")
    assert to_head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("parts", "answers"),
    [
        ([b"no http\r\n\r\n"], [400]),
        ([b"GET / HTTP/1.1\r\n\r\n", b"no http\r\n\r\n"], [200, 400]),
        ([b"GET / HTTP/1.1\r\n\r\nno http\r\n\r\n"], [200]),  # another would be taken for the answer to the first
        ([CHUNKED + b"\r\n", b"no chunk\r\n\r\n"], [400]),
        ([b"GET / HTTP/1.1\r\n\r\n" + CHUNKED + b"\r\nno chunk\r\n\r\n"], [200, 400]),
    ],
    ids=["first", "later", "behind a request", "in the body", "in the body behind a request"],
)
def test_what_is_no_http_is_answered_at_most_once_and_ends_the_connection(
    parts: list[bytes], answers: list[int]
) -> None:
    async def ask() -> None:
        async with connected() as service:
            service.free.clear()
            for part in [*parts, b"GET /more HTTP/1.1\r\n\r\n"]:
                service.connection.data_received(part)
                await asyncio.sleep(0)
            service.free.set()
            await service.settle()
            assert service.statuses() == answers
            assert b"connection: close" in service.transport.writes[-1].lower()
            assert service.transport.ended or service.transport.is_closing()
            assert "/more" not in [scope["path"] for scope in service.seen]

    asyncio.run(ask())


def test_a_refusal_is_a_whole_response_with_a_problem_document() -> None:
    async def ask() -> bytes:
        async with connected() as service:
            return (await service.send(b"no http\r\n\r\n"))[0]

    head, _, body = asyncio.run(ask()).partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    assert status == "HTTP/1.1 400 Bad Request"
    assert dict(field.split(": ") for field in fields) == {
        "content-length": str(len(body)),
        "content-type": "application/problem+json",
        "connection": "close",
    }
    document = json.loads(body)
    assert (document["status"], document["instance"]) == (400, "urn:slipway:request:unknown")


def test_after_a_refusal_what_the_client_still_sends_is_read_and_dropped_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that is closed on unread data is reset, and the refusal could be lost."""
    monkeypatch.setattr("slipway.serving.connection.LINGER_SECONDS", 0.01)

    async def ask() -> None:
        async with connected() as service:
            await service.send(head(HEAD_BYTES + 1), b"x" * 1000)
            transport = service.transport
            assert (transport.ended, transport.reading, transport.is_closing()) == (True, True, False)
            service.connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
            assert service.connection._pipelined == b""  # nothing of it is held
            await asyncio.wait_for(transport.closed.wait(), 10)
            assert service.statuses() == [431]

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("data", "bodies", "sends"),
    [
        (b"", [], False),
        (b"GET / HT", [], True),
        (b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\na", [b"too late"], True),
        (b"GET / HTTP/1.1\r\n\r\nGET / HT", [b""], True),
    ],
    ids=["nothing", "part of a head", "part of a body", "part of a second head"],
)
def test_what_does_not_come_in_time_ends_the_connection(
    data: bytes, bodies: list[bytes], sends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with it what the client still sends, if it does, is dropped."""
    monkeypatch.setattr(Connection, "receive_timeout", 0.01)
    monkeypatch.setattr("slipway.serving.connection.LINGER_SECONDS", 0)

    async def ask() -> None:
        async with connected() as service:
            await service.send(data)
            await asyncio.wait_for(service.transport.closed.wait(), 10)
            assert [write.partition(b"\r\n\r\n")[2] for write in service.transport.writes] == bodies
            timed_out = [scope.get("slipway.timeout", False) for scope in service.seen]
            assert timed_out == [body == b"too late" for body in bodies]
            assert service.transport.ended is sends

    asyncio.run(ask())


def test_the_time_for_a_body_starts_when_the_request_before_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "receive_timeout", 0.01)
    monkeypatch.setattr("slipway.serving.connection.LINGER_SECONDS", 0)

    async def ask() -> None:
        async with connected() as service:
            service.free.clear()
            await service.send(b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 2\r\n\r\na")
            await asyncio.sleep(0.03)
            assert service.transport.writes == []
            service.free.set()
            await asyncio.wait_for(service.transport.closed.wait(), 10)
            assert [write.partition(b"\r\n\r\n")[2] for write in service.transport.writes] == [b"", b"too late"]

    asyncio.run(ask())


def test_the_time_for_a_head_starts_when_the_request_before_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "receive_timeout", 0.01)
    monkeypatch.setattr("slipway.serving.connection.LINGER_SECONDS", 0)

    async def ask() -> None:
        async with connected() as service:
            service.free.clear()
            await service.send(b"GET / HTTP/1.1\r\n\r\nGET / HT")
            await asyncio.sleep(0.03)
            service.free.set()
            await service.settle()
            assert service.statuses() == [200]
            assert b"connection: close" not in service.transport.writes[0]
            await asyncio.wait_for(service.transport.closed.wait(), 10)

    asyncio.run(ask())


def test_a_request_that_began_before_the_last_answer_is_no_idle_connection() -> None:
    async def ask() -> None:
        async with connected() as service:
            service.connection.timeout_keep_alive = 0.01  # type: ignore[assignment]
            await service.send(b"GET / HTTP/1.1\r\n\r\nGET / HT")
            service.free.clear()
            await service.send(b"TP/1.1\r\n\r\n")
            await asyncio.sleep(0.03)
            assert not service.transport.is_closing()
            service.free.set()
            await service.settle()
            assert service.statuses() == [200, 200]
            await asyncio.wait_for(service.transport.closed.wait(), 10)  # now it is one

    asyncio.run(ask())


def test_a_body_that_ends_after_its_answer_leaves_an_idle_connection() -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> None:
        async with connected() as service:
            service.connection.timeout_keep_alive = 0.01  # type: ignore[assignment]
            service.connection.app = refuse
            await service.send(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\na", b"b")
            assert service.statuses() == [503]
            await asyncio.wait_for(service.transport.closed.wait(), 10)

    asyncio.run(ask())


def test_a_request_that_is_whole_has_all_the_time_that_its_answer_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "receive_timeout", 0.01)

    async def ask() -> None:
        async with connected() as service:
            service.free.clear()
            await service.send(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n", b"ab")
            await asyncio.sleep(0.03)
            service.free.set()
            await service.settle()
            assert service.transport.writes[0].endswith(b"\r\n\r\nab")
            await asyncio.sleep(0.03)
            assert not service.transport.is_closing()  # until the timeout for idle connections

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("data", "stays", "answers"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True, [200]),
        (b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", True, [200, 200]),
        (b"", False, []),
        (b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\na", False, []),
    ],
    ids=["a request", "two requests", "nothing", "part of a request"],
)
def test_a_client_that_closed_its_half_gets_the_answers_to_whole_requests(
    data: bytes, stays: bool, answers: list[int]
) -> None:
    async def ask() -> None:
        async with connected() as service:
            service.free.clear()
            await service.send(data)
            assert service.connection.eof_received() is stays  # asyncio closes the connection otherwise
            if stays:
                service.free.set()
                await service.settle(service.transport.is_closing)
                assert service.transport.is_closing()
                assert service.statuses() == answers

    asyncio.run(ask())


def test_a_client_that_closed_its_half_between_two_answers_gets_the_second() -> None:
    async def ask() -> None:
        async with connected() as service:
            service.free.clear()
            await service.send(b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n")
            service.free.set()
            await service.settle(lambda: service.transport.writes)
            assert service.connection.eof_received()
            await service.settle()
            assert (service.statuses(), service.transport.is_closing()) == ([200, 200], True)

    asyncio.run(ask())


def test_part_of_a_request_costs_a_client_that_closed_its_half_no_answer_to_a_whole_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Connection, "receive_timeout", 0.01)
    monkeypatch.setattr("slipway.serving.connection.LINGER_SECONDS", 0)

    async def ask(part: bytes) -> bytes:
        async with connected() as service:
            service.free.clear()
            await service.send(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nab" + part)
            assert service.connection.eof_received()
            service.free.set()
            await asyncio.wait_for(service.transport.closed.wait(), 10)
            return service.transport.writes[0]

    for part in (b"GET / HT", b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\na"):
        assert asyncio.run(ask(part)).endswith(b"\r\n\r\nab")


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\n\r\n"], ids=["new", "kept alive"])
def test_at_shutdown_a_connection_closes_after_a_while_in_which_a_request_is_answered(
    before: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, other = ("IDLE_GRACE", "NEW_GRACE") if before else ("NEW_GRACE", "IDLE_GRACE")
    monkeypatch.setattr(f"slipway.serving.connection.{kept}", 0.01)
    monkeypatch.setattr(f"slipway.serving.connection.{other}", 60)
    monkeypatch.setattr(Connection, "receive_timeout", 60)

    async def ask() -> None:
        async with connected() as service:
            await service.send(before)
            service.connection.shutdown()
            assert not service.transport.is_closing()
            await asyncio.wait_for(service.transport.closed.wait(), 10)
        async with connected() as service:
            await service.send(before)
            service.connection.shutdown()
            service.free.clear()
            await service.send(b"GET /in-transit HTTP/1.1\r\n\r\n")
            await asyncio.sleep(0.03)
            assert not service.transport.is_closing()
            service.free.set()
            await asyncio.wait_for(service.transport.closed.wait(), 10)
            assert service.statuses()[-1] == 200
            assert service.seen[-1]["path"] == "/in-transit"
            assert b"connection: close" in service.transport.writes[-1]

    asyncio.run(ask())


def test_at_shutdown_a_request_that_is_under_way_is_answered_and_ends_its_connection() -> None:
    async def ask() -> None:
        async with connected() as service:
            service.free.clear()
            await service.send(b"GET / HTTP/1.1\r\n\r\n")
            service.connection.shutdown()
            service.free.set()
            await service.settle()
            assert (service.statuses(), service.transport.is_closing()) == ([200], True)
            assert b"connection: close" in service.transport.writes[0]

    asyncio.run(ask())


def test_what_is_held_is_sent_before_the_next_and_before_the_end() -> None:
    async def ask() -> None:
        transport = Transport()
        held = BufferedTransport(transport, lambda: False)
        head = b"HTTP/1.1 200 OK\r\n\r\n"
        held.write(head)
        assert transport.writes == []
        held.write(b"body")
        held.write(b"more")
        held.write(head)
        held.close()
        assert transport.writes == [head + b"body", b"more", head]
        assert held.is_closing()
        assert transport.is_closing()
        held.flush()
        assert len(transport.writes) == 3

    asyncio.run(ask())


def test_while_input_is_dropped_nothing_more_is_sent() -> None:
    async def ask() -> None:
        transport = Transport()
        closed = BufferedTransport(transport, lambda: True)
        assert not closed.is_closing()
        closed.close()
        assert (closed.is_closing(), transport.is_closing(), transport.ended) == (True, False, True)
        lost = BufferedTransport(transport, lambda: True)
        transport.close()
        assert lost.is_closing()

    asyncio.run(ask())
