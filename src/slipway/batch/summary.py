"""Counts of a run, and the drift of its rows against those of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from slipway.batch.scorers import Scored
from slipway.contract import Array, Label
from slipway.evaluation.drift import Drift, drift_of
from slipway.model.predictor import label_name
from slipway.model.reference import Bins, bins_of, read_bins

SAMPLED = 4096  # rows of a batch whose values are counted: all of them would take as long as predicting
PREDICTION = "prediction"


@dataclass
class Tally:
    """Counts of rows, and by bin of predictions and of the values of sampled rows."""

    rows: int = 0
    rejected: int = 0
    sampled: int = 0
    bins: dict[str, list[int]] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Add the counts of other rows."""
        self.rows += other.rows
        self.rejected += other.rejected
        self.sampled += other.sampled
        for name, counts in other.bins.items():
            before = self.bins.get(name, [0] * len(counts))
            self.bins[name] = [have + new for have, new in zip(before, counts, strict=True)]


@dataclass(frozen=True)
class Summary:
    """A run: the numbers of rows and of each outcome, the drift of the rows, the time in seconds.

    resumed: rows that an earlier run had done. drift: None if the service does not tell its reference.
    """

    model_version: str
    rows: int
    rejected: int
    predictions: dict[str, int]
    drift: list[Drift] | None
    seconds: float
    resumed: int

    @property
    def rows_per_second(self) -> float:
        """Rows that this run has read in a second."""
        return (self.rows - self.resumed) / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """Give the summary as JSON."""
        return asdict(self) | {"rows_per_second": round(self.rows_per_second)}


class Counter:
    """Counts batches by the classes, and by the bins of a bundle's reference."""

    def __init__(self, reference: Mapping[str, Any], classes: Sequence[Label]) -> None:
        self._reference, self._names = reference, [label_name(label) for label in classes]
        self._bins = bins_of(reference) if reference else {}
        values = reference.get("predictions", {}).get("value")
        self._value_bins: Bins | None = read_bins(PREDICTION, {"categories": [], **values}) if values else None

    def count(self, arrays: Mapping[str, Array], scored: Scored, rejected: int) -> Tally:
        """Count the rows of a batch."""
        values = scored.predictions.values
        sample = slice(None, None, max(1, len(values) // SAMPLED))
        bins = {name: one.count(arrays[name][sample]) for name, one in self._bins.items()}
        if self._names:
            bins[PREDICTION] = np.bincount(values, minlength=len(self._names))
        elif self._value_bins:
            bins[PREDICTION] = self._value_bins.count(values[sample])
        counts = {name: found.tolist() for name, found in bins.items()}
        return Tally(len(values) + rejected, rejected, len(values[sample]), counts)

    def outcomes(self, tally: Tally) -> dict[str, int]:
        """Give the number of predictions of each class."""
        return dict(zip(self._names, tally.bins[PREDICTION], strict=True)) if self._names else {}

    def drift(self, tally: Tally) -> list[Drift] | None:
        """Measure the drift of the features and of the predictions, the largest first."""
        if not self._reference or not tally.sampled:
            return None
        known = self._reference.get("groups") or self._reference["rows"]
        predicted = self._reference.get("predictions", {})
        shares = {name: self._reference["features"][name]["shares"] for name in self._bins}
        if "labels" in predicted:
            shares[PREDICTION] = [predicted["labels"].get(name, 0.0) for name in self._names]
        elif self._value_bins:
            shares[PREDICTION] = predicted["value"]["shares"]
        groups = known, tally.sampled
        found = [
            drift_of(name, before, np.array(tally.bins[name]), groups, len(shares)) for name, before in shares.items()
        ]
        return sorted(found, key=lambda one: one.psi / one.limit, reverse=True)
