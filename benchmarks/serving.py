"""How fast the service is beside others: `make bench-serving`, or `python benchmarks/serving.py --help`.

Each contestant is one process with the same model on this machine; the load comes from wrk. All are measured in
turn, round after round, and what is printed are ratios within a round, with their spread over the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import models

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
PATIENCE = 120  # seconds until a server must answer


@dataclass
class Contestant:
    """A server: the command that starts it at a port, and the words it is asked in."""

    name: str
    words: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0

    @contextlib.contextmanager
    def running(self, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Start it in a group of its own, and end that group."""
        environment = {**os.environ, "PYTHONPATH": str(HERE / "peers"), "OMP_NUM_THREADS": "1", **self.environment}
        with log.open("wb") as out:
            process = subprocess.Popen(self.command, env=environment, stdout=out, stderr=out, start_new_session=True)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(20)


def contestants(served: models.Served, peers: Path, only: list[str] | None) -> list[Contestant]:
    """List those that can be started here: peers whose environment was made, and of `only` if that is given."""
    columns = json.dumps({column.name: column.dtype for column in served.contract.columns})
    shared = {"PEER_MODEL": str(served.folder / "model.joblib"), "PEER_COLUMNS": columns}
    found: list[Contestant] = []

    def add(name: str, words: str, make: Any, **environment: str) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        command = [str(part) for part in make(port)]
        if Path(command[0]).exists() and (only is None or name in only):
            found.append(
                Contestant(
                    name,
                    words,
                    command,
                    shared | {"PEER_PORT": str(port), "SLIPWAY_PORT": str(port)} | environment,
                    port,
                )
            )

    def uvicorn(app: str) -> Any:
        return lambda port: [BIN / "uvicorn", f"{app}:app", "--port", port, "--no-access-log", "--log-level", "error"]

    for name, kind, words in SLIPWAY:
        bundle = served.folder / kind / "bundle"
        add(name, words, lambda _: [BIN / "python", "-m", "slipway.serving"], SLIPWAY_BUNDLE=str(bundle))
    bundle = {"SLIPWAY_BUNDLE": str(served.folder / "onnx" / "bundle")}
    for app, about in (("middleware", "one middleware"), ("plain", "plain=True")):
        command = [BIN / "python", "-m", "slipway.serving"]
        add(f"Slipway, {about}", "slipway", lambda _, c=command: c, SLIPWAY_APP=f"slipway_{app}:app", **bundle)
    slipway = [BIN / "python", "-m", "slipway.serving"]
    keeping = bundle | {"SLIPWAY_PREDICTIONS": str(served.folder / "kept"), "SLIPWAY_PREDICTIONS_SECONDS": "5"}
    add("Slipway, kept", "slipway", lambda _: slipway, **keeping)
    add("Slipway, kept and a shadow", "slipway", lambda _: slipway, **keeping, SLIPWAY_SHADOW=bundle["SLIPWAY_BUNDLE"])
    add("ASGI echo", "slipway", uvicorn("asgi_echo"))
    add("FastAPI echo", "slipway", uvicorn("fastapi_echo"))
    add("FastAPI + pandas", "rows", uvicorn("fastapi_pandas"))
    mlflow = ["models", "serve", "--env-manager", "local", "--workers", "1", "-m", served.folder / "mlflow", "-p"]
    add(
        "mlflow models serve",
        "mlflow",
        lambda port: [BIN / "mlflow", *mlflow, port],
        PATH=f"{BIN}:{os.environ['PATH']}",
    )
    for name, size in (("MLServer", 0), ("MLServer batching", 32)):
        add(name, "mlserver", lambda port, size=size: mlserver(peers, served.folder, port, size))
    bento = ["serve", "bento:Service", "--working-dir", HERE / "peers", "--port"]
    add("BentoML", "rows", lambda port: [peers / "bentoml/bin/bentoml", *bento, port], BENTOML_DO_NOT_TRACK="true")
    for name, size in (("LitServe", "1"), ("LitServe batching", "32")):
        add(name, "rows", lambda _: [peers / "litserve/bin/python", HERE / "peers/lit.py"], PEER_BATCH=size)
    return found


SLIPWAY = (
    ("Slipway", "onnx", "slipway"),
    ("Slipway, columns", "onnx", "columns"),
    ("Slipway, Arrow", "onnx", "arrow"),
    ("Slipway, skops", "skops", "slipway"),
)


def mlserver(peers: Path, folder: Path, port: int, batch: int) -> list[Any]:
    """Write MLServer's settings and give its command."""
    place = Path(tempfile.mkdtemp(prefix="mlserver-"))
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        ports = {"grpc_port": one.getsockname()[1], "metrics_port": two.getsockname()[1]}
    settings = {"debug": False, "host": "127.0.0.1", "http_port": port, "parallel_workers": 0, **ports}
    model: dict[str, Any] = {"name": "peer", "implementation": "mlserver_sklearn.SKLearnModel"}
    model["parameters"] = {"uri": str(folder / "model.joblib")}
    if batch:
        model |= {"max_batch_size": batch, "max_batch_time": 0.005}
    (place / "settings.json").write_text(json.dumps(settings))
    (place / "model-settings.json").write_text(json.dumps(model))
    return [peers / "mlserver/bin/mlserver", "start", place]


def ask(one: Contestant, request: tuple[str, str, bytes]) -> bytes:
    """Ask once; raises OSError until the server answers with 200."""
    path, kind, body = request
    asked = urllib.request.Request(f"http://127.0.0.1:{one.port}{path}", data=body, headers={"content-type": kind})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return bytes(answer.read())


def wait(one: Contestant, request: tuple[str, str, bytes], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers. Raises SystemExit with its log."""
    until = time.monotonic() + PATIENCE
    last: Exception | None = None
    while time.monotonic() < until and process.poll() is None:
        try:
            ask(one, request)
            return
        except OSError as error:
            last = error
            time.sleep(0.2)
    raise SystemExit(f"{one.name} does not answer ({last}):\n{log.read_text()[-3000:]}")


def load(
    one: Contestant, request: tuple[str, str, bytes], connections: int, options: argparse.Namespace, place: Path
) -> tuple[float, float, float]:
    """Load a server: requests a second, and the median and the 99th percentile of the latency in milliseconds."""
    path, kind, body = request
    (place / "body").write_bytes(body)
    script = place / "wrk.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.headers["content-type"] = "{kind}"\n'
        f'local file = io.open("{place / "body"}", "rb")\nwrk.body = file:read("*a")\nfile:close()\n'
        + (f"function delay() return {options.pause} end\n" if options.pause else "")
    )
    url = f"http://127.0.0.1:{one.port}{path}"
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{options.seconds:g}s",
        "--latency",
        "--timeout",
        "30s",
        "-s",
        str(script),
        url,
    ]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out:
        raise SystemExit(f"{one.name} answered with errors:\n{out}")
    found = dict(re.findall(r"(50|99)%\s+([\d.]+(?:us|ms|s))", out))
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    half, most = (float(t.rstrip("mus")) * scale[t.lstrip("0123456789.")] for t in (found["50"], found["99"]))
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), half, most  # type: ignore[index]


def cpu_seconds(group: int) -> float:
    """The CPU time of a process group so far."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(served: models.Served, rows: int, connections: int, options: argparse.Namespace) -> None:
    """Measure all contestants in interleaved rounds and print the table."""
    bodies = served.bodies(rows)
    rates: dict[str, list[float]] = {}
    medians: dict[str, list[float]] = {}
    slowest: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    groups: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        field_ = contestants(served, options.peers, options.only)
        for one in field_:
            log = place / re.sub(r"\W", "_", one.name)
            process = stack.enter_context(one.running(log))
            wait(one, bodies[one.words], process, log)
            groups[one.name] = process.pid
        for number in range(options.rounds + 1):
            for one in field_:
                before = cpu_seconds(groups[one.name])
                rate, median, slow = load(one, bodies[one.words], connections, options, place)
                cost = (cpu_seconds(groups[one.name]) - before) / (rate * options.seconds) * 1e6
                if number:  # the first round warms up
                    rates.setdefault(one.name, []).append(rate)
                    medians.setdefault(one.name, []).append(median)
                    slowest.setdefault(one.name, []).append(slow)
                    costs.setdefault(one.name, []).append(cost)
    print(f"\n### {served.folder.name}: {rows} row(s) a request, {connections} connection(s)\n")
    print("| Server | Requests/s | p50 ms | p99 ms (least to most) | CPU µs | Slipway is faster by (least to most) |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, found in sorted(rates.items(), key=lambda item: -statistics.median(item[1])):
        ratios = [ours / theirs for ours, theirs in zip(rates.get("Slipway", found), found, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        late = slowest[name]
        tail = f"{statistics.median(late):.2f} ({min(late):.2f} to {max(late):.2f})"
        middle, cost = statistics.median(medians[name]), statistics.median(costs[name])
        cost_shown = f"{cost:,.0f}" if cost >= 1 else "?"  # "?": it works outside of the process that was started
        print(
            f"| {name} | {statistics.median(found):,.0f} | {middle:.2f} | {tail} | {cost_shown} | {spread} |",
            flush=True,
        )


def parts(served: models.Served, rows: int) -> None:
    """Print what a request of many rows is made of: a bare typed decode, and a bare ONNX call."""
    import timeit

    from slipway.model.predictor import Predictor
    from slipway.serving.rows import Rows

    predictor = Predictor.load(served.folder / "onnx" / "bundle")
    reader = Rows(predictor.contract, limit=rows)
    body = served.bodies(rows)["rows"][2]
    arrays = predictor.contract.arrays(served.rows(rows))
    for name, call in {
        "bare typed decode": lambda: reader._many.decode(body),
        "bare inference": lambda: predictor._runtime.run(arrays),
    }.items():
        print(f"{name} of {rows} rows: {min(timeit.repeat(call, number=20, repeat=10)) / 20 * 1e3:.3f} ms")


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument(
        "--peers", type=Path, default=Path("build/bench").resolve(), help="folder of the peers' environments"
    )
    parser.add_argument("--pause", type=int, default=0, help="milliseconds between two requests of a connection")
    parser.add_argument("--only", nargs="*", help="names of contestants")
    parser.add_argument("--cases", nargs="*", default=["one", "alone", "many"], choices=["one", "alone", "many"])
    options = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("needs wrk (Debian's package of that name)")
    shipped, linear = (Path("build/bench/models").resolve() / name for name in ("shipped", "linear"))
    if "one" in options.cases:
        measure(models.shipped(shipped), 1, 32, options)
    if "alone" in options.cases:
        measure(models.shipped(shipped), 1, 1, options)
    if "many" in options.cases:
        served = models.linear(linear)
        measure(served, 1000, 4, options)
        parts(served, 1000)


if __name__ == "__main__":
    main()
