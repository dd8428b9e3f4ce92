"""Stage 3: fit the project's estimator, compile it, and write the candidate's bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slipway.compile import Compiled, compile_estimator
from slipway.contract import Array, Contract, Target, canonical_json, features, target
from slipway.fitting import fit, library, threshold, weights_of
from slipway.model import reference
from slipway.model.bundle import EXAMPLES, FEATURES, MODELS, REFERENCE, Bundle, write_bundle
from slipway.model.derived import derive
from slipway.model.predictor import Predictions, Predictor, decide, label_name
from slipway.model.runtimes import load_runtime
from slipway.problem import Problem, SlipwayError
from slipway.problem.files import PASSED, SOURCE, TRAIN
from slipway.problem.params import Params

GOLDEN_ROWS = 16
GOLDEN_DIGITS = 9
LIBRARIES = {"onnx": ("onnxruntime", "skl2onnx"), "skops": ("skops",)}


def train(problem: Problem, params: Params, table: Path, validation: Path, out: Path) -> Bundle:
    """Fit on the training rows and write the bundle to `out`.

    Raises SlipwayError if the training rows are not those that passed validation, or if the estimator cannot be
    built, fitted or stored.
    """
    require_validated(table / TRAIN, validation / PASSED)
    contract, goal = features(problem), target(problem)
    rows = pd.read_parquet(table / TRAIN)
    arrays = contract.arrays(rows)
    derived = derive(problem, arrays)
    seen = derived(arrays) if derived else arrays
    estimator = fit(problem, params, seen, goal.encode(rows[problem.target]), weights_of(problem, rows))
    compiled = compile_estimator(estimator, contract, arrays, goal, params.train, derived)
    decision, curve = threshold.choose(problem, params, goal, seen, rows)
    runtime = load_runtime(compiled.runtime, compiled.model, classes=len(goal.classes), threads=1)
    golden = golden_rows(contract, arrays, params.train.seed)
    golden_arrays = contract.arrays(golden)
    output = runtime.run(derived(golden_arrays) if derived else golden_arrays)
    answers = decide(output, goal.classes, decision).as_json()
    described = _reference(problem, rows, arrays, decide(runtime.run(seen), goal.classes, decision))
    files = {
        MODELS[compiled.runtime]: compiled.model,
        REFERENCE: canonical_json(described | ({"decision": curve} if decision else {})),
        EXAMPLES: canonical_json({"rows": golden, "predictions": rounded(answers)}),
    }
    options = json.loads((table / SOURCE).read_bytes())
    if decision:
        options["decision"] = decision.model_dump(exclude_none=True)
    if derived:
        options["features"] = {"function": derived.function, "columns": dict(derived.columns)}
        files[FEATURES] = derived.source
    bundle = write_bundle(out, _manifest(problem, params, estimator, compiled, options), files)
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


def _manifest(problem: Problem, params: Params, estimator: Any, compiled: Compiled, options: Any) -> dict[str, Any]:
    """The manifest's content. options: the digest of the data, a split by time, a decision threshold."""
    goal = target(problem)
    arguments = {"model": dict(sorted(params.model.items())), "train": params.train.model_dump(exclude_none=True)}
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
        **options,
        "params": hashlib.sha256(canonical_json(arguments)).hexdigest(),
    }


def _distributions(estimator: Any) -> list[str]:
    """Name the packages of such libraries (XGBoost has two), for their versions."""
    parts = [estimator, *(estimator.get_params().values() if hasattr(estimator, "get_params") else ())]
    found = {name for part in parts if (name := library(part))}
    return sorted(package for name in found for package in set(packages_distributions()[name]))


def require_validated(train_table: Path, passed: Path) -> None:
    """Raise SlipwayError unless these training rows passed validation."""
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
    return json.loads(json.dumps(answers), parse_float=lambda number: float(f"{float(number):.{GOLDEN_DIGITS}g}"))


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
