"""The parity check: does a stored model give the predictions of the fitted estimator?

Training rows alone do not show a threshold that was rounded on its way into the model file: it lies between two of
them, and no training label changes. So the check also recombines rows, and moves them to where trees split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slipway.contract import MISSING, Array, Column, Contract
from slipway.model.derived import Derived
from slipway.model.predictor import Predictions
from slipway.model.runtimes import Output

MOST_ROWS = 20_000  # of each kind
FEWEST_ROWS = 2_000  # of the kinds that are made
ROWS_PER_TRAINING_ROW = 20
BATCH = 2_500  # rows predicted at once, which bounds the memory
MISSING_SHARE = 0.1
STEPS = 4  # how far an integer is moved at most

Arrays = Mapping[str, Array]
Predict = Callable[[Arrays], Output | Predictions]


class Probe(NamedTuple):
    """Rows of one kind, and the fitted estimator's answers."""

    kind: str
    arrays: Arrays
    expected: Output


class DisagreementError(Exception):
    """The stored model answers otherwise; the text says how many rows of which kind differ, and by how much."""


def probe(
    contract: Contract, arrays: Arrays, predict: Predict, seed: int, derived: Derived | None = None
) -> list[Probe]:
    """Make the rows from the training rows, the same for the same seed, and have the estimator predict them.

    Each kind has at most MOST_ROWS rows. Training rows: a sample. Resampled: each column drawn by itself. Perturbed:
    numbers between and beside the training values, missing values wherever the contract allows them, all categories.
    derived: makes the estimator's columns of the rows.
    """
    rng = np.random.default_rng(seed)
    size = len(next(iter(arrays.values())))
    chosen = rng.permutation(size)[:MOST_ROWS]
    made = min(max(FEWEST_ROWS, size * ROWS_PER_TRAINING_ROW), MOST_ROWS)
    kinds: dict[str, Arrays] = {
        "training": {name: values[chosen] for name, values in arrays.items()},
        "resampled": {name: values[rng.integers(0, size, made)] for name, values in arrays.items()},
        "perturbed": {column.name: _perturbed(column, arrays[column.name], made, rng) for column in contract.columns},
    }
    if derived:
        kinds = {kind: derived(rows) for kind, rows in kinds.items()}
    return [Probe(kind, rows, in_batches(predict, rows)) for kind, rows in kinds.items()]


def in_batches(predict: Predict, arrays: Arrays) -> Output:
    """Predict in batches of bounded size."""
    size = len(next(iter(arrays.values())))
    parts = [
        predict({name: values[start : start + BATCH] for name, values in arrays.items()})
        for start in range(0, size, BATCH)
    ]
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    values = np.concatenate([part.values for part in parts])
    return Output(values, np.concatenate(probabilities) if probabilities else None)


def largest_difference(probes: Sequence[Probe], predict: Predict, tolerance: float) -> float:
    """Compare a stored model's answers with the estimator's, and give the largest difference.

    It is that of probabilities or, in a regression, of values in standard deviations of the predicted values.
    Raises DisagreementError if it exceeds the tolerance, or if a label differs or is not the most probable class;
    between classes whose probabilities are equal within the tolerance, either is right.
    """
    largest = 0.0
    spread = float(probes[0].expected.values.std()) or 1.0
    for kind, arrays, expected in probes:
        answered = in_batches(predict, arrays)
        rows = f"of {len(expected.values):,} {kind} rows"
        if expected.values.dtype == np.float64:
            difference = _beyond(np.abs(answered.values - expected.values) / spread, tolerance, "values", rows)
        else:
            difference = _labels(expected, answered, tolerance, rows)
        largest = max(largest, difference)
    return largest


def _labels(expected: Output, answered: Output, tolerance: float, rows: str) -> float:
    if expected.probabilities is None or answered.probabilities is None:
        if (expected.probabilities is None) != (answered.probabilities is None):
            raise DisagreementError("only one of the two answers with probabilities")
        _beyond(answered.values != expected.values, 0, "the labels", rows)
        return 0.0
    if answered.probabilities.shape != expected.probabilities.shape:
        raise DisagreementError(
            f"{answered.probabilities.shape[1]} classes instead of {expected.probabilities.shape[1]}"
        )
    difference = np.abs(answered.probabilities - expected.probabilities).max(axis=1)
    largest = _beyond(difference, tolerance, "the probabilities", rows)
    for by, probabilities in (("the estimator's", expected.probabilities), ("its own", answered.probabilities)):
        given = probabilities[np.arange(len(probabilities)), answered.values]
        _beyond(probabilities.max(axis=1) - given, tolerance, f"by {by} probabilities, the labels", rows)
    return largest


def _beyond(differences: Array, tolerance: float, what: str, rows: str) -> float:
    wrong = ~(differences <= tolerance)  # so that NaN is wrong
    if wrong.any():
        by = f", by up to {differences.max():.2g} where {tolerance:g} is allowed" if tolerance else ""
        raise DisagreementError(f"{what} of {wrong.sum():,} {rows} differ{by}")
    return float(differences.max(initial=0))


def _perturbed(column: Column, values: Array, size: int, rng: np.random.Generator) -> Array:
    if column.numeric and column.categories:
        drawn = rng.choice(np.array(column.categories, dtype=np.float64), size)
    elif column.numeric:
        drawn = _moved(column, values[~np.isnan(values)], size, rng)
    else:
        known = np.array(column.categories, dtype=object) if column.categories else values
        drawn = rng.choice(known, size)
        if column.kind == "text":
            drawn = np.where(rng.random(size) < 0.5, drawn, drawn + " " + rng.choice(known, size))
    if column.optional:
        drawn[rng.random(size) < MISSING_SHARE] = np.nan if column.numeric else MISSING
    return drawn


def _moved(column: Column, values: Array, size: int, rng: np.random.Generator) -> Array:
    """Draw numbers that the column allows: training values, and what lies between and next to them."""
    if column.kind == "boolean":
        return rng.integers(0, 2, size).astype(np.float64)
    known = np.unique(values) if len(values) else column.array([column.example])
    index = rng.integers(0, len(known), size)
    here, following = known[index], known[np.minimum(index + 1, len(known) - 1)]
    low, high = _limits(column)
    if column.kind in ("integer", "date"):
        return np.clip(here + rng.integers(-STEPS, STEPS + 1, size), low, high)
    with np.errstate(over="ignore", invalid="ignore"):  # beside the largest numbers there are none: the value itself
        narrow = [np.float32(side).astype(np.float64) for side in (here, following)]
        drawn = np.choose(
            rng.integers(0, 5, size),
            [
                here,
                here / 2 + following / 2,  # where trees split that compare float64
                narrow[0] / 2 + narrow[1] / 2,  # and those that compare float32
                here + rng.normal(0, 0.1, size) * (known.std() or 1),
                known[0] + (known[-1] - known[0]) * rng.random(size),
            ],
        )
        drawn = np.where(np.isfinite(drawn), drawn, here)
        nudged = np.choose(
            rng.integers(0, 5, size),
            [
                drawn,
                np.nextafter(drawn, np.inf),
                np.nextafter(drawn, -np.inf),
                np.float32(drawn),
                drawn + rng.uniform(-2, 2, size) * np.spacing(np.float32(drawn)),
            ],
        )
    return np.clip(np.where(np.isfinite(nudged), nudged, drawn), low, high)


def _limits(column: Column) -> tuple[float, float]:
    whole = column.kind in ("integer", "date")
    low, excluded = column.low or (-np.inf, False)
    high, included = column.high or (np.inf, True)
    if excluded:
        low = np.floor(low) + 1 if whole else np.nextafter(low, np.inf)
    if not included:
        high = np.ceil(high) - 1 if whole else np.nextafter(high, -np.inf)
    return float(low), float(high)
