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
from typing import NamedTuple

if sys.argv[1:2] == ["do"]:  # only a process that does one thing needs them
    import models
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from slipway.contract import Array, Contract, Target

# Compiled modules are kept, as after the first run of any program.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
BIN = Path(sys.executable).parent
CORES = os.cpu_count() or 1
CHUNK = 100_000
ALONE = "ONNX Runtime alone"
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


def model(folder: str, name: str) -> None:
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
    models.make(Path(folder), make_pipeline(columns, estimator), contract, goal, arrays, truth.astype(np.int64))


def store(folder: str, number: str) -> None:
    """Write a table as a file for each core."""
    count = int(number)
    Path(folder).mkdir()
    for part in range(CORES):
        start, end = count * part // CORES, count * (part + 1) // CORES
        with pq.ParquetWriter(Path(folder) / f"part-{part}.parquet", pa.table(rows(1, 0)).schema) as writer:
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
    """ONNX Runtime on ready arrays; prints seconds and CPU seconds of inference with the better number of threads."""
    import onnxruntime

    ready = {name: values.reshape(-1, 1) for name, values in rows(1 << 16, 1).items()}
    best, batches = (float("inf"), 0.0), int(count) >> 16
    for threads in {1, CORES}:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(model_file, options, providers=["CPUExecutionProvider"])
        session.run(None, ready)
        started, used = time.perf_counter(), time.process_time()
        for _ in range(batches):
            session.run(None, ready)
        best = min(best, (time.perf_counter() - started, time.process_time() - used))
    print(*(seconds * int(count) / (batches << 16) for seconds in best))


class Cost(NamedTuple):
    """What a contestant took; megabytes: the peak of its largest process."""

    seconds: float
    cpu: float
    megabytes: float


def measured(*commands: list[str]) -> tuple[Cost, str]:
    """Run commands at the same time; what they cost, and the first's output."""
    started = time.perf_counter()
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for command in commands]
    output = processes[0].stdout.read().decode() if processes[0].stdout else ""
    largest = cpu = 0.0
    for process, command in zip(processes, commands, strict=True):
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{' '.join(command)} failed:\n{output}")
        largest, cpu = max(largest, usage.ru_maxrss / 1024), cpu + usage.ru_utime + usage.ru_stime
    return Cost(time.perf_counter() - started, cpu, largest), output


def do(*arguments: str) -> None:
    """Let a process of its own do one thing."""
    measured([sys.executable, __file__, "do", *arguments])


def contest(folder: Path, count: int) -> dict[str, Cost]:
    """Let every contestant predict once."""
    source, out, slipway = folder / "table", folder / "out", str(BIN / "slipway")
    bundle, me = str(folder / "onnx" / "bundle"), [sys.executable, __file__, "do"]
    found: dict[str, Cost] = {}

    def take(name: str, *commands: list[str]) -> str:
        subprocess.run(["rm", "-rf", str(out)], check=True)
        out.mkdir()
        found[name], output = measured(*commands)
        return output

    take("slipway predict", [slipway, "predict", str(source), str(out / "a.parquet"), "--bundle", bundle])
    parts = [str(source / f"part-{part}.parquet") for part in range(CORES)]
    split = [
        [slipway, "predict", part, f"{out}/{n}.parquet", "--bundle", bundle, "--threads", "1"]
        for n, part in enumerate(parts)
    ]
    take("a process for each core", *split)
    take("plain script", [*me, "plain", str(folder / "model.joblib"), str(source), str(out / "a.parquet")])
    seconds, cpu = map(float, take(ALONE, [*me, "alone", f"{bundle}/model.onnx", str(count)]).split())
    found[ALONE] = Cost(seconds, cpu, found[ALONE].megabytes)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=["linear", "trees"], choices=["linear", "trees"])
    if sys.argv[1:2] == ["do"]:
        return {"model": model, "store": store, "plain": plain, "alone": alone}[sys.argv[2]](*sys.argv[3:])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.models:
            folder = Path(scratch) / name
            do("model", str(folder), name)
            do("store", str(folder / "table"), str(given.rows))
            rounds = [contest(folder, given.rows) for _ in range(given.rounds)]
            report(name, given.rows, rounds)
    return None


def report(name: str, count: int, rounds: list[dict[str, Cost]]) -> None:
    """Print medians, and the ratios of each round with their spread."""
    print(f"\n{name}, {count:,} rows x {len(SCHEMA['required'])} columns, {CORES} cores")
    print(f"{'':<24} {'rows a second':>13} {'a CPU second':>13} {'megabytes':>9}   seconds, CPU: of slipway predict")
    for contestant in rounds[0]:
        costs = [one[contestant] for one in rounds]
        rate, lean = (count / statistics.median(cost[n] for cost in costs) for n in (0, 1))
        ratios = [[one[contestant][n] / one["slipway predict"][n] for one in rounds] for n in (0, 1)]
        spread = ", ".join(f"{statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in ratios)
        peak = max(cost.megabytes for cost in costs)
        print(f"{contestant:<24} {rate:>13,.0f} {lean:>13,.0f} {peak:>9.0f}   {spread}", flush=True)


if __name__ == "__main__":
    main()
