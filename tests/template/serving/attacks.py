"""What a service under attack is sent. `python attacks.py` sends all of it, with `pythonpath` tests/template.

It prints the statuses, the largest memory of the process and the longest time in which it answered no probe. The exit
status is 1 if an answer is 5xx or missing.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from serving import bundles
from serving.running import Process

ROW = {"site": "north", "height": 4.5, "leaves": 3, "potted": True}
MOST = 8 << 20  # bytes of a body
INFER = "/v2/models/flowers/infer"
ARROW = "application/vnd.apache.arrow.stream"
HOST = b"host: x\r\n"


class Attack(NamedTuple):
    """Bytes to send on one connection, and whether the sender then closes its half."""

    name: str
    data: bytes
    end: bool = False


def post(path: str, body: bytes, kind: str = "application/json", more: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n".encode()
    return head + HOST + more + b"\r\n" + body


def filled(start: bytes, part: bytes, end: bytes = b"") -> bytes:
    """A body as large as it may be."""
    return start + part * ((MOST - len(start) - len(end)) // len(part)) + end


def tensors(rows: int = 1) -> list[dict[str, Any]]:
    kinds = {"site": "BYTES", "height": "FP64", "leaves": "INT64", "potted": "BOOL"}
    return [{"name": n, "datatype": kinds[n], "shape": [rows], "data": [v] * rows} for n, v in ROW.items()]


def bodies() -> Iterator[tuple[str, str, bytes, str]]:
    """Name, path, body and media type."""
    one, json_type = json.dumps(ROW).encode(), "application/json"
    outputs = [{"name": "label"}] * 4000
    yield (
        "an output 4,000 times",
        INFER,
        json.dumps({"inputs": tensors(10_000), "outputs": outputs}).encode(),
        json_type,
    )
    yield "one column of CSV", "/invocations", filled(b"site\n", b"1\n"), "text/csv"
    yield "empty lines of CSV", "/invocations", filled(b"site\n", b"\n"), "text/csv"
    yield "one line of CSV", "/invocations", filled(b"site\n", b"ab,"), "text/csv"
    yield "quotes in CSV", "/invocations", filled(b"site\n", b'"",'), "text/csv"
    unknown = b",".join(b'"u%d":0' % n for n in range(100))
    for path, key in (("/predict", b"rows"), ("/invocations", b"instances")):
        many = b",".join([b"{%b}" % unknown] * 9_999)
        yield f"unknown fields at {path}", path, b'{"%b":[%b]}' % (key, many), json_type
        yield f"empty rows at {path}", path, b'{"%b":[%b]}' % (key, b",".join([b"{}"] * 9_999)), json_type
    wide = b"{" + b",".join(b'"u%d":0' % n for n in range(100_000)) + b"}"
    yield "a row of 100,000 unknown fields", "/predict", wide, json_type
    twice = b"{" + b",".join(b'"u%d":0' % n for n in [*range(100_000), 5]) + b"}"
    yield "a key twice among 100,000", "/predict", twice, json_type
    for path in ("/predict", "/invocations", INFER, "/feedback"):
        yield f"lists at {path}", path, filled(b'{"rows":[', b"[1],", b"[1]]}"), json_type
        yield f"depth at {path}", path, filled(b"", b"["), json_type
        yield f"texts at {path}", path, filled(b'{"rows":[', b'"a",', b'"a"]}'), json_type
        yield f"digits at {path}", path, filled(b'{"rows":', b"1", b"}"), json_type
        yield f"a name at {path}", path, filled(b'{"', b"n", b'":1}'), json_type
        yield f"half a surrogate pair at {path}", path, b'{"rows":[{"site":"\\ud800"}],"\\udfff":"\\ud800"}', json_type
        yield f"no UTF-8 at {path}", path, b'{"a":"\xff"}', json_type
    yield "half a surrogate pair as a value", "/predict", json.dumps(ROW | {"site": "\ud800"}).encode(), json_type
    columns = b'{"columns":{"site":[' + b",".join([b'"north"'] * 150_000) + b'],"height":[1]}}'
    yield "columns of other lengths", "/predict", columns, json_type
    yield "a tensor of no data", INFER, json.dumps({"inputs": [tensors()[0] | {"shape": [10**12]}]}).encode(), json_type
    big = json.dumps({"inputs": [tensors()[1] | {"data": [1] * 150_000, "shape": [150_000]}]}).encode()
    yield "a tensor of too many rows", INFER, big, json_type
    yield "null as a row", "/predict", b'{"rows":[null]}', json_type
    yield "scalars as inputs", "/invocations", json.dumps({"inputs": ROW}).encode(), json_type
    yield "a whole row", "/predict", one, json_type
    yield from ((f"Arrow: {name}", "/predict", body, ARROW) for name, body in arrow())


def arrow() -> Iterator[tuple[str, bytes]]:
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        return

    def stream(table: Any, **options: Any) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue().to_pybytes())

    rows = pa.Table.from_pylist([ROW] * 3)
    yield "zeros compressed", stream(pa.table({"height": pa.array([0.0] * 30_000_000)}), compression="zstd")
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000), pa.array(["x" * (7 << 20)]))
    yield "a dictionary's long text", stream(pa.table({"site": text}))
    yield "1,000,000 rows", stream(pa.table({"potted": pa.array([True] * 1_000_000)}))
    yield "20,000 columns", stream(pa.table({f"c{n}": [1] for n in range(20_000)}))
    yield "cut", stream(rows)[:-30]


def attacks() -> Iterator[Attack]:
    """Everything, one connection each."""
    for name, path, body, kind in bodies():
        yield Attack(name, post(path, body, kind))
    whole = post("/predict", json.dumps(ROW).encode())
    yield Attack("a header of 20 MB", b"GET / HTTP/1.1\r\n" + HOST + b"x: " + b"y" * (20 << 20))
    yield Attack("a path of 20 MB", b"GET /" + b"y" * (20 << 20))
    yield Attack("many headers", b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 500_000)
    chunked = b"POST /predict HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + HOST + b"\r\n"
    yield Attack("trailers", chunked + b"0\r\n" + b"x: y\r\n" * 500_000)
    yield Attack("a long chunk extension", chunked + b"1;" + b"x" * (1 << 20))
    yield Attack("a bad chunk", chunked + b"zz\r\n")
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    yield Attack("an offer of HTTP/2", post("/predict", json.dumps(ROW).encode(), more=offer), end=True)
    yield Attack("CONNECT", b"CONNECT x:1 HTTP/1.1\r\n" + HOST + b"\r\n", end=True)
    yield Attack("half closed", whole, end=True)
    yield Attack("pipelined, unread", b"GET /healthz HTTP/1.1\r\n\r\n" * 200_000)
    yield Attack("line ends after an answer", whole + b"\r\n" * 1000, end=True)
    for accept in (b"application/openmetrics-text; version=x", b"text/plain;version=\xff", b"a;b=c,;;,", b"\x01"):
        yield Attack(
            "a strange accept", b"GET /metrics HTTP/1.1\r\naccept: " + accept + b"\r\n" + HOST + b"\r\n", end=True
        )


async def send(port: int, attack: Attack, patience: float = 30) -> list[int]:
    """Send it, read what comes, and give the statuses of the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def write() -> None:
        try:
            writer.write(attack.data)
            await writer.drain()
            if attack.end:
                writer.write_eof()
        except OSError:
            pass  # refused before all was sent

    async def read() -> bytes:
        got = b""
        try:
            while part := await reader.read(1 << 20):
                got = (got + part) if len(got) < MOST else got[:MOST]
                if not attack.end and got.count(b"HTTP/1.1 ") and b"pipelined" not in attack.name.encode():
                    break
        except OSError:
            pass
        return got

    writing = asyncio.create_task(write())
    if "unread" in attack.name:
        await asyncio.wait([writing], timeout=2)
        got = b""
    else:
        got = await asyncio.wait_for(read(), patience)
    writing.cancel()
    writer.transport.abort()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)]


def peak(process: Process) -> float:
    """The largest memory of a process so far, in MB."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


async def longest_stall(port: int, done: asyncio.Event) -> float:
    """Ask a probe all the time; the longest that it took."""
    longest = 0.0
    while not done.is_set():
        started = time.perf_counter()
        await send(port, Attack("probe", b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"))
        longest = max(longest, time.perf_counter() - started)
        await asyncio.sleep(0.005)
    return longest


async def measured(port: int, attack: Attack) -> tuple[list[int], float]:
    done = asyncio.Event()
    probing = asyncio.create_task(longest_stall(port, done))
    statuses = await send(port, attack)
    done.set()
    return statuses, await probing


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        bundles.write(bundle)
        with Process(bundle) as process:
            worst: list[tuple[float, str]] = []
            wrong = False
            for attack in attacks():
                statuses, stall = asyncio.run(measured(process.ports[0], attack))
                worst.append((stall, attack.name))
                wrong |= any(status >= 500 for status in statuses) or not (statuses or "unread" in attack.name)
                line = f"{attack.name:50} {statuses!s:10.10} {stall * 1000:6.0f} ms {peak(process):6.0f} MB\n"
                sys.stdout.write(line)
            sys.stdout.write(f"longest stall: {max(worst)[0] * 1000:.0f} ms, {max(worst)[1]}\n")
            return int(wrong or process.stop() != 0)


if __name__ == "__main__":
    sys.exit(main())
