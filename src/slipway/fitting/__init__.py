"""Fits the project's estimator, reproducibly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.contract import Array, record
from slipway.problem import Problem, SlipwayError
from slipway.problem.files import ROW
from slipway.problem.params import Params, check_arguments

if TYPE_CHECKING:
    import pandas as pd

    from slipway.model.runtimes import Output

# Libraries whose trees are compiled; a module of that name in `compile` reads them.
BOOSTERS = ("catboost", "lightgbm", "xgboost")


def fit(
    problem: Problem, params: Params, arrays: Mapping[str, Array], truth: Array, weights: Array | None = None
) -> Any:
    """Build and fit the estimator, reproducibly: seeded, and with a fixed number of threads.

    weights: of the rows, see `weights_of`.
    """
    from threadpoolctl import threadpool_limits

    from slipway.model.runtimes.skops import frame

    check_arguments(problem.build, params.model)
    estimator = problem.build(**params.model)
    if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
        raise SlipwayError(f"build() returned a {type(estimator).__name__}, which has no fit() and predict()")
    np.random.seed(params.train.seed)
    if hasattr(estimator, "get_params"):
        parameters = estimator.get_params().items()
        unset = [name for name, value in parameters if name.rpartition("__")[2] == "random_state" and value is None]
        estimator.set_params(**dict.fromkeys(unset, params.train.seed))
        # Those that scikit-learn's limit does not reach; the digits that they add up depend on the number, too.
        unset = [name for name, value in _of_boosters(estimator).items() if name.endswith("n_jobs") and value is None]
        estimator.set_params(**dict.fromkeys(unset, params.train.threads))
    weighted = {} if weights is None else {_weight_argument(estimator): weights}
    try:
        with threadpool_limits(limits=params.train.threads):
            estimator.fit(frame(arrays), truth, **weighted)
    except Exception as error:
        if not isinstance(error, (ValueError, TypeError)) and not library(error):
            raise
        raise SlipwayError(f"the estimator of build() could not be fitted: {error}") from error
    return estimator


def held_out(
    problem: Problem,
    params: Params,
    arrays: Mapping[str, Array],
    truth: Array,
    weights: Array | None,
    *,
    before: Array,
    inside: Array,
    classes: int,
) -> Output:
    """Fit the estimator on some of the rows, and predict others. weights: of the rows that are fitted on.

    before, inside: which rows are fitted on, and which are predicted; a mask or numbers of rows. classes: their number.
    """
    from slipway.model.runtimes import skops

    estimator = fit(problem, params, _chosen(arrays, before), truth[before], weights)
    return skops.predict(estimator, _chosen(arrays, inside), classes=classes, threads=params.train.threads)


def _chosen(arrays: Mapping[str, Array], where: Array) -> dict[str, Array]:
    return {name: values[where] for name, values in arrays.items()}


def weights_of(problem: Problem, rows: pd.DataFrame) -> Array | None:
    """Give the rows' weights, shape (rows,), if the problem declares some. Raises SlipwayError naming a wrong one."""
    if problem.weight is None:
        return None
    column = record(problem)[problem.weight]
    if column.kind not in ("number", "integer"):
        raise SlipwayError(f"the weight {column.name!r} is declared as {column.kind}; it must be a number")
    weights = column.array(rows[column.name])
    if (wrong := np.flatnonzero(~(weights >= 0) | np.isinf(weights))).size:
        first = f"row {rows[ROW].iloc[wrong[0]]}: {weights[wrong[0]]:g}"
        raise SlipwayError(f"{column.name}: {len(wrong):,} rows have no weight of at least 0; {first}")
    if not weights.any():
        raise SlipwayError(f"{column.name}: every weight is 0")
    return weights


def _weight_argument(estimator: Any) -> str:
    """Name the argument of fit() that takes the weights; of a pipeline, that of its last step."""
    steps = getattr(estimator, "steps", None)
    return f"{steps[-1][0]}__{_weight_argument(steps[-1][1])}" if steps else "sample_weight"


def _of_boosters(estimator: Any) -> dict[str, Any]:
    """Give the parameters of the estimators in it that are of another library that is compiled."""
    every = estimator.get_params()
    return {name: value for name, value in every.items() if library(every.get(name.rpartition("__")[0], estimator))}


def classes_of(estimator: Any) -> Array:
    """Give the classes that a fitted classifier knows; of a regressor none, shape (0,)."""
    return np.asarray(getattr(estimator, "classes_", ()))


def library(part: Any) -> str | None:
    """Name the library beside scikit-learn that an estimator is of, if it is one whose trees are compiled."""
    name = type(part).__module__.partition(".")[0]
    return name if name in BOOSTERS else None
