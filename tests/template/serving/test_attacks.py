"""Whatever is sent, the service answers with 4xx at most, in bounded memory, and goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.attacks import Attack, attacks, peak, post, send, tensors
from serving.bundles import Flower
from serving.running import Direct, Process, client, quiet, threaded
from slipway.contract import Contract
from slipway.problem import SlipwayError
from slipway.serving import ProblemDetails, Settings, create_app
from slipway.serving.connection import HEAD_SLICE
from slipway.serving.problems import MAX_ERRORS
from slipway.serving.rows import Rows

MEGABYTES = 512
INFER = "/v2/models/flowers/infer"


@pytest.fixture(scope="module")
def attacked(bundle: Path) -> Iterator[Process]:
    with Process(bundle) as process:
        yield process


@pytest.mark.parametrize("attack", [*attacks()], ids=lambda attack: attack.name)
def test_an_attack_is_answered_without_an_error_of_the_server(
    attack: Attack, attacked: Process, row: dict[str, Any]
) -> None:
    statuses = asyncio.run(send(attacked.ports[0], attack))
    assert statuses or "unread" in attack.name
    assert all(status < 500 for status in statuses)
    assert peak(attacked) < MEGABYTES
    with client(attacked.url) as http:
        assert http.post("/predict", json=row).status_code == 200
        metrics = http.get("/metrics").text
    assert 'status="0"' not in metrics
    assert not [line for line in metrics.splitlines() if 'status="500"' in line and not line.endswith(" 0.0")]


def reader(limit: int = 100) -> Rows:
    return Rows(Contract.from_model(Flower), limit=limit)


@pytest.mark.parametrize("path", ["/predict", "/explain", "/invocations", INFER])
def test_large_bodies_are_parsed_off_the_event_loop(path: str, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from slipway.serving import rows as module

    threads: list[str] = []
    inner = module.json_content

    def seen(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return inner(*arguments)

    for name in ("rows", "protocols.mlflow", "protocols.inference"):
        monkeypatch.setattr(f"slipway.serving.{name}.json_content", seen)
    direct = Direct(quiet(bundle))
    assert direct.ask(path, b'{"a": "' + b"x" * 50_000 + b'"}').status == 422
    assert [name.partition("_")[0] for name in threads] == ["large"]
    direct.close()


def test_only_the_first_errors_are_looked_for() -> None:
    wide = {f"field{n}": 0 for n in range(5000)}
    for rows in ([wide], [{}] * 5000, [{"a": 1, "b": 2}] * 5000):
        with pytest.raises(ProblemDetails) as refused:
            reader(limit=5000).validate(rows)
        assert len(refused.value.errors) == MAX_ERRORS
        assert f"at least {MAX_ERRORS - 1} more" in refused.value.detail


def test_values_are_counted_before_they_are_parsed_and_commas_in_texts_are_none() -> None:
    rows = reader()
    rows.check_size(b'{"text":"' + b"," * 100_000 + b'"}')
    rows.check_size(b'["\\\\","' + b"," * 100_000 + b'\\","]')
    for body in (b"[" + b"1," * 100_000 + b"1]", b'["\\\\",' + b"1," * 100_000 + b"1]"):
        with pytest.raises(ProblemDetails) as refused:
            rows.check_size(body)
        assert refused.value.status_code == 413


def test_as_many_rows_as_are_allowed_pass_in_every_form(bundle: Path, row: dict[str, Any]) -> None:
    direct = Direct(quiet(bundle))
    full = row | {"shade": "full", "acidity": 7.5}
    many = [full] * 10_000
    lists = {name: [value] * 10_000 for name, value in full.items()}
    assert direct.ask("/predict", {"rows": many}).status == 200
    assert direct.ask("/predict", {"columns": lists}).status == 200
    assert direct.ask("/invocations", {"instances": many}).status == 200
    assert (
        direct.ask("/invocations", {"inputs": {n: [[v] for v in values] for n, values in lists.items()}}).status == 200
    )
    assert direct.ask(INFER, {"inputs": tensors(10_000)}).status == 200
    text = ",".join(full) + "\n" + (",".join(str(value) for value in full.values()) + "\n") * 10_000
    assert direct.ask("/invocations", text.encode(), "text/csv").status == 200
    direct.close()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xef\xbb\xbf" + b'{"instances":[ROW]}', "application/json"),
        (b'{"inputs":ROW}', "application/json"),
        (b",site,height,leaves,potted\n0,north,4.5,3,True\n", "text/csv"),
        (b"Unnamed: 0,site,height,leaves,potted\n0,north,4.5,3,True\n", "text/csv"),
        (b"\xef\xbb\xbfsite,height,leaves,potted\nnorth,4.5,3,True\n", "text/csv"),
    ],
    ids=["byte order mark", "scalars", "index of pandas", "index read again", "byte order mark in CSV"],
)
def test_what_clients_really_send_is_taken(body: bytes, kind: str, direct: Direct, row: dict[str, Any]) -> None:
    answer = direct.ask("/invocations", body.replace(b"ROW", json.dumps(row).encode()), kind)
    assert answer.json() == {"predictions": ["lily"]}


def test_a_byte_order_mark_and_an_encoding_in_capitals_are_taken(bundle: Path, row: dict[str, Any]) -> None:
    with threaded(quiet(bundle)) as url, client(url) as http:
        body = b"\xef\xbb\xbf" + json.dumps(row).encode()
        assert http.post("/predict", content=body, headers={"content-encoding": "Identity"}).status_code == 200


def test_a_row_that_is_null_is_named(direct: Direct, row: dict[str, Any]) -> None:
    problem = direct.ask("/predict", {"rows": [row, None]}).json()
    assert [(error["row"], error["message"]) for error in problem["errors"]] == [
        (1, "a row is a JSON object, not null")
    ]


def test_half_a_surrogate_pair_is_no_json_and_a_whole_one_is(direct: Direct, row: dict[str, Any]) -> None:
    assert direct.ask("/predict", json.dumps(row | {"site": "\ud800"}).encode()).status == 400
    refused = direct.ask("/predict", json.dumps(row | {"site": "\U0001f427"}).encode())
    assert (refused.status, refused.json()["errors"][0]["value"]) == (422, "\U0001f427")


def test_an_output_is_asked_for_once(direct: Direct) -> None:
    body = {"inputs": tensors(), "outputs": [{"name": "label"}, {"name": "label"}]}
    refused = direct.ask(INFER, body)
    assert (refused.status, "twice" in refused.json()["detail"]) == (400, True)


def test_an_offer_of_another_protocol_is_ignored_and_the_connection_goes_on(process: Process) -> None:
    """As Java's default client and `curl --http2` offer it."""
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    body = b'{"site":"north","height":4.5,"leaves":3,"potted":true}'
    whole = post("/predict", body, more=offer)
    chunked = b"POST /predict HTTP/1.1\r\nhost: x\r\n" + offer + b"transfer-encoding: chunked\r\n\r\n"
    chunked += b"5\r\n" + body[:5] + b"\r\n" + b"%x\r\n" % len(body[5:]) + body[5:] + b"\r\n0\r\n\r\n"
    get = b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + offer + b"\r\n"
    data = whole + chunked + get + post("/predict", body)
    assert asyncio.run(send(process.ports[0], Attack("", data, end=True))) == [200] * 4


def test_bytes_that_come_one_by_one_are_a_request(process: Process) -> None:
    offer = b"connection: Upgrade\r\nupgrade: h2c\r\n"
    data = post("/predict", b'{"site":"north","height":4.5,"leaves":3,"potted":true}', more=offer)

    async def slowly() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", process.ports[0])
        for at in range(len(data)):
            writer.write(data[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)
        line = await asyncio.wait_for(reader.readline(), 30)
        writer.close()
        return line

    assert asyncio.run(slowly()) == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("ahead", [b"", b"\r\n"])
def test_line_ends_do_not_keep_a_connection(bundle: Path, row: dict[str, Any], ahead: bytes) -> None:
    body = json.dumps(row).encode()
    room = HEAD_SLICE - len(post("/predict", body, more=b"x-pad: \r\n"))
    request = post("/predict", body, more=b"x-pad: %s\r\n" % (b"a" * room))  # what follows is parsed after the answer

    async def linger(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request + ahead)
        closed = asyncio.create_task(reader.read())
        while not closed.done():
            await asyncio.wait([closed], timeout=0.1)
            writer.write(b"\r\n")
        writer.close()
        return closed.result()

    with threaded(quiet(bundle, keep_alive_seconds=1)) as url:
        answer = asyncio.run(asyncio.wait_for(linger(int(url.rsplit(":", 1)[1])), 30))
        assert answer.startswith(b"HTTP/1.1 200 ")


def test_pipelined_requests_are_all_answered_in_order(process: Process) -> None:
    data = b"".join(b"GET /%s HTTP/1.1\r\nhost: x\r\n\r\n" % path for path in (b"healthz", b"none") * 2000)
    assert asyncio.run(send(process.ports[0], Attack("pipelined", data, end=True))) == [200, 404] * 2000


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfreal-key\n", b"# a comment\nreal-key\r\n", b"  real-key  "])
def test_a_file_of_keys_as_editors_write_it(content: bytes, bundle: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_bytes(content)
    app = create_app(Settings(bundle=bundle, api_keys_file=keys))
    assert app.keys
    app.keys.check({b"x-api-key": b"real-key"})
    for wrong in (b"# a comment", b"\xef\xbb\xbfreal-key", b"", b"#"):
        with pytest.raises(ProblemDetails):
            app.keys.check({b"x-api-key": wrong})


@pytest.mark.parametrize("what", ["pipe", "folder", "comments alone"])
def test_a_file_of_keys_that_is_none_is_refused(what: str, bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.write_text("# none yet\n")
    with pytest.raises(SlipwayError, match="SLIPWAY_API_KEYS_FILE"):
        create_app(Settings(bundle=bundle, api_keys_file=path))


def test_a_port_that_is_taken_is_said_in_one_line(bundle: Path) -> None:
    import subprocess
    import sys

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for command in (["-m", "slipway.serving"], ["-m", "slipway", "serve"]):
            environment = {**os.environ, "SLIPWAY_PORT": str(port), "SLIPWAY_BUNDLE": str(bundle)}
            done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
            assert done.returncode == 1
            assert done.stdout == ""
            assert done.stderr.count("\n") == 1
            assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


def test_fresh_connections_are_answered_as_the_server_stops(bundle: Path, row: dict[str, Any]) -> None:
    """Their requests are sent before or while the door closes; what was connected is not reset."""
    data = post("/predict", json.dumps(row).encode(), more=b"connection: close\r\n")

    async def crowd(process: Process) -> list[bytes]:
        async def one() -> bytes:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", process.ports[0])
            except ConnectionRefusedError:
                return b"refused"
            writer.write(data)
            answer = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            return answer[:12]

        tasks = []
        for number in range(200):
            tasks.append(asyncio.create_task(one()))
            if number == 100:
                process.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0)
        return await asyncio.gather(*tasks)

    for _ in range(5):
        with Process(bundle, log_requests="false") as process:
            answers = asyncio.run(crowd(process))
            assert set(answers) <= {b"HTTP/1.1 200", b"refused"}
            assert answers[:100] == [b"HTTP/1.1 200"] * 100
            assert process.process.wait(30) == 0


def test_a_client_that_resets_its_connection_hinders_no_one(process: Process, row: dict[str, Any]) -> None:
    for data in (b"", b"GET", post("/predict", json.dumps(row).encode())):
        with socket.create_connection(("127.0.0.1", process.ports[0])) as one:
            one.sendall(data)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert httpx.post(f"{process.url}/predict", json=row).status_code == 200
