"""What a push costs the pipeline's model job: one that changes the model, and one that changes nothing of it.

    python benchmarks/push.py [--rounds 3]

The job's own steps, as .github/workflows/pipeline.yml has them, each time in a fresh clone of a bare repository;
without setting the environment up, which costs both the same. The two take turns, so that a slow minute hits both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1] / "tests/template")  # in place of this folder, which has a pipeline.py

from pipeline.remotes import make_remote, pipeline, push, replaced  # noqa: E402


def model_job(remote: Path, folder: Path, *, verdict: str) -> float:
    """Run the model job on what the remote has; seconds."""
    workflow = pipeline(remote, folder)
    start = time.perf_counter()
    done = workflow.jobs("model")
    seconds = time.perf_counter() - start
    if done.outputs.get("verdict") != verdict:
        sys.exit(f"not {verdict}:\n{done.log}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    full, nothing = [], []
    for _ in range(parser.parse_args().rounds):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            remote = make_remote(folder)
            nothing.append(model_job(remote, folder / "nothing", verdict="HOLD"))
            push(remote, folder / "ada", replaced("params.yaml", "regularization: 1.0", "regularization: 1.1"))
            full.append(model_job(remote, folder / "full", verdict="PROMOTE"))
    for name, seconds in (("a new model", full), ("nothing new", nothing)):
        print(f"{name:12} {statistics.median(seconds):6.1f} s   {min(seconds):.1f} to {max(seconds):.1f}")
    ratios = [a / b for a, b in zip(full, nothing, strict=True)]
    print(f"ratio        {statistics.median(ratios):6.1f}     {min(ratios):.1f} to {max(ratios):.1f}")


if __name__ == "__main__":
    main()
