"""What a push costs, job by job: one of documents alone, one that changes nothing of the model, one with a new model.

    python benchmarks/push.py [--rounds 3]

The jobs' own steps, as .github/workflows/pipeline.yml has them, each in a fresh clone of a bare repository; without
setting the environment up, which is the same for all, and without check, cluster and publish. The three take turns, so
that a slow minute hits all. Needs a Docker engine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1] / "tests/template")  # in place of this folder, which has a pipeline.py

from pipeline.remotes import BETTER, head, make_remote, pipeline, push, replaced  # noqa: E402

JOBS = ("documents", "model", "image", "release", "green")
README = replaced("README.md", "# Slipway", "# Penguins")


def run_jobs(remote: Path, folder: Path, before: str) -> dict[str, float]:
    """Run the jobs on the remote's branch; seconds of each that ran."""
    workflow = pipeline(remote, folder, github={"event": {"before": before}})
    for name in JOBS:
        workflow.jobs(name)
    if workflow.done["green"].result != "success":
        sys.exit("\n".join(f"{name}: {done.result}\n{done.log}" for name, done in workflow.done.items()))
    return {name: workflow.done[name].seconds for name in JOBS if workflow.done[name].result == "success"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    gh = Path(tempfile.mkdtemp(), "gh")  # GitHub's: the last run was green, the release is there
    gh.write_text("#!/bin/sh\necho success\n")
    gh.chmod(0o755)
    os.environ["PATH"] = f"{gh.parent}{os.pathsep}{os.environ['PATH']}"
    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(parser.parse_args().rounds):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            remote = make_remote(folder)
            rounds = {"nothing new": run_jobs(remote, folder / "nothing", "")}
            for kind, change in (("documents", README), ("a new model", BETTER)):
                before = head(remote)
                push(remote, folder / kind.replace(" ", "-"), change, data=kind != "documents")
                rounds[kind] = run_jobs(remote, folder / f"{kind}-run", before)
        for kind, found in rounds.items():
            for job, taken in found.items():
                seconds[kind][job].append(taken)
    for kind, jobs in seconds.items():
        for job, taken in jobs.items():
            print(f"{kind:12} {job:10} {statistics.median(taken):6.1f} s   {min(taken):.1f} to {max(taken):.1f}")


if __name__ == "__main__":
    main()
