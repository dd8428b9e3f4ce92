"""Runs a bundle: rows in, predictions out. Evaluation, gate, image and server all use this predictor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slipway.contract import Array, Label
from slipway.model.bundle import MODELS, Bundle, BundleError, read_bundle
from slipway.model.limits import limited
from slipway.model.manifest import Decision
from slipway.model.runtimes import Output, load_runtime
from slipway.problem import SlipwayError

# Processors may sum in different orders. A wrong model differs by far more.
GOLDEN_TOLERANCE = 1e-6
# Limits on loading: an ONNX model may hold loops and huge tensors.
SECONDS = 60.0
MEMORY = 1 << 30  # bytes, and MEMORY_PER_BYTE for each byte of the model file
MEMORY_PER_BYTE = 8


@dataclass(frozen=True)
class Predictions:
    """Predictions for n rows of k classes.

    values: class indices, int64, shape (n,); in a regression the values, float64, shape (n,).
    probabilities: float64, shape (n, k), in the order of `classes`; None if the model has none.
    classes: the labels; empty in a regression.
    """

    values: Array
    probabilities: Array | None
    classes: tuple[Label, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def labels(self) -> list[Any]:
        """The predicted label (or value) of each row."""
        values = self.values.tolist()
        return [self.classes[value] for value in values] if self.classes else values

    def part(self, rows: slice | Array) -> Predictions:
        """Give the predictions of some rows: a slice, a mask or numbers of rows."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return Predictions(self.values[rows], probabilities, self.classes)

    def as_json(self) -> list[dict[str, Any]]:
        """Give one object for each row: `label` and `probabilities` by class, or `value`."""
        if not self.classes:
            return [{"value": value} for value in self.values.tolist()]
        if self.probabilities is None:
            return [{"label": label} for label in self.labels]
        names = [label_name(label) for label in self.classes]
        return [
            {"label": label, "probabilities": dict(zip(names, row, strict=True))}
            for label, row in zip(self.labels, self.probabilities.tolist(), strict=True)
        ]


class Predictor:
    """A verified and loaded bundle."""

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.bundle = bundle
        self.version = bundle.version
        self.contract = bundle.contract
        self.target = bundle.target
        self.classes = self.target.classes
        self._derived = bundle.derived
        runtime, model = bundle.manifest.runtime, bundle.model
        self._runtime = load_runtime(runtime, model, classes=len(self.classes), threads=threads)

    @classmethod
    def load(cls, folder: Path, *, expected: str | None = None, threads: int = 1) -> Predictor:
        """Verify the bundle in `folder`, load it, and reproduce its golden rows.

        Raises BundleError if any of this fails, takes longer than SECONDS, or takes too much memory.
        """
        bundle = read_bundle(folder, expected=expected)
        model = folder / MODELS[bundle.manifest.runtime]
        loaded: list[Predictor] = []

        def load() -> Predictor:
            loaded.append(cls(bundle, threads=threads))
            loaded[0].check()
            return loaded[0]

        def stop() -> None:
            for predictor in loaded:
                predictor._runtime.stop()

        allowed = MEMORY + MEMORY_PER_BYTE * len(bundle.model)
        try:
            return limited(load, seconds=SECONDS, memory=allowed, stop=stop)
        except (TimeoutError, MemoryError) as error:
            raise BundleError(f"{model}: loading it and answering its golden rows takes {error}") from None
        except SlipwayError:
            raise
        except Exception as error:  # each runtime has its own errors
            raise BundleError(f"{model}: cannot be loaded or run: {error}") from error

    def predict(self, table: Any) -> Predictions:
        """Predict for a table, a mapping of columns or a sequence of rows (see `Contract.checked`).

        Raises SlipwayError, naming rows and fields, for values that the service would refuse.
        """
        return self.predict_arrays(self.contract.checked(table))

    def predict_arrays(self, arrays: Mapping[str, Array]) -> Predictions:
        """Predict for the contract's arrays, each of shape (rows,)."""
        if not len(next(iter(arrays.values()))):
            empty = np.empty((0, len(self.classes))) if self.classes else None
            return Predictions(np.empty(0, dtype=np.int64 if self.classes else np.float64), empty, self.classes)
        if self._derived is not None:
            arrays = self._derived(arrays)
        return decide(self._runtime.run(arrays), self.classes, self.bundle.manifest.decision)

    def score(self, table: Any, target: Any = None) -> float:
        """Give the accuracy, or R2 in a regression, as scikit-learn's `score` does.

        target: the true labels or values; by default the table's own column.
        """
        truth = self.target.encode(table[self.target.column.name] if target is None else target)
        predicted = self.predict(table).values
        if self.classes:
            return float((predicted == truth).mean())
        return float(1 - ((truth - predicted) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())

    def check(self) -> None:
        """Reproduce the golden rows. Raises BundleError naming the first row with another prediction."""
        examples = self.bundle.examples
        for number, (row, expected) in enumerate(zip(examples["rows"], examples["predictions"], strict=True)):
            try:
                got = self.predict([row]).as_json()[0]
            except SlipwayError as error:
                raise BundleError(f"golden row {number}: {error}") from None
            if not alike(got, expected):
                raise BundleError(f"golden row {number} gives {got}, but {expected} was stored with the bundle")


def decide(output: Output, classes: tuple[Label, ...], decision: Decision | None) -> Predictions:
    """Make predictions of a runtime's output: with a decision threshold the labels are by it.

    The probabilities do not change.
    """
    if decision is None or output.probabilities is None:
        return Predictions(output.values, output.probabilities, classes)
    positive = classes.index(decision.positive)
    chosen = output.probabilities[:, positive] >= decision.threshold
    return Predictions(np.where(chosen, positive, 1 - positive), output.probabilities, classes)


def label_name(label: Label) -> str:
    """The name of a class as a JSON key."""
    return label if isinstance(label, str) else str(label).lower()


def alike(got: Any, expected: Any) -> bool:
    """Whether an answer (see `Predictions.as_json`) equals the expected one within the golden tolerance."""
    if isinstance(expected, Mapping):
        return got.keys() == expected.keys() and all(alike(got[key], expected[key]) for key in expected)
    if isinstance(expected, float):
        return bool(np.isclose(got, expected, rtol=GOLDEN_TOLERANCE, atol=GOLDEN_TOLERANCE))
    return bool(got == expected)
