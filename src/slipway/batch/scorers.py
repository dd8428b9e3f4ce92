"""What predicts: a bundle in this process; or a running service, see `slipway.batch.service`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from slipway.contract import Array, Contract, Label
from slipway.model.ids import Ids
from slipway.model.predictor import Predictions, Predictor, label_name

PROBABILITY = "probability."
ADDED = ("prediction", "model_version", "prediction_id")


class Scored(NamedTuple):
    """Predictions, and their ids as an Arrow array."""

    predictions: Predictions
    ids: Any


class Scorer(Protocol):
    """A model. reference: see `slipway.model.reference`; empty if it is not known."""

    contract: Contract
    version: str
    classes: Sequence[Label]
    reference: Mapping[str, Any]

    def score(self, arrays: Mapping[str, Array]) -> Scored:
        """Predict for the contract's arrays, each of shape (rows,)."""


class BundleScorer:
    """The predictor of a bundle, as the service runs it."""

    def __init__(self, bundle: Path, *, expected: str | None = None, key: str | None = None, threads: int = 1) -> None:
        """key: signs the ids, as SLIPWAY_FEEDBACK_KEY does of a service; without it nobody could check a signature."""
        self._predictor = Predictor.load(bundle, expected=expected, threads=threads)
        self.contract, self.version = self._predictor.contract, self._predictor.version
        self.classes: Sequence[Label] = self._predictor.classes
        self.reference: Mapping[str, Any] = self._predictor.bundle.reference
        self._signed = key is not None
        secret = key.encode() if key else os.urandom(32)
        self._ids = Ids(self.version, key=secret, numeric=not self.classes, seconds=0, kept=0)

    def score(self, arrays: Mapping[str, Array]) -> Scored:
        """Predict for the contract's arrays."""
        predictions = self._predictor.predict_arrays(arrays)
        text = self._ids.joined(predictions.values, signed=self._signed)
        ends = np.arange(len(predictions) + 1, dtype=np.int32) * self._ids.characters
        ids = pa.StringArray.from_buffers(len(predictions), pa.py_buffer(ends), pa.py_buffer(text))
        return Scored(predictions, ids)


def columns_of(scored: Scored, version: str) -> dict[str, Any]:
    """Give the columns that are added to a table."""
    predictions = scored.predictions
    columns: dict[str, Any] = {"prediction": pa.array(predictions.values)}
    if predictions.classes:
        columns["prediction"] = pa.array(list(predictions.classes)).take(columns["prediction"])
    if predictions.probabilities is not None:
        parts = zip(predictions.classes, predictions.probabilities.T, strict=True)
        columns |= {f"{PROBABILITY}{label_name(label)}": pa.array(part) for label, part in parts}
    return columns | {"model_version": pa.repeat(version, len(predictions)), "prediction_id": scored.ids}
