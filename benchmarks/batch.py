"""Predictions for files beside what one would write by hand, and beside the model alone.

    python benchmarks/batch.py [--rows 1000000] [--rounds 3] [--models linear trees]

A table of 8 features as Parquet, written in chunks. In each round every contestant predicts for all of it in turn, in
processes of its own: `slipway predict`; the same as a process for each core on a part of the table; a plain script in
chunks (pandas and scikit-learn); and ONNX Runtime alone on arrays that are ready in memory. Seconds are those of the
whole process; ONNX Runtime's are of inference only.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import models
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slipway.contract import Array, Contract, Target

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
CORES = os.cpu_count() or 1
CHUNK = 100_000
NUMBERS = [f"measure_{n}" for n in range(6)]
SITES, KINDS = ["north", "south", "east"], ["a", "b", "c", "d"]
SCHEMA = {
    "title": "Row",
    "properties": {name: {"type": "number", "minimum": -100, "maximum": 100} for name in NUMBERS}
    | {"site": {"type": "string", "enum": SITES}, "kind": {"type": "string", "enum": KINDS}},
    "required": [*NUMBERS, "site", "kind"],
}


def rows(count: int, seed: int) -> dict[str, Array]:
    """Make rows as arrays of the contract."""
    random = np.random.default_rng(seed)
    made: dict[str, Array] = {name: random.normal(size=count).round(6) for name in NUMBERS}
    made["site"] = np.array(SITES, dtype=object)[random.integers(0, 3, count)]
    made["kind"] = np.array(KINDS, dtype=object)[random.integers(0, 4, count)]
    return made


def model(folder: Path, name: str) -> None:
    """Fit and store a model as a bundle and as a joblib file."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    estimator = LogisticRegression() if name == "linear" else HistGradientBoostingClassifier(max_iter=100)
    encoder = OneHotEncoder(sparse_output=False, categories=[SITES, KINDS])
    columns = make_column_transformer((StandardScaler(), NUMBERS), (encoder, ["site", "kind"]))
    arrays = rows(20_000, 0)
    truth = sum(arrays[name] * (n + 1) for n, name in enumerate(NUMBERS)) + 3 * (arrays["site"] == "north") > 0
    answer = {"properties": {"answer": {"type": "string", "enum": ["no", "yes"]}}, "required": ["answer"]}
    goal = Target.of(Contract.from_schema(answer).columns[0])
    contract = Contract.from_schema(SCHEMA)
    models.make(folder, make_pipeline(columns, estimator), contract, goal, arrays, truth.astype(np.int64))


def store(folder: Path, count: int) -> None:
    """Write the table as a file for each core."""
    for part in range(CORES):
        start, end = count * part // CORES, count * (part + 1) // CORES
        with pq.ParquetWriter(folder / f"part-{part}.parquet", pa.table(rows(1, 0)).schema) as writer:
            for at in range(start, end, CHUNK):
                writer.write_table(pa.table(rows(min(CHUNK, end - at), 1 + at)))


def plain(joblib_file: str, source: str, target: str) -> None:
    """What one would write by hand: the same checks, columns and ids, in chunks."""
    import uuid

    import joblib

    estimator = joblib.load(joblib_file)
    writer = None
    for file in sorted(Path(source).glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(batch_size=CHUNK):
            table = batch.to_pandas()
            good = table[NUMBERS].ge(-100).all(axis=1) & table[NUMBERS].le(100).all(axis=1)
            good &= table["site"].isin(SITES) & table["kind"].isin(KINDS)
            table = table[good]
            probabilities = estimator.predict_proba(table)
            table["prediction"] = np.array(["no", "yes"])[probabilities.argmax(axis=1)]
            table["probability.no"], table["probability.yes"] = probabilities.T
            table["model_version"] = "0123456789ab"
            table["prediction_id"] = [uuid.uuid4().hex for _ in range(len(table))]
            made = pa.Table.from_pandas(table, preserve_index=False)
            writer = writer or pq.ParquetWriter(target, made.schema)
            writer.write_table(made)
    assert writer
    writer.close()


def alone(model_file: str, count: str) -> None:
    """ONNX Runtime on ready arrays; prints the seconds of inference."""
    import onnxruntime

    ready = {name: values.reshape(-1, 1) for name, values in rows(1 << 16, 1).items()}
    best = float("inf")
    for threads in {1, CORES}:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(model_file, options, providers=["CPUExecutionProvider"])
        session.run(None, ready)
        started = time.perf_counter()
        for _ in range(int(count) >> 16):
            session.run(None, ready)
        best = min(best, time.perf_counter() - started)
    print(best * int(count) / (int(count) >> 16 << 16))


def measured(*commands: list[str]) -> tuple[float, float, str]:
    """Run commands at the same time; wall-clock seconds, peak megabytes of the largest, and the first's output."""
    started = time.perf_counter()
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for command in commands]
    output = processes[0].stdout.read().decode() if processes[0].stdout else ""
    largest = 0.0
    for process, command in zip(processes, commands, strict=True):
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{' '.join(command)} failed:\n{output}")
        largest = max(largest, usage.ru_maxrss / 1024)
    return time.perf_counter() - started, largest, output


def contest(folder: Path, count: int) -> dict[str, tuple[float, float]]:
    """Let every contestant predict once; seconds and megabytes by name."""
    source, out, slipway = folder / "table", folder / "out", str(BIN / "slipway")
    bundle, me = str(folder / "onnx" / "bundle"), [sys.executable, __file__]
    found: dict[str, tuple[float, float]] = {}

    def take(name: str, *commands: list[str]) -> str:
        subprocess.run(["rm", "-rf", str(out)], check=True)
        out.mkdir()
        seconds, megabytes, output = measured(*commands)
        found[name] = seconds, megabytes
        return output

    take("slipway predict", [slipway, "predict", str(source), str(out / "a.parquet"), "--bundle", bundle])
    parts = [str(source / f"part-{part}.parquet") for part in range(CORES)]
    split = [
        [slipway, "predict", part, f"{out}/{n}.parquet", "--bundle", bundle, "--threads", "1"]
        for n, part in enumerate(parts)
    ]
    take("a process for each core", *split)
    take("plain script", [*me, "--plain", str(folder / "model.joblib"), str(source), str(out / "a.parquet")])
    seconds = float(take("ONNX Runtime alone", [*me, "--alone", f"{bundle}/model.onnx", str(count)]))
    found["ONNX Runtime alone"] = seconds, found["ONNX Runtime alone"][1]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=["linear", "trees"], choices=["linear", "trees"])
    parser.add_argument("--plain", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:
        return plain(*given.plain)
    if given.alone:
        return alone(*given.alone)
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.models:
            folder = Path(scratch) / name
            (folder / "table").mkdir(parents=True)
            model(folder, name)
            store(folder / "table", given.rows)
            rounds = [contest(folder, given.rows) for _ in range(given.rounds)]
            report(name, given.rows, rounds)
    return None


def report(name: str, count: int, rounds: list[dict[str, tuple[float, float]]]) -> None:
    """Print medians, and the ratios of each round with their spread."""
    print(
        f"\n{name}, {count:,} rows x {len(SCHEMA['required'])} columns, {CORES} cores: rows a second, megabytes, ratio"
    )
    for contestant in rounds[0]:
        rate = count / statistics.median(one[contestant][0] for one in rounds)
        peak = max(one[contestant][1] for one in rounds)
        ratios = [one[contestant][0] / one["slipway predict"][0] for one in rounds]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{contestant:<24} {rate:>12,.0f} {peak:>8.0f}   {spread}", flush=True)


if __name__ == "__main__":
    main()
