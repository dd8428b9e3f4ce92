"""Runs `model.skops`: a fitted scikit-learn estimator, stored without pickle."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from threadpoolctl import threadpool_limits

from slipway.contract import Array
from slipway.model.runtimes import Output
from slipway.problem import SlipwayError

SCHEMA = "schema.json"

# Types in scikit-learn's usual estimators that skops does not trust by default. The list is fixed here, never read from
# a model file. All are data types or pure functions, so none runs code from a file. A forged Tree, TreePredictor,
# KDTree, BallTree or BSpline could crash a server, as their libraries do not check its indices, and so could a forged
# Booster or CatBoost model, whose state is in its library's own format; the bundle's digests prevent it.
TRUSTED = [
    f"{module}.{name}"
    for module, names in {
        "catboost.core": "CatBoostClassifier CatBoostRegressor",
        "collections": "OrderedDict",
        "functools": "partial",
        "lightgbm.basic": "Booster",
        "lightgbm.sklearn": "LGBMClassifier LGBMRegressor",
        "numpy": "dtype",
        "scipy._lib.array_api_compat.numpy._aliases": "asarray",
        "scipy.interpolate._bsplines": "BSpline",
        "scipy.sparse._csr": "csr_array csr_matrix",
        "scipy.sparse._dia": "dia_array dia_matrix",
        "sklearn._loss.link": "HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit",
        "sklearn._loss.loss": "AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss HalfMultinomialLoss "
        "HalfPoissonLoss HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity HuberLoss PinballLoss",
        "sklearn.calibration": "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling",
        "sklearn.compose._column_transformer": "make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.binning": "_BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
        "sklearn.feature_selection._mutual_info": "mutual_info_classif mutual_info_regression",
        "sklearn.feature_selection._univariate_selection": "chi2 f_classif f_regression",
        "sklearn.gaussian_process._gpc": "_BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels": "ConstantKernel DotProduct ExpSineSquared Exponentiation Matern Product "
        "RBF RationalQuadratic Sum WhiteKernel",
        "sklearn.impute._iterative": "IterativeImputer _ImputerTriplet",
        "sklearn.metrics._dist_metrics": "EuclideanDistance64 ManhattanDistance64 MinkowskiDistance64",
        "sklearn.metrics._scorer": "_PassthroughScorer",
        "sklearn.model_selection._split": "KFold StratifiedKFold",
        "sklearn.multiclass": "_ConstantPredictor",
        "sklearn.neighbors._ball_tree": "BallTree",
        "sklearn.neighbors._kd_tree": "KDTree",
        "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
        "sklearn.tree._tree": "Tree",
        "sklearn.utils._bunch": "Bunch",
        "sklearn.utils.validation": "check_array",
        "xgboost.core": "Booster",
        "xgboost.sklearn": "XGBClassifier XGBRegressor XGBRFClassifier XGBRFRegressor",
    }.items()
    for name in names.split()
]


class SkopsRuntime:
    """A fitted estimator, called with the contract's columns as a table."""

    def __init__(self, estimator: Any, *, classes: int, threads: int) -> None:
        self._predict = partial(predict, estimator, classes=classes, threads=threads)

    def run(self, arrays: Mapping[str, Array]) -> Output:
        """Predict from the contract's arrays."""
        return self._predict(arrays)

    def stop(self) -> None:
        """Do nothing: scikit-learn cannot be stopped."""


def frame(arrays: Mapping[str, Array]) -> pd.DataFrame:
    """Make the table that an estimator is fitted on and predicts from."""
    return pd.DataFrame(dict(arrays))


def predict(estimator: Any, arrays: Mapping[str, Array], *, classes: int, threads: int) -> Output:
    """Predict with a fitted estimator, with the output of a runtime."""
    table = frame(arrays)
    with threadpool_limits(limits=threads):
        if classes and hasattr(estimator, "predict_proba"):
            probabilities = np.asarray(estimator.predict_proba(table), dtype=np.float64)
            return Output(probabilities.argmax(axis=1), probabilities)
        values = np.asarray(estimator.predict(table)).reshape(-1)
    return Output(values.astype(np.int64 if classes else np.float64), None)


def store(estimator: Any) -> bytes:
    """Serialize a fitted estimator to a skops file, reproducibly: the same bytes for the same estimator.

    skops names members by memory address and adds times. Here they are named by their digest and have no times, and
    sets are sorted. Raises skops' own errors for an estimator that it cannot serialize.
    """
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop(SCHEMA))
    names = {name: hashlib.sha256(content).hexdigest() + PurePath(name).suffix for name, content in members.items()}
    stored = {names[name]: content for name, content in members.items()}
    stored[SCHEMA] = json.dumps(_canonical(schema, names), separators=(",", ":")).encode()
    canonical = io.BytesIO()
    with zipfile.ZipFile(canonical, "w") as archive:
        for name in sorted(stored):
            archive.writestr(zipfile.ZipInfo(name), stored[name])  # dated 1980
    return canonical.getvalue()


def _canonical(state: Any, names: Mapping[str, str]) -> Any:
    if isinstance(state, list):
        return [_canonical(item, names) for item in state]
    if not isinstance(state, dict):
        return state
    state = {key: _canonical(value, names) for key, value in state.items()}
    if isinstance(state.get("__loader__"), str):  # a node of skops, not a dict of the estimator's
        state.pop("__id__", None)
        if "file" in state:
            state["file"] = names[state["file"]]
        if state["__loader__"] == "SetNode":
            state["content"].sort(key=json.dumps)
    return state


def load(model: bytes, *, classes: int, threads: int) -> SkopsRuntime:
    """Load a verified skops file; see `load_runtime`. Raises SlipwayError for a type not trusted or not installed."""
    if unknown := set(skops.io.get_untrusted_types(data=model)) - set(TRUSTED):
        raise SlipwayError(
            f"model.skops holds types that are not trusted: {', '.join(sorted(unknown))}. If you know them, add them "
            "to TRUSTED in src/slipway/model/runtimes/skops.py"
        )
    try:
        estimator = skops.io.loads(model, trusted=TRUSTED)
    except ModuleNotFoundError as error:
        raise SlipwayError(
            f"model.skops is an estimator of {error.name}, which is not installed: name it in pyproject.toml, in the "
            "extra `model`, then make lock and make setup"
        ) from None
    return SkopsRuntime(estimator, classes=classes, threads=threads)
