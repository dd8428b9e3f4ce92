"""What Spark costs beside `slipway predict` on one machine, by number of rows.

    make spark-test     # for Spark; it needs Java 17
    python benchmarks/spark.py [--rows 1000 250000 1000000 4000000] [--rounds 3]

The table and the linear model of benchmarks/batch.py. In each round both predict for all of the table in turn: `slipway
predict`, and examples/spark_score.py with as many threads as there are cores. Seconds and CPU are those of all their
processes with their start (of the smallest table nearly all is start), megabytes those of the largest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from batch import BIN, CORES, Cost, do, measured

ROOT = Path(__file__).parent.parent
OWN = "slipway predict"


def contest(table: Path, bundle: Path, out: Path, home: Path) -> dict[str, Cost]:
    """Let both predict once."""
    found = {OWN: measured([str(BIN / "slipway"), "predict", str(table), f"{out}.parquet", "--bundle", str(bundle)])[0]}
    command = [str(home / "bin" / "spark-submit"), "--master", f"local[{CORES}]", str(ROOT / "examples/spark_score.py")]
    found["Spark"] = measured([*command, str(table), str(out), str(bundle)])[0]
    return found


def report(count: int, rounds: list[dict[str, Cost]]) -> None:
    """Print medians, and the median of the rounds' ratios with their spread."""
    for name in rounds[0]:
        costs = [one[name] for one in rounds]
        seconds, cpu, megabytes = (statistics.median(values) for values in zip(*costs, strict=True))
        spread = []
        for n in (0, 1):
            ratios = [one[name][n] / one[OWN][n] for one in rounds]
            spread.append(f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")
        print(
            f"{count:>11,} {name:<16} {seconds:>8.1f} {cpu:>8.1f} {megabytes:>9.0f}   {', '.join(spread)}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 250_000, 1_000_000, 4_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    home = next(ROOT.glob(".venv/spark/lib/*/site-packages/pyspark"))
    os.environ |= {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    print(f"{CORES} cores\n{'rows':>11} {'':<16} {'seconds':>8} {'CPU':>8} {'megabytes':>9}   seconds, CPU: of {OWN}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        do("model", str(folder / "model"), "linear")
        for count in given.rows:
            table = folder / f"{count}"
            do("store", str(table), str(count))
            bundle = folder / "model" / "onnx" / "bundle"
            report(count, [contest(table, bundle, folder / f"{count}-{n}", home) for n in range(given.rounds)])


if __name__ == "__main__":
    main()
