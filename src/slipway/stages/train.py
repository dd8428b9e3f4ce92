"""Stage 3: fit the project's estimator, compile it, and write the candidate's bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.compile import BOOSTERS, Compiled, compile_estimator
from slipway.contract import Array, Contract, Target, canonical_json, features, target
from slipway.model import reference
from slipway.model.bundle import EXAMPLES, MODELS, REFERENCE, Bundle, write_bundle
from slipway.model.predictor import Predictions, Predictor, label_name
from slipway.model.runtimes import load_runtime
from slipway.problem import Problem, SlipwayError
from slipway.problem.files import PASSED, SOURCE, TRAIN
from slipway.problem.params import Params, check_arguments

if TYPE_CHECKING:
    import pandas as pd

GOLDEN_ROWS = 16
GOLDEN_DIGITS = 9
LIBRARIES = {"onnx": ("onnxruntime", "skl2onnx"), "skops": ("skops",)}


def train(problem: Problem, params: Params, table: Path, validation: Path, out: Path) -> Bundle:
    """Fit on the training rows and write the bundle to `out`.

    Raises SlipwayError if the training rows are not those that passed validation, or if the estimator cannot be
    built, fitted or stored.
    """
    import pandas as pd

    _require_validated(table / TRAIN, validation / PASSED)
    contract, goal = features(problem), target(problem)
    rows = pd.read_parquet(table / TRAIN)
    arrays = contract.arrays(rows)
    estimator = fit(problem, params, arrays, goal.encode(rows[problem.target]))
    compiled = compile_estimator(
        estimator,
        contract,
        arrays,
        goal,
        seed=params.train.seed,
        tolerance=params.train.tolerance,
        allow_onnx=params.train.compile,
    )
    runtime = load_runtime(compiled.runtime, compiled.model, contract, classes=len(goal.classes), threads=1)
    golden = golden_rows(contract, arrays, params.train.seed)
    answers = Predictions(*runtime.run(contract.arrays(golden)), goal.classes).as_json()
    predictions = Predictions(*runtime.run(arrays), goal.classes)
    data = json.loads((table / SOURCE).read_bytes())["data"]
    files = {
        MODELS[compiled.runtime]: compiled.model,
        REFERENCE: canonical_json(_reference(problem, rows, arrays, predictions)),
        EXAMPLES: canonical_json({"rows": golden, "predictions": rounded(answers)}),
    }
    bundle = write_bundle(out, _manifest(problem, params, estimator, compiled, data), files)
    Predictor.load(out)  # raises unless the bundle reproduces its golden rows
    return bundle


def _reference(problem: Problem, rows: pd.DataFrame, arrays: Mapping[str, Array], predictions: Predictions) -> Any:
    """Describe the training rows: their number, and the distributions of features, target and predictions."""
    goal = target(problem)
    column = Contract("Target", (goal.column,))
    return {
        "rows": len(rows),
        "groups": rows.groupby(list(problem.groups), dropna=False).ngroups,
        "features": reference.describe(features(problem), arrays),
        "target": reference.describe(column, column.arrays(rows))[problem.target],
        "predictions": predicted_shares(goal, predictions),
    }


def _manifest(problem: Problem, params: Params, estimator: Any, compiled: Compiled, data: str) -> dict[str, Any]:
    """The manifest's content. data: the digest of the data."""
    goal = target(problem)
    arguments = {"model": dict(sorted(params.model.items())), "train": params.train.model_dump()}
    libraries = ("numpy", "scikit-learn", *LIBRARIES[compiled.runtime], *_distributions(estimator))
    return {
        "name": problem.name,
        "kind": "classification" if goal.classes else "regression",
        "row": features(problem).schema(),
        "target": Contract("Target", (goal.column,)).schema(),
        "classes": list(goal.classes),
        "runtime": compiled.runtime,
        "runtime_reason": compiled.reason,
        "estimator": describe(estimator),
        "versions": {name: version(name) for name in libraries},
        "data": data,
        "params": hashlib.sha256(canonical_json(arguments)).hexdigest(),
    }


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
        if not isinstance(error, (ValueError, TypeError)) and not _library(error):
            raise
        raise SlipwayError(f"the estimator of build() could not be fitted: {error}") from error
    return estimator


def _of_boosters(estimator: Any) -> dict[str, Any]:
    """Give the parameters of what is no estimator of scikit-learn's in it, but of a library that is compiled."""
    every = estimator.get_params()
    return {name: value for name, value in every.items() if _library(every.get(name.rpartition("__")[0], estimator))}


def _library(part: Any) -> str | None:
    name = type(part).__module__.partition(".")[0]
    return name if name in BOOSTERS else None


def _distributions(estimator: Any) -> list[str]:
    """Name the packages of such libraries (XGBoost has two), for their versions."""
    parts = [estimator, *(estimator.get_params().values() if hasattr(estimator, "get_params") else ())]
    found = {library for part in parts if (library := _library(part))}
    return sorted(name for library in found for name in set(packages_distributions()[library]))


def _is_seed(name: str) -> bool:
    return name.rsplit("__", 1)[-1] == "random_state"


def _require_validated(train_table: Path, passed: Path) -> None:
    for path in (train_table, passed):
        if not path.exists():
            raise SlipwayError(f"{path}: missing; an earlier stage writes it: slipway run")
    if json.loads(passed.read_bytes())["train"] != hashlib.sha256(train_table.read_bytes()).hexdigest():
        raise SlipwayError(f"{train_table} is not the table that passed validation; run `slipway validate` again")


def describe(estimator: Any) -> str:
    """Name the estimator; of a pipeline, the last step."""
    steps = getattr(estimator, "steps", None)
    return describe(steps[-1][1]) if steps else type(estimator).__name__


def golden_rows(contract: Contract, arrays: Mapping[str, Array], seed: int) -> list[dict[str, Any]]:
    """Make the golden rows: the contract's example, and rows recombined from the training columns.

    Each column is drawn independently, so that the bundle publishes no training row.
    """
    rng = np.random.default_rng(seed)
    drawn = {name: rng.choice(values, GOLDEN_ROWS - 1) for name, values in arrays.items()}
    return [contract.example, *contract.rows(drawn)]


def rounded(answers: Any) -> Any:
    """Round the numbers in answers to digits that are equal on every processor, within the golden rows' tolerance."""
    if isinstance(answers, list):
        return [rounded(answer) for answer in answers]
    if isinstance(answers, dict):
        return {name: rounded(answer) for name, answer in answers.items()}
    return float(f"{answers:.{GOLDEN_DIGITS}g}") if isinstance(answers, float) else answers


def predicted_shares(goal: Target, predicted: Predictions) -> dict[str, Any]:
    """Describe the predictions of the training rows: shares of the classes and of confidence, or of the values."""
    if not goal.classes:
        bins = reference.Bins.of(goal.column, predicted.values)
        return {"value": reference.described(bins, predicted.values)}
    counts = np.bincount(predicted.values, minlength=len(goal.classes))
    labels = [label_name(label) for label in goal.classes]
    found: dict[str, Any] = {"labels": dict(zip(labels, reference.shares(counts), strict=True))}
    if predicted.probabilities is not None:
        bins = reference.Bins.between("confidence", reference.CONFIDENCE_EDGES)
        found["confidence"] = reference.described(bins, predicted.probabilities.max(axis=1))
    return found
