"""How a connection ends: a refusal, a timeout, a client that closes its half, a server that stops."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from serving.wire import CHUNKED, connected, head
from slipway.serving.connection import HEAD_BYTES, Connection


@pytest.mark.parametrize(
    ("parts", "answers"),
    [
        ([b"no http\r\n\r\n"], [400]),
        ([b"GET / HTTP/1.1\r\n\r\n", b"no http\r\n\r\n"], [200, 400]),
        ([b"GET / HTTP/1.1\r\n\r\nno http\r\n\r\n"], [200]),  # another would be taken for the answer to the first
        ([b"GET / HTTP/1.1\r\n\r\n" * 2 + b"no http\r\n\r\n"], [200, 200]),
        ([CHUNKED + b"\r\n", b"no chunk\r\n\r\n"], [400]),
        ([b"GET / HTTP/1.1\r\n\r\n" + CHUNKED + b"\r\nno chunk\r\n\r\n"], [200, 400]),
    ],
    ids=["first", "later", "behind a request", "behind two", "in the body", "in the body behind a request"],
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
            service.connection.data_received(head(HEAD_BYTES + 1))
            service.connection.data_received(b"x" * 1000)
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
