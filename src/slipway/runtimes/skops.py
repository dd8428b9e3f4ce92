"""Runs `model.skops`: a fitted scikit-learn estimator, stored without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from threadpoolctl import threadpool_limits

from slipway.contract import Contract
from slipway.errors import SlipwayError
from slipway.runtimes import Array, Output

# Beyond what skops trusts by itself. The list is owned by this code, never read from a model's file.
TRUSTED = [
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
]


class SkopsRuntime:
    """A fitted estimator that is given the contract's columns as a table."""

    def __init__(self, estimator: Any, *, classes: int, threads: int) -> None:
        self._estimator = estimator
        self._classes = classes
        self._threads = threads

    def run(self, arrays: Mapping[str, Array]) -> Output:
        """Predict from the contract's arrays."""
        return predict(self._estimator, arrays, classes=self._classes, threads=self._threads)


def frame(arrays: Mapping[str, Array]) -> pd.DataFrame:
    """Make the table that an estimator is fitted on and predicts from."""
    return pd.DataFrame(dict(arrays))


def predict(estimator: Any, arrays: Mapping[str, Array], *, classes: int, threads: int) -> Output:
    """Predict with a fitted estimator, in the form that every runtime answers."""
    table = frame(arrays)
    with threadpool_limits(limits=threads):
        if classes and hasattr(estimator, "predict_proba"):
            probabilities = np.asarray(estimator.predict_proba(table), dtype=np.float64)
            return Output(probabilities.argmax(axis=1), probabilities)
        values = np.asarray(estimator.predict(table)).reshape(-1)
    return Output(values.astype(np.int64 if classes else np.float64), None)


def load(model: bytes, contract: Contract, *, classes: int, threads: int) -> SkopsRuntime:
    """Load a verified skops file; see `slipway.runtimes.load_runtime`. Raises SlipwayError for a type not trusted."""
    del contract  # the estimator has its columns' names
    unknown = set(skops.io.get_untrusted_types(data=model)) - set(TRUSTED)
    if unknown:
        raise SlipwayError(
            f"model.skops holds types that are not trusted: {', '.join(sorted(unknown))}. If you know them, add them "
            "to TRUSTED in slipway/runtimes/skops.py"
        )
    return SkopsRuntime(skops.io.loads(model, trusted=TRUSTED), classes=classes, threads=threads)
