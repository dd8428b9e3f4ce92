"""The limits on bodies and on requests at once, at their edges and without a network."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from serving.running import Direct, quiet
from slipway.serving import ProblemDetails
from slipway.serving.route import Bodies, Call

GONE = {"type": "http.disconnect"}


def call(*messages: Any, **headers: str) -> Call:
    """A request whose body comes in these parts."""
    said = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    left = [
        one if isinstance(one, dict) else {"type": "http.request", "body": one, "more_body": number < len(messages)}
        for number, one in enumerate(messages, 1)
    ]

    async def receive() -> Any:
        return left.pop(0)

    async def send(_: Any) -> None: ...

    return Call({"type": "http", "method": "POST", "headers": said}, receive, send, "a number")


def read(bodies: Bodies, one: Call) -> bytes:
    asyncio.run(bodies.read(one))
    return one.content


@pytest.mark.parametrize("parts", [[b"x" * 10], [b"x" * 4, b"x" * 6], [b"", b"x" * 10, b""]])
def test_a_body_has_as_many_bytes_as_are_allowed_in_however_many_parts(parts: list[bytes]) -> None:
    assert read(Bodies(largest=10, at_once=10), call(*parts, content_length="10")) == b"x" * 10
    for said in ({"content_length": "11"}, {}):  # an honest sender's, and one that sends more than it says
        with pytest.raises(ProblemDetails, match="the body is larger than 9 bytes") as refused:
            read(Bodies(largest=9, at_once=100), call(*parts, **said))
        assert refused.value.status_code == 413


def test_a_body_that_is_announced_as_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(ProblemDetails, match="the body is larger than 10 bytes"):
        read(Bodies(largest=10, at_once=100), call(content_length="11"))  # there is nothing to receive


def test_all_bodies_that_come_in_parts_have_as_much_memory_as_is_allowed_until_their_requests_end() -> None:
    bodies = Bodies(largest=10, at_once=12)
    first, second, whole = call(b"1234", b"5678"), call(b"12", b"34"), call(b"1234567890")
    assert read(bodies, first) == b"12345678"
    assert read(bodies, second) == b"1234"
    assert read(bodies, whole) == b"1234567890"  # already in memory when it is taken
    late = call(b"", b"1")
    with pytest.raises(ProblemDetails) as refused:
        read(bodies, late)
    assert (refused.value.status_code, refused.value.detail) == (503, "too many large bodies are being read")
    for one in (second, late, late, whole):
        bodies.release(one)
    assert read(bodies, call(b"12", b"34")) == b"1234"
    with pytest.raises(ProblemDetails, match="too many large bodies"):
        read(bodies, call(b"", b"1"))


@pytest.mark.parametrize(
    ("messages", "body"),
    [
        ([{}], b""),
        ([{"body": b"ab"}], b"ab"),
        ([{"body": b"ab", "more_body": True}, {}], b"ab"),
        ([{"more_body": True}, {"body": b"ab"}], b"ab"),
    ],
)
def test_a_message_may_leave_out_what_is_empty_or_the_end(messages: list[Any], body: bytes) -> None:
    """As ASGI allows it, and middleware does it."""
    assert read(Bodies(largest=10, at_once=10), call(*({"type": "http.request", **one} for one in messages))) == body


@pytest.mark.parametrize("messages", [[GONE], [b"123", GONE], [{**GONE, "body": b"123"}]])
def test_a_client_that_leaves_has_no_body_and_its_memory_is_given_back(messages: list[Any]) -> None:
    bodies = Bodies(largest=10, at_once=5)
    one = call(*messages)
    with pytest.raises(ClientDisconnect):
        read(bodies, one)
    bodies.release(one)
    assert read(bodies, call(b"123", b"45")) == b"12345"


@pytest.mark.parametrize(("encoding", "taken"), [("", True), (" Identity ", True), ("gzip", False), ("br", False)])
def test_a_compressed_body_is_refused_with_what_is_accepted(encoding: str, taken: bool) -> None:
    one = call(b"x", content_encoding=encoding)
    if taken:
        assert read(Bodies(largest=10, at_once=10), one) == b"x"
        return
    with pytest.raises(ProblemDetails) as refused:
        read(Bodies(largest=10, at_once=10), one)
    assert (refused.value.status_code, refused.value.kind) == (415, "wrong-type")
    assert refused.value.detail == "compressed bodies are not accepted"
    assert refused.value.headers is not None
    assert refused.value.headers["accept-encoding"] == "identity"
    assert refused.value.headers["connection"] == "close"  # the body that comes is not read


def test_as_many_requests_as_are_allowed_are_in_flight_and_probes_are_not_counted(
    bundle: Path, row: dict[str, Any]
) -> None:
    direct = Direct(quiet(bundle, in_flight=2))
    flying = direct.app.metrics
    for others, statuses in ((1, [200, 200]), (2, [503, 200]), (3, [503, 200])):
        flying.in_flight = others
        assert [direct.ask("/predict", row).status, direct.ask("/healthz").status] == statuses
        assert flying.in_flight == others
    assert direct.ask("/predict", row).json()["detail"].startswith("2 requests are in flight")
    direct.close()


def test_a_request_that_fails_is_no_longer_in_flight_and_its_memory_is_given_back(
    bundle: Path, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = Direct(quiet(bundle))
    released: list[Call] = []
    monkeypatch.setattr(direct.app.bodies, "release", released.append)
    monkeypatch.setattr(direct.model, "predictor", None)
    assert direct.ask("/predict", row).status == 500
    assert direct.ask("/predict", b"{").status == 400
    assert direct.app.metrics.in_flight == 0
    assert len(released) == 2
    direct.close()
