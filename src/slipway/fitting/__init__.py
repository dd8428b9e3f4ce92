"""Fits the project's estimator, reproducibly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from slipway.contract import Array
from slipway.problem import Problem, SlipwayError
from slipway.problem.params import Params, check_arguments

BOOSTERS = ("lightgbm", "xgboost")  # libraries whose trees are compiled; a module of that name in `compile` reads them


def fit(problem: Problem, params: Params, arrays: Mapping[str, Array], truth: Array) -> Any:
    """Build and fit the estimator, reproducibly: seeded, and with a fixed number of threads."""
    from threadpoolctl import threadpool_limits

    from slipway.model.runtimes.skops import frame

    check_arguments(problem.build, params.model)
    estimator = problem.build(**params.model)
    if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
        raise SlipwayError(f"build() returned a {type(estimator).__name__}, which has no fit() and predict()")
    np.random.seed(params.train.seed)
    if hasattr(estimator, "get_params"):
        unset = [name for name, value in estimator.get_params().items() if _is_seed(name) and value is None]
        estimator.set_params(**dict.fromkeys(unset, params.train.seed))
        # Those that scikit-learn's limit does not reach; the digits that they add up depend on the number, too.
        unset = [name for name, value in _of_boosters(estimator).items() if name.endswith("n_jobs") and value is None]
        estimator.set_params(**dict.fromkeys(unset, params.train.threads))
    try:
        with threadpool_limits(limits=params.train.threads):
            estimator.fit(frame(arrays), truth)
    except Exception as error:
        if not isinstance(error, (ValueError, TypeError)) and not library(error):
            raise
        raise SlipwayError(f"the estimator of build() could not be fitted: {error}") from error
    return estimator


def _of_boosters(estimator: Any) -> dict[str, Any]:
    """Give the parameters of what is no estimator of scikit-learn's in it, but of a library that is compiled."""
    every = estimator.get_params()
    return {name: value for name, value in every.items() if library(every.get(name.rpartition("__")[0], estimator))}


def library(part: Any) -> str | None:
    """Name the library beside scikit-learn that an estimator is of, if it is one whose trees are compiled."""
    name = type(part).__module__.partition(".")[0]
    return name if name in BOOSTERS else None


def _is_seed(name: str) -> bool:
    return name.rsplit("__", 1)[-1] == "random_state"
