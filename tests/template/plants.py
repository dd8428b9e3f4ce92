"""Small problems of every kind of target over the same rows, and workspaces in which they were trained and judged."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from slipway.contract import canonical_json
from slipway.gate import Reason, Verdict
from slipway.problem import Problem
from slipway.stages.evaluate import evaluate
from slipway.stages.prepare import prepare
from slipway.stages.train import train
from slipway.workspace import Workspace


class Plant(BaseModel):
    """A row with a column of every kind, and optional ones."""

    height: Annotated[float, Field(ge=0, description="Stem", examples=[12.5])]
    petals: Annotated[int, Field(ge=0)]
    thorns: int | None = None
    scented: bool
    potted: bool | None = None
    bed: Literal["north", "south"] | None = None


class Specimen(Plant):
    kind: Literal["iris", "rose", "tulip"]
    alive: bool
    weight: float
    label: str


def plants(rows: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, rows)
    height = rng.normal(30 + 20 * kind, 9).clip(1).round(1)
    return pd.DataFrame(
        {
            "height": height,
            "petals": rng.poisson(5 + 5 * kind),
            "thorns": np.where(rng.random(rows) < 0.2, np.nan, rng.integers(0, 9, rows)),
            "scented": rng.random(rows) < 0.5,
            "potted": rng.choice([True, False, None], rows),
            "bed": rng.choice(["north", "south", None], rows),
            "kind": np.array(["iris", "rose", "tulip"])[kind],
            "alive": height + rng.normal(0, 15, rows) > 40,
            "weight": 2 * height + rng.normal(0, 9, rows),
            "label": [f"p{i}" for i in range(rows)],
        }
    )


def _problem(target: str) -> Problem:
    def build(*, strength: float = 1.0):
        from sklearn.compose import make_column_transformer
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = Ridge() if target == "weight" else LogisticRegression(C=strength)
        return make_pipeline(make_column_transformer((StandardScaler(), ["height", "petals", "scented"])), model)

    return Problem(
        name="plants",
        row=Plant,
        record=Specimen,
        target=target,
        group="label",
        load=lambda folder: pd.read_csv(folder / "plants.csv"),
        build=build,
    )


kind, alive, weight = _problem("kind"), _problem("alive"), _problem("weight")
THRESHOLDS = {"kind": "accuracy: 0.6, macro_f1: 0.6, log_loss: 2.0", "alive": "accuracy: 0.6, macro_f1: 0.6"}
PARAMS = """
prepare: {{}}
validate: {{}}
train: {{}}
model: {{strength: 1.0}}
evaluate: {{slices: [bed], bootstrap: 100, importance_repeats: 1}}
gate:
  thresholds: {{{thresholds}}}
  champion: {{metric: {metric}}}
"""


def make_workspace(root: Path, target: str = "kind") -> Workspace:
    """Make a workspace with a candidate that was evaluated, and the gate's verdict on it (PROMOTE)."""
    (root / "data").mkdir(parents=True)
    (root / "pyproject.toml").write_text(f'[tool.slipway]\nproblem = "plants:{target}"\n')
    metric = "r2" if target == "weight" else "accuracy"
    thresholds = THRESHOLDS.get(target, "r2: 0.5, rmse: 30.0")
    (root / "params.yaml").write_text(PARAMS.format(thresholds=thresholds, metric=metric))
    plants().to_csv(root / "data" / "plants.csv", index=False)
    workspace = Workspace(root)
    retrain(workspace)
    return workspace


def retrain(workspace: Workspace) -> str:
    """Run the stages but for validation, which is written down as passed; the candidate's digest."""
    prepare(workspace.problem, workspace.params.prepare, workspace.data, workspace.table)
    workspace.validation.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256((workspace.table / "train.parquet").read_bytes()).hexdigest()
    (workspace.validation / "passed.json").write_text(json.dumps({"train": digest}))
    (workspace.validation / "report.json").write_text(json.dumps({"passed": True}))
    bundle = train(workspace.problem, workspace.params, workspace.table, workspace.validation, workspace.bundle)
    evaluate(workspace.problem, workspace.params.evaluate, workspace.bundle, workspace.table, workspace.evaluation)
    write_verdict(workspace, bundle.digest)
    return bundle.digest


def write_verdict(workspace: Workspace, digest: str, answer: str = "PROMOTE") -> None:
    reasons = [Reason("threshold accuracy", "pass", "0.9, at least 0.6")]
    verdict = Verdict(verdict=answer, candidate=digest, champion=None, table="0" * 64, metrics={}, reasons=reasons)
    workspace.verdict.write_bytes(canonical_json(asdict(verdict)))


def client_of(workspace: Workspace):
    """MLflow's client of the workspace's own database."""
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{workspace.root / 'mlflow.db'}")
