"""The end of a process: what was accepted is answered, whatever the load."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.running import Process, client

CLIENTS = 8


class Load:
    """Constant requests from several clients, each trying again on a fresh connection if one was closed on it."""

    def __init__(self, port: int, row: dict[str, Any]) -> None:
        self.aim(port)
        self.row = row
        self.answers: list[int] = []
        self.seen: set[int] = set()
        self.lost = 0
        self._stop = False
        self._some = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def aim(self, port: int) -> None:
        """Ask there from the next request on."""
        self.url = f"http://127.0.0.1:{port}/predict"

    def end(self) -> None:
        """Ask no more, and wait for what is under way."""
        self._stop = True
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        with httpx.Client(timeout=30) as http:
            while not self._stop:
                self._ask(http)

    def _ask(self, http: httpx.Client) -> None:
        for _ in range(200):
            try:
                answer = http.post(self.url, json=self.row)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                continue  # the idle connection was closed
            except httpx.ConnectError:
                if self._stop:
                    return
                threading.Event().wait(0.05)  # nobody listens yet
                continue
            self.answers.append(answer.status_code)
            self.seen.add(answer.status_code)
            if len(self.answers) > 200:
                self._some.set()
            return
        self.lost += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def go_on(self) -> None:
        """Wait until a few hundred more requests were answered."""
        self.answers.clear()
        self._some.clear()
        assert self._some.wait(30)

    def __exit__(self, *_: object) -> None:
        self.end()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_no_request_is_lost_in_a_rolling_replacement(bundle: Path, row: dict[str, Any]) -> None:
    """As a cluster does it: the new one gets the traffic once it is ready, the old one is then told to stop."""
    first = Process(bundle)
    with Load(first.ports[0], row) as load:
        for _ in range(2):
            second = Process(bundle)
            load.aim(second.ports[0])
            assert first.stop() == 0
            load.go_on()
            first = second
        load.end()
        assert load.seen == {200}
        assert load.lost == 0
    assert first.stop() == 0


def test_no_request_is_lost_when_a_process_is_started_again_at_its_port(bundle: Path, row: dict[str, Any]) -> None:
    port = free_port()
    with Process(bundle, port=port) as first, Load(port, row) as load:
        assert first.stop() == 0
        with Process(bundle, port=port) as second:
            load.go_on()
            load.end()
            assert load.seen <= {200, 503}  # 503, "come again", until the model is loaded
            assert load.answers[-1] == 200
            assert load.lost == 0
            assert second.stop() == 0


def test_what_was_accepted_is_answered_after_sigterm(bundle: Path, row: dict[str, Any]) -> None:
    with Process(bundle) as process:

        async def ask() -> tuple[bytes, int]:
            reader, writer = await asyncio.open_connection("127.0.0.1", process.ports[0])
            body = b'{"site":"north","height":4.5,"leaves":3,"potted":true}'
            head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            writer.write(head + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body))
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"  # it was accepted, and waits for its body
            process.process.send_signal(signal.SIGTERM)
            while process.process.poll() is None:  # the door is shut at once
                try:
                    _, other = await asyncio.open_connection("127.0.0.1", process.ports[0])
                except OSError:
                    break
                other.close()
                await asyncio.sleep(0)
            writer.write(body)
            await writer.drain()
            return await asyncio.wait_for(reader.read(), 30), await asyncio.to_thread(process.process.wait, 30)

        answer, code = asyncio.run(ask())
        assert b"HTTP/1.1 200 OK" in answer
        assert b"connection: close" in answer
        assert code == 0


def test_draining_is_not_ready_but_serves(bundle: Path, row: dict[str, Any]) -> None:
    with Process(bundle, drain_seconds=3) as process, client(process.url) as http:
        process.process.send_signal(signal.SIGTERM)
        while (ready := http.get("/readyz")).status_code == 200:
            pass
        assert "stopping" in ready.json()["reason"]
        assert http.post("/predict", json=row).status_code == 200
        assert process.process.wait(30) == 0


def test_after_sigkill_under_load_a_new_process_serves_at_the_same_port(bundle: Path, row: dict[str, Any]) -> None:
    port = free_port()
    first = Process(bundle, port=port)
    with Load(port, row) as load:
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
        with Process(bundle, port=port) as second:
            load.go_on()
            load.end()
            assert load.seen <= {200, 503}  # 503, "come again", until the model is loaded
            assert load.answers[-1] == 200
            assert second.stop() == 0


def test_memory_stays_flat_over_two_hundred_thousand_requests(
    bundle: Path, row: dict[str, Any], tmp_path: Path
) -> None:
    if not shutil.which("wrk"):
        pytest.skip("needs wrk (Debian's package of that name)")
    script = tmp_path / "post.lua"
    body = '{"site":"north","height":4.5,"leaves":3,"potted":true}'
    script.write_text(f"wrk.method='POST' wrk.headers['content-type']='application/json' wrk.body='{body}'")

    with Process(bundle, log_requests="false") as process, client(process.url) as http:

        def kilobytes() -> int:
            status = Path(f"/proc/{process.process.pid}/status").read_text()
            return int(status.split("VmRSS:")[1].split()[0])

        def answered() -> float:
            return sum(
                float(line.rsplit(" ", 1)[1])
                for line in http.get("/metrics").text.splitlines()
                if line.startswith('slipway_requests_total{route="/predict",status="200"}')
            )

        def load(until: float) -> None:
            for _ in range(60):
                if answered() >= until:
                    return
                subprocess.run(
                    ["wrk", "-t1", "-c32", "-d3", "-s", str(script), f"{process.url}/predict"],
                    check=True,
                    capture_output=True,
                )
            pytest.fail("too few requests were answered")

        load(20_000)
        before = kilobytes()
        load(220_000)
        assert kilobytes() - before < 5_000
