"""How long the pipeline takes, as ratios to baselines of the same run, and how it grows with the rows.

    python benchmarks/pipeline.py [--rounds 3] [--rows 10000 100000 1000000]

Contestants take turns, round by round, so that a slow minute of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/template"))

from checkouts import make_checkout, run  # noqa: E402

BIN = Path(sys.executable).parent
STAGES = ("prepare", "validate", "train", "evaluate")


def measured(folder: Path, *command: str) -> tuple[float, float]:
    """Run a command; wall-clock seconds and peak megabytes of that process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{output.decode()}")
    kibibytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return time.perf_counter() - start, kibibytes / 1024


def turn(folder: Path, number: int) -> None:
    """Change the model's parameter to a value that was not there before."""
    path = folder / "params.yaml"
    lines = path.read_text().splitlines()
    found = [i for i, line in enumerate(lines) if "inverse_regularization" in line]
    lines[found[0]] = f"  inverse_regularization: {1 + number / 1000}"
    path.write_text("\n".join(lines) + "\n")


def compare(rounds: int) -> None:
    """Full run, no change, model parameter only, against the plain script and `dvc --version`."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_checkout(Path(scratch) / "checkout").root
        dvc, slipway = str(BIN / "dvc"), str(BIN / "slipway")
        plain = [sys.executable, str(ROOT / "benchmarks" / "plain_script.py"), str(folder / "data")]
        times: dict[str, list[float]] = {}

        def take(name: str, *command: str) -> None:
            times.setdefault(name, []).append(measured(folder, *command)[0])

        for number in range(rounds):
            take("plain script", *plain, f"sqlite:///{scratch}/plain{number}.db")
            shutil.rmtree(folder / "build", ignore_errors=True)
            shutil.rmtree(folder / ".dvc" / "cache" / "runs", ignore_errors=True)
            take("dvc repro, all stages", dvc, "repro", "--force")
            take("slipway gate", slipway, "gate")
            take("slipway track", slipway, "track")
            take("dvc --version", dvc, "--version")
            take("dvc repro, nothing changed", dvc, "repro")
            turn(folder, number + 1)
            take("dvc repro, a parameter of the model", dvc, "repro")
    baseline = {"dvc repro, nothing changed": "dvc --version"}
    print(f"{'':38} {'seconds':>8} {'spread':>14}   ratio")
    for name, seconds in times.items():
        other = times[baseline.get(name, "plain script")]
        ratio = statistics.median(a / b for a, b in zip(seconds, other, strict=True))
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(
            f"{name:38} {statistics.median(seconds):8.2f} {spread:>14}   "
            f"{ratio:.2f} x {baseline.get(name, 'plain script')}"
        )


def grow(folder: Path, rows: int) -> None:
    """Fill the data folder with resampled birds, each a new individual, numbers jittered."""
    rng = np.random.default_rng(0)
    raw = pd.read_csv(ROOT / "data" / "penguins-raw.csv", na_values=["NA"], keep_default_na=False)
    raw = raw[raw["Sex"].notna()]
    many = raw.sample(rows, replace=True, random_state=0).reset_index(drop=True)
    for name, step in (("Culmen Length (mm)", 0.5), ("Culmen Depth (mm)", 0.2), ("Flipper Length (mm)", 2)):
        many[name] = (many[name] + rng.normal(0, step, rows)).round(1)
    many["Body Mass (g)"] = (many["Body Mass (g)"] + rng.normal(0, 50, rows)).round()
    many["Sample Number"] = many.groupby("Species").cumcount() + 1
    many["Individual ID"] = [f"N{i // 2}A{i % 2 + 1}" for i in range(rows)]
    many.to_csv(folder / "data" / "penguins-raw.csv", index=False, na_rep="NA")


def scale(counts: list[int]) -> None:
    """Seconds and peak memory of each stage as the rows grow."""
    print(f"\n{'rows':>9}  " + "  ".join(f"{stage:>20}" for stage in STAGES))
    for rows in counts:
        with tempfile.TemporaryDirectory() as scratch:
            folder = make_checkout(Path(scratch) / "checkout").root
            grow(folder, rows)
            found = [measured(folder, str(BIN / "slipway"), stage) for stage in STAGES]
        print(f"{rows:9}  " + "  ".join(f"{seconds:8.1f} s {megabytes:6.0f} MB" for seconds, megabytes in found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    run(ROOT, str(BIN / "slipway"), "--version")  # warm the disk's cache
    compare(options.rounds)
    scale(options.rows)


if __name__ == "__main__":
    main()
