"""Other problems through the same pipeline: a fork changes the declaration, and nothing else."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from flowers import Colour, Petals, flower_problem, flowers
from slipway.gate import judge
from slipway.model.predictor import Predictor
from slipway.stages.evaluate import evaluate
from slipway.stages.prepare import prepare
from slipway.stages.train import train
from slipway.stages.validate import validate
from slipway.workspace import Workspace

PARAMS = """
prepare: {{}}
model: {{}}
train: {{}}
validate: {{max_missing: 0.4}}
evaluate: {{slices: [colour], bootstrap: 200}}
gate:
  thresholds: {{{metric}: {threshold}}}
  champion: {{metric: {metric}, margin: 0.05}}
  behaviour: false
"""


class Sized(BaseModel):
    """What is known of a flower before its height is measured."""

    colour: Colour
    petals: Petals
    scented: bool


class Measured(Sized):
    """A flower whose height was measured."""

    height: float
    plant: str


class Unscented(BaseModel):
    """What is seen of a flower."""

    colour: Colour
    petals: Petals
    height: float


class Smelled(Unscented):
    """A flower that somebody smelled."""

    scented: bool
    plant: str


def columns():
    return make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )


def smelled(folder: Path) -> pd.DataFrame:
    table = flowers(400)
    return table.assign(scented=table["height"] + np.random.default_rng(0).normal(0, 5, 400) > 55).drop(
        columns=["kind", "bed", "weight"]
    )


def measured(folder: Path) -> pd.DataFrame:
    table = flowers(400)
    noise = np.random.default_rng(0).normal(0, 3, 400)
    return table.assign(height=20 + 2 * table["petals"] + noise).drop(columns=["kind", "bed", "weight"])


REGRESSION = {"row": Sized, "record": Measured, "target": "height", "load": measured}
BOOLEAN = {"row": Unscented, "record": Smelled, "target": "scented", "load": smelled}


def logistic():
    return make_pipeline(columns(), LogisticRegression())


def ridge():
    return make_pipeline(columns(), Ridge())


def boosted():
    return make_pipeline(columns(), HistGradientBoostingRegressor())


def not_in_onnx():
    return make_pipeline(columns(), FunctionTransformer(np.tanh), Ridge())


PROBLEMS = {
    "two classes, every kind of column": ({"load": lambda folder: flowers(400)}, "accuracy", 0.8, "onnx"),
    "a boolean target": ({**BOOLEAN, "build": logistic}, "accuracy", 0.8, "onnx"),
    "a regression": ({**REGRESSION, "build": ridge}, "r2", 0.7, "onnx"),
    "a regression with boosted trees": ({**REGRESSION, "build": boosted}, "rmse", 6.0, "onnx"),
    "a model that ONNX does not have": ({**REGRESSION, "build": not_in_onnx}, "mae", 20.0, "skops"),
}


@pytest.fixture(params=PROBLEMS)
def ran(request, tmp_path: Path):
    """A workspace in which another problem's pipeline was run, with its verdict and the runtime that is expected."""
    changes, metric, threshold, runtime = PROBLEMS[request.param]
    workspace = Workspace(tmp_path)
    workspace.__dict__["problem"] = flower_problem(**changes)
    (tmp_path / "params.yaml").write_text(PARAMS.format(metric=metric, threshold=threshold))
    workspace.data.mkdir()
    (workspace.data / "flowers.csv").write_text("made in memory")
    prepare(workspace.problem, workspace.params.prepare, workspace.data, workspace.table)
    report = validate(workspace.problem, workspace.params.validate_, workspace.table, workspace.validation)
    assert report.failures == []
    train(workspace.problem, workspace.params, workspace.table, workspace.validation, workspace.bundle)
    evaluate(workspace.problem, workspace.params.evaluate, workspace.bundle, workspace.table, workspace.evaluation)
    return workspace, judge(workspace), runtime


def test_it_goes_all_the_way_to_a_verdict(ran):
    workspace, verdict, runtime = ran
    assert verdict.verdict == "PROMOTE", verdict.reasons
    predictor = Predictor.load(workspace.bundle)
    assert predictor.bundle.manifest.runtime == runtime, predictor.bundle.manifest.runtime_reason
    test = pd.read_parquet(workspace.table / "test.parquet")
    score = predictor.score(test, test[workspace.problem.target])
    headline = "accuracy" if predictor.classes else "r2"
    metrics = json.loads((workspace.evaluation / "metrics.json").read_bytes())
    assert score == pytest.approx(metrics[headline]["value"])
    answer = predictor.predict([predictor.contract.example]).as_json()[0]
    assert set(answer) == ({"label", "probabilities"} if predictor.classes else {"value"})
    for picture in ("importance.svg", "slices.svg", "confusion.svg" if predictor.classes else "predicted.svg"):
        assert (workspace.evaluation / picture).read_bytes().startswith(b"<?xml")
