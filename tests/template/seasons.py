"""Flowers with the day on which each was seen, four a day: a problem whose rows are ordered in time."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from flowers import Specimen, flower_problem, flowers
from slipway.problem import Problem
from slipway.workspace import Workspace

PARAMS = """
prepare: {{{prepare}}}
validate: {{max_missing: 0.5}}
train: {{}}
model: {{}}
evaluate: {{bootstrap: 100, importance_repeats: 1, {evaluate}}}
gate:
  thresholds: {{accuracy: 0.5}}
  champion: {{metric: log_loss}}
  behaviour: false
"""


class Seen(Specimen):
    """A recorded flower and the day on which it was seen."""

    seen: date
    week: int


def seen_flowers(rows: int = 200, seed: int = 0) -> pd.DataFrame:
    """Make the rows in no order of time; `week` numbers the weeks of `seen`."""
    days = np.arange(rows) // 4
    dates = (pd.Timestamp("2024-01-01") + pd.to_timedelta(days, "D")).strftime("%Y-%m-%d")
    table = flowers(rows, seed).assign(seen=dates, week=days // 7)
    return table.sample(frac=1, random_state=1)


def season_problem(**changes) -> Problem:
    """Make the problem; `changes` replace what it declares."""
    load = lambda folder: pd.read_csv(folder / "flowers.csv")  # noqa: E731
    return flower_problem(**{"name": "seasons", "record": Seen, "time": "seen", "load": load} | changes)


problem = season_problem()


def make_workspace(root: Path, rows: int = 200, prepare: str = "split: time", evaluate: str = "") -> Workspace:
    """Make a workspace with its data and parameters, in which no stage has run."""
    (root / "data").mkdir(parents=True)
    seen_flowers(rows).to_csv(root / "data" / "flowers.csv", index=False)
    (root / "pyproject.toml").write_text('[tool.slipway]\nproblem = "seasons:problem"\n')
    (root / "params.yaml").write_text(PARAMS.format(prepare=prepare, evaluate=evaluate))
    return Workspace(root)
