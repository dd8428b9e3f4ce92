"""Flowers told apart by their height alone, by an estimator that needs no time: one argument has a best value."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator

from checkouts import make_repository, run
from flowers import flower_problem, flowers
from slipway.stages.prepare import prepare
from slipway.workspace import Workspace

PARAMS = """\
prepare: {{}}
validate: {{}}
train: {{}}
model:                # of build
  slope: 0.1          # per 10 cm
evaluate: {{bootstrap: 100, importance_repeats: 1}}
gate:
  thresholds: {{log_loss: 2.0}}
  champion: {{metric: log_loss}}
search:
  arguments: {arguments}
  trials: {trials}
"""
SLOPE = "{slope: {float: [0.01, 100], log: true}}"


class Guess(BaseEstimator):
    """The taller, the rather a rose; cannot be fitted with a depth above 8."""

    def __init__(self, slope: float, depth: int) -> None:
        self.slope, self.depth = slope, depth

    def fit(self, X, y):
        if self.depth > 8:
            raise ValueError("the meadow is not so deep")
        return self

    def predict_proba(self, X):
        rose = 1 / (1 + np.exp(-self.slope * (X["height"].to_numpy() - 55) / 10))
        return np.column_stack([1 - rose, rose])

    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


def build(*, slope: float = 1.0, depth: int = 2) -> Guess:
    return Guess(slope, depth)


problem = flower_problem(name="meadows", build=build)


def make_meadow(root: Path, arguments: str = SLOPE, trials: str = "8", data: int = 200) -> Workspace:
    """Make a committed checkout with its training rows; the text after `trials` may hold further lines."""
    make_repository(root)
    (root / "data").mkdir()
    flowers(data).to_csv(root / "data" / "flowers.csv", index=False)
    (root / "pyproject.toml").write_text('[tool.slipway]\nproblem = "search.meadows:problem"\n')
    (root / "params.yaml").write_text(PARAMS.format(arguments=arguments, trials=trials))
    (root / ".gitignore").write_text("/build/\n/data/\n/mlflow.db*\n/mlartifacts/\n")
    run(root, "git", "add", ".")
    run(root, "git", "commit", "--quiet", "--message", "A meadow")
    workspace = Workspace(root)
    prepare(workspace.problem, workspace.params.prepare, workspace.data, workspace.table)
    workspace.validation.mkdir()
    digest = hashlib.sha256((workspace.table / "train.parquet").read_bytes()).hexdigest()
    (workspace.validation / "passed.json").write_text(json.dumps({"train": digest}))
    return workspace


def again(workspace: Workspace, old: str, new: str) -> Workspace:
    """Change params.yaml, without a commit."""
    path = workspace.root / "params.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return Workspace(workspace.root)
