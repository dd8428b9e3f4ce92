"""How fast each compiled estimator answers, beside the library that fitted it; writes the table of docs/estimators.md.

    python benchmarks/estimators.py

Each line's estimator is fitted as the page's test does it. Both answer the same rows on one thread, in turns: ONNX
Runtime from the contract's arrays, as the service does; the library from a DataFrame that is made already. The
processor's time is counted, which other programs on the machine disturb less than the clock's. A figure is the median
of the rounds, with the quartiles.
"""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parents[1]
sys.path[:1] = [str(ROOT / "tests/template/unit/compile"), str(ROOT / "tests/template")]  # instead of benchmarks/

from test_estimators_table import PAGE, PROBLEMS, SPEEDS, fitted, lines  # noqa: E402

from conftest import make_cases  # noqa: E402
from slipway.compile.converters import convert  # noqa: E402
from slipway.model.runtimes import load_runtime, skops  # noqa: E402

ROUNDS = 9
TREES = 100
LEAST = 20_000_000  # nanoseconds of each


def main() -> None:
    cases, first = make_cases(), {}
    for column, expression, cell in lines():
        first.setdefault(expression, (cases.get(PROBLEMS.get(column)), cell))
    for expression, (case, cell) in first.items():
        found = ratios(case, expression) if cell.startswith("ONNX") else ["-"] * len(SPEEDS)
        print(expression, *found, flush=True)
        row = re.compile(rf"^(\| `{re.escape(expression)}` \|.*?)( \| [^|]*){{{len(SPEEDS)}}} \|$", re.M)
        page = PAGE.read_text("utf-8")
        PAGE.write_text(row.sub(lambda line, found=found: " | ".join([line[1], *found]) + " |", page), "utf-8")


def ratios(case, expression: str) -> list[str]:
    """How many times as fast it is, compiled, for each number of rows."""
    with warnings.catch_warnings(), threadpool_limits(limits=1):
        warnings.simplefilter("ignore")
        part, estimator = fitted(case, expression, trees=TREES)
        model = convert(estimator, part.contract).SerializeToString()
        runtime = load_runtime("onnx", model, classes=len(part.kinds.classes), threads=1)
        own, found = getattr(estimator, "predict_proba", estimator.predict), []
        for rows in SPEEDS.values():
            chosen = np.random.default_rng(0).integers(0, len(part.truth), rows)
            arrays = {name: values[chosen] for name, values in part.arrays.items()}
            table = skops.frame(arrays)
            rounds = [(spent(own, table), spent(runtime.run, arrays)) for _ in range(ROUNDS)]
            found.append(spread([library / compiled for library, compiled in rounds]))
    return found


def spent(call: Callable[[Any], object], rows: Any) -> float:
    """Nanoseconds of the processor that a call takes."""
    calls, start = 0, time.process_time_ns()
    while (used := time.process_time_ns() - start) < LEAST:
        call(rows)
        calls += 1
    return used / calls


def spread(found: list[float]) -> str:
    low, middle, high = (f"{one:.0f}" if one >= 10 else f"{one:.1f}" for one in quantiles(found, n=4))
    return f"{middle} ({low} to {high})"


if __name__ == "__main__":
    main()
