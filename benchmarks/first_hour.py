"""How long a stranger's table takes from `git clone` to a verdict, without an edit by hand.

    python benchmarks/first_hour.py [KIND ...]      binary, multi-class, regression, text, dated

Each table gets a fresh clone with an environment of its own. Nothing is edited: a run that needs an edit fails here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/template"))

from strangers import PUBLIC, write  # noqa: E402


def main() -> None:
    for kind in sys.argv[1:] or PUBLIC:
        make, target = PUBLIC[kind]
        with tempfile.TemporaryDirectory() as folder:
            clone, table = Path(folder) / "clone", write(make(), Path(folder) / f"{kind}.csv")
            spent = {
                "clone": seconds(ROOT, "git", "clone", "--quiet", str(ROOT), str(clone)),
                "setup": seconds(clone, "make", "setup"),
                "new": seconds(clone, ".venv/bin/slipway", "new", str(table), "--target", target, "--yes"),
                "run": seconds(clone, ".venv/bin/slipway", "run"),
            }
            parts = "  ".join(f"{name} {wall:.0f} s ({cpu:.0f} s of CPU)" for name, (wall, cpu) in spent.items())
            total = sum(wall for wall, _ in spent.values()) / 60
            print(f"{kind}: {total:.1f} minutes  {parts}", flush=True)


def seconds(folder: Path, *command: str) -> tuple[float, float]:
    """Run a command; give the seconds on the clock and of the processors. Its output is shown if it fails."""
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, cpu


if __name__ == "__main__":
    main()
