"""The candidate at hand, as the gate tests it: loaded from build/bundle through the predictor."""

from pathlib import Path

import pandas as pd
import pytest

from slipway.model.predictor import Predictor
from slipway.problem.files import TEST
from slipway.workspace import Workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def workspace() -> Workspace:
    return Workspace(ROOT)


@pytest.fixture(scope="session")
def model(workspace: Workspace) -> Predictor:
    return Predictor.load(workspace.bundle)


@pytest.fixture(scope="session")
def test(workspace: Workspace) -> pd.DataFrame:
    """The test set, with the target."""
    return pd.read_parquet(workspace.table / TEST)


@pytest.fixture(scope="session")
def threshold(workspace: Workspace) -> float:
    """The threshold in `params.yaml` for what `score` gives: accuracy, or R2 in a regression."""
    name, thresholds = "accuracy" if workspace.target.classes else "r2", workspace.params.gate.thresholds
    if name not in thresholds:
        pytest.fail(f"params.yaml: gate.thresholds has no {name}, which test_score.py compares with")
    return thresholds[name]
