"""Trees take the same branch in ONNX for every value, above all for those at their thresholds."""

import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier

from slipway.compile.converters import convert
from slipway.compile.trees import _ensemble
from slipway.contract import Column, Contract
from slipway.model.runtimes import skops
from slipway.model.runtimes.onnx import load

CONTRACT = Contract("Row", (Column("a", "number"), Column("b", "number", optional=True)))
ESTIMATORS = [
    DecisionTreeClassifier(random_state=0),
    RandomForestClassifier(5, random_state=0),
    HistGradientBoostingClassifier(max_iter=5),
    HistGradientBoostingRegressor(max_iter=5),
    HistGradientBoostingRegressor(max_iter=5, loss="gamma"),
    GradientBoostingRegressor(n_estimators=5, init="zero"),
    ExtraTreesRegressor(5, random_state=0),
]


def learned(estimator, missing: float):
    rng = np.random.default_rng(0)
    arrays = {"a": rng.normal(size=200) / 3, "b": rng.normal(size=200) / 3}
    truth = 2 + np.sign(arrays["a"]) + (arrays["b"] > 0.1) / 3
    if "Classifier" in type(estimator).__name__:
        truth = np.unique(truth.round(3), return_inverse=True)[1]
    arrays["b"] = np.where(rng.random(200) < missing, np.nan, arrays["b"])
    return estimator.fit(skops.frame(arrays), truth), len(np.unique(truth)) if truth.dtype == np.int64 else 0


def beside(values):
    """The values themselves, and their neighbours in float64 and in float32."""
    single = np.float32(values)
    around = [np.nextafter(single, np.float32(side)).astype(np.float64) for side in (-np.inf, np.inf)]
    halfway = [(single.astype(np.float64) + side) / 2 for side in around]
    return np.concatenate(
        [values, np.nextafter(values, -np.inf), np.nextafter(values, np.inf), single, *around, *halfway]
    )


@pytest.mark.parametrize("missing", [0, 0.2])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_values_at_thresholds_and_missing_values_take_the_same_branch(estimator, missing):
    if missing and isinstance(estimator, GradientBoostingRegressor):
        missing = 0  # it takes none
    model, classes = learned(estimator, missing)
    thresholds = np.unique(np.concatenate([tree.threshold[~tree.leaf] for tree in _ensemble(model).trees]))
    values = beside(thresholds[np.isfinite(thresholds)])
    rng = np.random.default_rng(1)
    arrays = {"a": rng.permutation(np.tile(values, 5)), "b": rng.permutation(np.tile(values, 5))}
    if missing:
        arrays["b"][::10] = np.nan
    expected = skops.predict(model, arrays, classes=classes, threads=1)
    answered = load(convert(model, CONTRACT).SerializeToString(), classes=classes, threads=1).run(arrays)
    if classes:
        np.testing.assert_allclose(answered.probabilities, expected.probabilities, rtol=0, atol=2e-7)
        assert (answered.values == expected.values).all()
    else:
        np.testing.assert_allclose(answered.values, expected.values, rtol=1e-6)
