"""From a fitted estimator to the bundle's model file: ONNX if that answers the same, else skops, with the reason."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from slipway.compile.parity import Arrays, DisagreementError, Probe, largest_difference, probe
from slipway.contract import Contract, Target
from slipway.fitting import classes_of
from slipway.model.derived import Derived
from slipway.model.runtimes import load_runtime, skops
from slipway.problem import SlipwayError
from slipway.problem.params import Train

LEAST_EXPONENT = -9  # a smaller difference is none worth telling
ONNX_RUNTIME_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


@dataclass(frozen=True)
class Compiled:
    """A model file and the runtime it is for. `reason` says how well it agrees, or why it is not ONNX."""

    runtime: Literal["onnx", "skops"]
    reason: str
    model: bytes


def compile_estimator(
    estimator: Any, contract: Contract, arrays: Arrays, target: Target, params: Train, derived: Derived | None = None
) -> Compiled:
    """Make the model file of an estimator that was fitted on `arrays`, the training rows; the same bytes each time.

    contract, arrays: of the rows. derived: makes the estimator's columns of these; without it, they are the same.
    Raises SlipwayError if the estimator does not know all classes, fails on rows that the contract allows, or can be
    stored in neither way.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)  # of a search; the rest of it holds wall-clock times
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of converters, and of encoders that meet an unknown category
        probes = _probes(estimator, contract, arrays, target, params.seed, derived)
        own_labels = _own_labels(estimator, probes[0], params.tolerance)

        def judged(runtime: Literal["onnx", "skops"], model: bytes, said: str) -> Compiled:
            loaded = load_runtime(runtime, model, classes=len(target.classes), threads=1)
            difference = largest_difference(probes, loaded.run, params.tolerance)
            return Compiled(runtime, f"{said}; {_agreement(probes, difference)}{own_labels}", model)

        reason = "train.compile in params.yaml is false"
        if params.compile:
            from slipway.compile.converters import convert

            try:
                model = convert(estimator, derived.contract if derived else contract)
                return judged("onnx", model.SerializeToString(deterministic=True), "compiled")
            except DisagreementError as error:
                reason = f"as ONNX it would answer otherwise: {error}"
            except Exception as error:  # noqa: BLE001  converters raise anything
                reason = _first_line(error)
        try:
            return judged("skops", skops.store(estimator), f"not compiled to ONNX: {reason}")
        except Exception as error:
            raise SlipwayError(
                f"the estimator was not compiled to ONNX: {reason}\nIt cannot be stored with skops either: {error}\n"
                "See docs/estimators.md: build it from the classes of scikit-learn, LightGBM, XGBoost, CatBoost"
            ) from error


def _probes(
    estimator: Any, contract: Contract, arrays: Arrays, target: Target, seed: int, derived: Derived | None
) -> list[Probe]:
    """Have the estimator predict; refuse one that knows other classes, or fails on rows that the contract allows."""
    classes = np.arange(len(target.classes))
    known = classes_of(estimator)
    if bool(known.size) != bool(target.classes):
        needed = "has classes: it needs a classifier" if target.classes else "is a number: it needs a regressor"
        raise SlipwayError(f"the target {target.column.name} {needed}, not {type(estimator).__name__}")
    if target.classes and not np.array_equal(known, classes):
        lacking = ", ".join(str(target.classes[index]) for index in np.setdiff1d(classes, known))
        raise SlipwayError(f"{target.column.name}: no training row is {lacking}, so the model could never say so")
    predict = partial(skops.predict, estimator, classes=len(classes), threads=1)
    try:
        return probe(contract, arrays, predict, seed, derived)
    except Exception as error:
        raise SlipwayError(
            f"the fitted estimator fails on rows that the schema allows: {_first_line(error)}\n"
            "Let it impute what may be missing and ignore what may be unknown, or let the schema forbid such rows"
        ) from error


def _own_labels(estimator: Any, training: Probe, tolerance: float) -> str:
    """Warn if the estimator's own labels are not its most probable classes, which are served."""
    probabilities = training.expected.probabilities
    if probabilities is None:
        return ""
    own = np.asarray(estimator.predict(skops.frame(training.arrays)), dtype=np.int64).reshape(-1)  # CatBoost: (rows, 1)
    given = probabilities[np.arange(len(own)), own]
    unlike = int((probabilities.max(axis=1) - given > tolerance).sum())
    if not unlike:
        return ""
    return f"; labels are the most probable class, not predict()'s, which differs for {unlike:,} of {len(own):,} rows"


def _agreement(probes: Sequence[Probe], difference: float) -> str:
    rows = sum(len(item.expected.values) for item in probes)
    first = probes[0].expected
    if first.values.dtype == np.int64 and first.probabilities is None:
        return f"the labels of {rows:,} rows are the same"
    # No more digits than are the same on every processor: the sentence becomes part of the bundle.
    bound = 10.0 ** max(LEAST_EXPONENT, math.floor(math.log10(max(difference, 1e-300))) + 1)
    return f"the largest difference on {rows:,} rows is below {bound:.0e}"


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ONNX_RUNTIME_CODE.sub("ONNX Runtime: ", line).rstrip(". ")
