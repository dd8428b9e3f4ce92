"""What a connection parses and sends: the limits on heads and on requests sent ahead, at their edges."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serving.wire import CHUNKED, OFFER, Transport, connected, head
from slipway.serving.connection import BODY_SLICE, HEAD_BYTES, HEADER_OVERHEAD, BufferedTransport


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
