"""LightGBM's and XGBoost's trees answer in ONNX as in their library, above all at thresholds and for missing values."""

import re
import sys

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from slipway.compile import compile_estimator
from slipway.compile.converters import convert
from slipway.contract import Column, Contract, Target
from slipway.model.runtimes import load_runtime, skops
from slipway.problem import SlipwayError
from slipway.problem.params import Train

CONTRACT = Contract("Row", (Column("a", "number"), Column("b", "number", optional=True), Column("c", "number")))
ROWS = 10_000
QUIET = {"n_jobs": 1, "random_state": 0}


def lgbm(kind, **settings):
    return getattr(lightgbm, f"LGBM{kind}")(**{"n_estimators": 20, "verbose": -1} | QUIET | settings)


def xgb(kind, **settings):
    return getattr(xgboost, f"XGB{kind}")(**{"n_estimators": 20} | QUIET | settings)


def learned(estimator, classes=0, shift=0.0, missing=0.2):
    """Fit on numbers around zero, the second of which is missing in some rows; the target has `classes`, if any."""
    rng = np.random.default_rng(0)
    size = 400
    arrays = {"a": rng.normal(size=size) / 3, "b": rng.normal(size=size) / 3, "c": rng.integers(-2, 3, size) / 1.0}
    score = 3 + np.sign(arrays["a"]) + (arrays["b"] > 0.1) / 3 + (arrays["c"] >= 0) / 2 + rng.random(size) / 4
    arrays["b"] = np.where(rng.random(size) < missing, np.nan, arrays["b"])
    truth = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)) if classes else score + shift
    return estimator.fit(skops.frame(arrays), truth), arrays


def thresholds(estimator):
    """Give them as the library itself tells them."""
    if isinstance(estimator, lightgbm.LGBMModel):
        table = estimator.booster_.trees_to_dataframe()
        return table["threshold"].dropna().to_numpy(np.float64)
    return estimator.get_booster().trees_to_dataframe()["Split"].dropna().to_numpy(np.float64)


def around(values):
    """The values, and their neighbours in float64 and in float32, from below and from above."""
    single = np.float32(values)
    sides = (-np.inf, np.inf)
    double = [np.nextafter(values, side) for side in sides]
    narrow = [np.nextafter(single, np.float32(side)).astype(np.float64) for side in sides]
    halfway = [(single.astype(np.float64) + side) / 2 for side in narrow]
    return np.concatenate([values, *double, single, *narrow, *halfway, *(np.nextafter(item, 0) for item in narrow)])


def answers(estimator, classes):
    """What the library and what ONNX Runtime answer for rows at every threshold."""
    zeros = np.array([0.0, -0.0, 1e-300, -1e-300, 1e-36, -1e-36])
    found = np.unique(np.concatenate([around(np.unique(thresholds(estimator))), around(np.float32(zeros)), zeros]))
    rng = np.random.default_rng(1)
    arrays = {name: rng.permutation(np.resize(found, ROWS)) for name in CONTRACT.names}
    arrays["b"][rng.random(ROWS) < 0.2] = np.nan
    expected = skops.predict(estimator, arrays, classes=classes, threads=1)
    model = convert(estimator, CONTRACT).SerializeToString()
    return expected, load_runtime("onnx", model, classes=classes, threads=1).run(arrays)


@pytest.mark.parametrize("missing", [0.0, 0.2])  # while it learned
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("make", [lgbm, xgb])
def test_classes_at_thresholds_and_where_values_are_missing_are_the_librarys(make, classes, missing):
    expected, answered = answers(learned(make("Classifier"), classes, missing=missing)[0], classes)
    np.testing.assert_allclose(answered.probabilities, expected.probabilities, rtol=0, atol=1e-6)
    assert len(np.unique(expected.probabilities)) > 50


LOSSES = [
    lgbm("Regressor"),
    lgbm("Regressor", boosting_type="rf", subsample=0.5, subsample_freq=1),
    *(lgbm("Regressor", objective=loss) for loss in ("l1", "quantile", "poisson", "gamma", "tweedie")),
    xgb("Regressor"),
    xgb("RFRegressor"),
    *(xgb("Regressor", objective=loss) for loss in ("reg:absoluteerror", "count:poisson", "reg:gamma", "reg:tweedie")),
]


@pytest.mark.parametrize("estimator", LOSSES, ids=lambda item: f"{type(item).__name__} {item.objective}")
def test_numbers_at_thresholds_and_where_values_are_missing_are_the_librarys(estimator):
    expected, answered = answers(learned(estimator)[0], 0)
    np.testing.assert_allclose(answered.values, expected.values, rtol=1e-6)
    assert len(np.unique(expected.values)) > 10


@pytest.mark.parametrize("make", [lgbm, xgb])
def test_numbers_far_from_zero_lose_no_digits(make):
    estimator, arrays = learned(make("Regressor"), shift=10_000.0)
    goal = Target(Column("price", "number"), ())
    assert compile_estimator(estimator, CONTRACT, arrays, goal, Train()).runtime == "onnx"


@pytest.mark.parametrize("make", [lgbm, xgb])
@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_sparse_rows_compile_though_xgboost_takes_their_zeros_for_missing(case, value, make, kind):
    part = case if kind == "Classifier" else value
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["colour", "bed"]),
        ("passthrough", ["height", "scented", "weight"]),
        sparse_threshold=1.0,
    )
    estimator = part.fit(make_pipeline(columns, make_pipeline(make(kind))))
    result = compile_estimator(estimator, part.contract, part.arrays, part.kinds, Train())
    assert result.runtime == "onnx", result.reason


REFUSED = {
    "objective multiclassova": lgbm("Classifier", objective="multiclassova", num_class=3),
    "objective of your own": lgbm("Regressor", objective=lambda truth, predicted: (predicted - truth, truth * 0 + 1)),
    "objective regression sqrt": lgbm("Regressor", reg_sqrt=True),
    "linear_tree": lgbm("Regressor", linear_tree=True),
    "zero_as_missing": lgbm("Regressor", zero_as_missing=True),
    "pred_early_stop": lgbm("Classifier", pred_early_stop=True),
    "LightGBM's splits by category": lgbm("Regressor", categorical_feature=[2], min_data_per_group=1, cat_smooth=0),
    "booster dart": xgb("Regressor", booster="dart"),
    "booster gblinear": xgb("Regressor", booster="gblinear"),
    "missing=-2": xgb("Regressor", missing=-2.0),
    "objective reg:quantileerror": xgb("Regressor", objective="reg:quantileerror", quantile_alpha=0.5),
    "multi_output_tree": xgb("Classifier", multi_strategy="multi_output_tree", tree_method="hist"),
    "XGBoost's splits by category": xgb("Regressor", feature_types=["q", "q", "c"], enable_categorical=True),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_compiled_is_named_by_its_option(reason):
    estimator = REFUSED[reason]
    if reason == "XGBoost's splits by category":
        rows = np.random.default_rng(0).integers(0, 4, (200, 3)) / 1.0
        estimator.fit(rows, (rows[:, 2] % 2) + rows[:, 0])
    else:
        learned(estimator, 3 if hasattr(estimator, "predict_proba") else 0)
    with pytest.raises(NotImplementedError, match=reason):
        convert(estimator, CONTRACT)


KEPT = {
    "objective multiclassova": 3,
    "objective regression sqrt": 0,
    "objective reg:quantileerror": 0,
    "booster gblinear": 0,
}


@pytest.mark.parametrize("reason", KEPT)
def test_what_cannot_be_compiled_is_kept_without_pickle_and_answers_as_its_library_does(reason):
    classes = KEPT[reason]
    estimator, arrays = learned(REFUSED[reason], classes)
    kind = {"kind": "category", "categories": tuple("abc")} if classes else {"kind": "number"}
    goal = Target.of(Column("goal", **kind))
    kept, again = (compile_estimator(estimator, CONTRACT, arrays, goal, Train()) for _ in range(2))
    assert kept.runtime == "skops"
    assert re.match(f"not compiled to ONNX: (LightGBM|XGBoost)'s {reason}.*; the largest difference", kept.reason)
    assert kept.model == again.model
    served = skops.load(kept.model, classes=classes, threads=1).run(arrays)
    own = estimator.predict_proba(skops.frame(arrays)) if classes else estimator.predict(skops.frame(arrays))
    assert np.array_equal(served.probabilities if classes else served.values, own)


def test_an_objective_of_ones_own_can_be_kept_in_neither_way_and_both_reasons_are_told():
    estimator, arrays = learned(REFUSED["objective of your own"])
    with pytest.raises(SlipwayError, match=r"LightGBM's objective of your own\nIt cannot be stored with skops either"):
        compile_estimator(estimator, CONTRACT, arrays, Target.of(Column("y", "number")), Train())


def test_a_server_without_the_estimators_library_says_how_it_gets_it(monkeypatch):
    model = skops.store(learned(lgbm("Classifier"), 2)[0])
    monkeypatch.setitem(sys.modules, "lightgbm.sklearn", None)
    with pytest.raises(SlipwayError, match=r"estimator of lightgbm\S*, which is not installed: name it in pyproject"):
        skops.load(model, classes=2, threads=1)
