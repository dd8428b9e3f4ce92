"""Size, time, number, and clients that waste them."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.running import Process, client, quiet, threaded


def test_limits_of_bytes_and_rows(bundle: Path, row: dict[str, Any]) -> None:
    app = quiet(bundle, body_bytes=1000, max_rows=3)
    with threaded(app) as url, client(url) as http:
        assert http.post("/predict", json={"rows": [row] * 3}).status_code == 200
        assert http.post("/predict", json={"rows": [row] * 4}).status_code == 413
        assert (
            http.post("/predict", content=b" " * 1001, headers={"content-type": "application/json"}).status_code == 413
        )
        chunks = (b" " * 400 for _ in range(3))
        assert http.post("/predict", content=chunks, headers={"content-type": "application/json"}).status_code == 413
        assert http.post("/predict", content=b"x", headers={"content-encoding": "gzip"}).status_code == 415


def test_memory_for_bodies_is_bounded(bundle: Path) -> None:
    with threaded(quiet(bundle, buffer_bytes=100_000)) as url, client(url) as http:
        answer = http.post("/predict", content=b" " * 200_000, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert http.post("/predict", content=b" " * 50_000).status_code == 400


def test_too_many_requests_at_once_are_told_to_come_back(bundle: Path, row: dict[str, Any]) -> None:
    app = quiet(bundle, in_flight=2)
    release = threading.Event()
    with threaded(app) as url:
        model = app.model
        assert model
        inner = model.predictor.predict_arrays
        started = threading.Semaphore(0)

        def slowly(arrays: Any) -> Any:
            started.release()
            release.wait(30)
            return inner(arrays)

        model.predictor.predict_arrays = slowly  # type: ignore[method-assign]
        model.batcher._cost = 1.0  # this model is known to be slow

        async def ask() -> list[int]:
            async with httpx.AsyncClient(base_url=url, timeout=30) as http:
                held = [asyncio.create_task(http.post("/predict", json=row)) for _ in range(2)]
                await asyncio.to_thread(started.acquire)
                while app.metrics.in_flight < 2:
                    await asyncio.sleep(0)
                extra = await http.post("/predict", json=row)
                alive = await http.get("/healthz")  # the event loop is free, and probes pass
                release.set()
                return [extra.status_code, alive.status_code, *[(await task).status_code for task in held]]

        assert asyncio.run(ask()) == [503, 200, 200, 200]


def test_a_request_has_its_time(bundle: Path, row: dict[str, Any]) -> None:
    app = quiet(bundle, request_seconds=0.2)
    release = threading.Event()
    with threaded(app) as url, client(url) as http:
        model = app.model
        assert model
        inner = model.predictor.predict_arrays
        model.predictor.predict_arrays = lambda arrays: (release.wait(30), inner(arrays))[1]  # type: ignore[method-assign]
        model.batcher._cost = 1.0
        late = http.post("/predict", json=row)
        assert (late.status_code, "retry-after" in late.headers) == (503, True)
        release.set()
        assert http.post("/predict", json=row).status_code == 200
    assert app.metrics.in_flight == 0


async def _raw(url: str, data: bytes) -> tuple[bytes, bool]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    await writer.drain()
    got = await asyncio.wait_for(reader.read(), 30)  # until the server closes
    writer.close()
    return got, reader.at_eof()


HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"", b""),
        (b"POST /predict HT", b""),
        (HEAD, b""),
        (HEAD + b"content-length: 50\r\n\r\n{", b"HTTP/1.1 408 "),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n", b"HTTP/1.1 408 "),
    ],
    ids=["nothing", "part of a line", "part of a head", "part of a body", "a chunk"],
)
def test_a_slow_sender_is_let_go_and_holds_no_slot(data: bytes, answer: bytes, bundle: Path) -> None:
    app = quiet(bundle, body_seconds=0.3)
    with threaded(app) as url:
        got, closed = asyncio.run(_raw(url, data))
        assert closed
        assert got.startswith(answer)
        assert app.metrics.in_flight == 0


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\0\xa5\x01\0", b"GET / HTTP/9.9\r\n\r\n", HEAD + b"content-length: -1\r\n\r\n", b"\0" * 70_000],
)
def test_what_is_not_http_is_refused(data: bytes, process: Process, row: dict[str, Any]) -> None:
    got, closed = asyncio.run(_raw(process.url, data))
    assert closed
    assert got.startswith(b"HTTP/1.1 400 ")
    assert httpx.post(f"{process.url}/predict", json=row).status_code == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\0" * 5_000_000, b"400"),
        (HEAD + b"x: y\r\n" * 500_000, b"431"),
        (HEAD + b"content-length: 9000000\r\n\r\n" + b"1" * 9_000_000, b"413"),
    ],
    ids=["not HTTP", "headers", "body"],
)
def test_a_client_that_sends_all_before_it_reads_still_gets_the_reason(
    data: bytes, status: bytes, process: Process
) -> None:
    with socket.create_connection(("127.0.0.1", process.ports[0]), timeout=30) as client:
        client.sendall(data)
        assert client.recv(12) == b"HTTP/1.1 " + status
        while client.recv(65536):
            pass


def test_a_thousand_connections_that_say_nothing_hinder_no_one(process: Process, row: dict[str, Any]) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))

    async def crowd() -> int:
        silent = [await asyncio.open_connection("127.0.0.1", process.ports[0]) for _ in range(1000)]
        async with httpx.AsyncClient(base_url=process.url, timeout=30) as http:
            status = (await http.post("/predict", json=row)).status_code
        for _, writer in silent:
            writer.close()
        return status

    try:
        assert asyncio.run(crowd()) == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_client_that_leaves_is_noticed(bundle: Path) -> None:
    with Process(bundle) as process:

        async def leave() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", process.ports[0])
            writer.write(HEAD + b"content-length: 50\r\n\r\n{")
            await writer.drain()
            writer.close()

        asyncio.run(leave())
        process.wait("request")
        assert process.events("request")[-1]["outcome"] == "gone"


def test_single_rows_pass_large_batches_by(bundle: Path, row: dict[str, Any]) -> None:
    """Single rows are answered while a large request is still at work."""
    app = quiet(bundle)
    large = json.dumps({"rows": [row] * 10_000}).encode()
    with threaded(app) as url:
        model = app.model
        assert model
        entered, release = threading.Event(), threading.Event()
        inner = model._answers

        def slowly(arrays: Any) -> Any:
            if len(arrays["height"]) > 1:
                entered.set()
                assert release.wait(30)
            return inner(arrays)

        model._answers = slowly  # type: ignore[method-assign]

        async def ask() -> list[int]:
            async with httpx.AsyncClient(base_url=url, timeout=60) as http:
                batch = asyncio.create_task(
                    http.post("/predict", content=large, headers={"content-type": "application/json"})
                )
                assert await asyncio.to_thread(entered.wait, 30)
                singles = [(await http.post("/predict", json=row)).status_code for _ in range(20)]
                assert not batch.done()
                release.set()
                answer = await batch
                return [*singles, answer.status_code, len(answer.json()["predictions"])]

        assert asyncio.run(ask()) == [200] * 21 + [10_000]


def test_a_model_that_turns_slow_leaves_the_event_loop(bundle: Path, row: dict[str, Any]) -> None:
    app = quiet(bundle)
    with threaded(app) as url, client(url) as http:
        model = app.model
        assert model
        where: list[str] = []
        inner = model.predictor.predict_arrays

        def slowly(arrays: Any) -> Any:
            where.append(threading.current_thread().name)
            threading.Event().wait(0.01)
            return inner(arrays)

        for _ in range(20):
            http.post("/predict", json=row)
        model.predictor.predict_arrays = slowly  # type: ignore[method-assign]
        for _ in range(10):
            assert http.post("/predict", json=row).status_code == 200
        assert all(name.startswith("inference") for name in where[-5:])
