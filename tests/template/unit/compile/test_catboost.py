"""CatBoost's trees answer in ONNX as in CatBoost, at every border and for missing values.

catboost.json holds small models as CatBoost 1.2.10 saved them, and what it answered: its package takes 277 MB, so that
it is not installed for tests.
"""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from slipway.compile.converters import convert
from slipway.contract import Column, Contract
from slipway.model.runtimes import load_runtime

CASES = {case["name"]: case for case in json.loads(Path(__file__).with_name("catboost.json").read_text())}
CONTRACT = Contract("Row", (Column("a", "number"), Column("b", "number", optional=True), Column("c", "number")))


class Saved:
    """What the conversion asks of a fitted estimator."""

    n_features_in_ = 3

    def __init__(self, case):
        self.case = case
        self.classes_ = np.arange(case["classes"])  # empty of a regressor, as CatBoost has it

    def get_all_params(self):
        return {"loss_function": self.case["loss"]}

    def save_model(self, path, format):
        Path(path).write_text(json.dumps(self.case["model"]) if format == "json" else "")

    def get_params(self, deep=True):
        return {}


class CatBoostRegressor(Saved):
    pass


class CatBoostClassifier(Saved):
    def predict_proba(self, rows):
        raise NotImplementedError


@pytest.fixture
def saved(monkeypatch):
    library = ModuleType("catboost")
    library.CatBoostClassifier, library.CatBoostRegressor = CatBoostClassifier, CatBoostRegressor
    monkeypatch.setitem(sys.modules, "catboost", library)
    return lambda case: getattr(library, case["class"])(case)


@pytest.mark.parametrize("name", CASES)
def test_answers_are_catboosts(name, saved):
    case = CASES[name]
    model = convert(saved(case), CONTRACT).SerializeToString()
    rows = np.array(case["rows"], dtype=np.float64)
    answer = load_runtime("onnx", model, classes=case["classes"], threads=1).run(
        dict(zip("abc", np.ascontiguousarray(rows.T), strict=True))
    )
    given = answer.probabilities if case["classes"] else answer.values
    np.testing.assert_allclose(given, np.array(case["answers"]), rtol=0, atol=1e-6)
    assert len(np.unique(given)) > 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": "MultiClassOneVsAll"}, "CatBoost's loss_function MultiClassOneVsAll"),
        (
            {"model": {"features_info": {"float_features": [], "categorical_features": []}}},
            "CatBoost's features",
        ),
    ],
)
def test_what_is_not_compiled_is_named(change, said, saved):
    with pytest.raises(NotImplementedError, match=said):
        convert(saved({**CASES["two classes"], **change}), CONTRACT)
