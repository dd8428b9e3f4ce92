"""The test set: its rows with their truth, groups and slices."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slipway.contract import Array, Column, Target, record, target
from slipway.evaluation import intervals, metrics
from slipway.evaluation.intervals import Bootstrap, Difference
from slipway.model.predictor import Predictions, Predictor, label_name
from slipway.problem import Problem, SlipwayError

MAX_SLICES = 50  # of one column; one with more values is an identifier


class TestSet:
    """The table (or that in a file), the encoded truth, and the number of each row's group. Raises SlipwayError."""

    def __init__(self, problem: Problem, source: Path | pd.DataFrame) -> None:
        if isinstance(source, Path) and not source.exists():
            raise SlipwayError(f"{source}: missing; an earlier stage writes it: slipway run")
        self.table = pd.read_parquet(source) if isinstance(source, Path) else source
        self.target: Target = target(problem)
        self.time: Column | None = record(problem)[problem.time] if problem.time else None
        self.truth: Array = self.target.encode(self.table[problem.target])
        self._predictions: dict[str, Predictions] = {}
        self.groups: Array = self.table.groupby(list(problem.groups), sort=False, dropna=False).ngroup().to_numpy()

    def predictions(self, predictor: Predictor) -> Predictions:
        """Ask a model for all rows, once. Raises SlipwayError, naming rows and fields, if it refuses some."""
        if (digest := predictor.bundle.digest) not in self._predictions:
            self._predictions[digest] = predictor.predict(self.table)
        return self._predictions[digest]

    def statistics(self, predictions: Predictions, where: Array | None = None, *, ranked: bool = False) -> Array:
        """Sum predictions of all or the chosen rows into statistics by group, see `slipway.evaluation.metrics`.

        Of chosen rows mostly the headline scores are asked for, which need no `ranked` statistics.
        """
        if where is None:
            return metrics.statistics(self.target, self.truth, predictions, self.groups)
        groups = np.unique(self.groups[where], return_inverse=True)[1]
        return metrics.statistics(self.target, self.truth[where], predictions.part(where), groups, ranked=ranked)

    def classes(self) -> dict[str, int]:
        """Count the rows of each class; empty in a regression."""
        return {label_name(name): int((self.truth == n).sum()) for n, name in enumerate(self.target.classes)}

    def slices(self, names: Iterable[str]) -> dict[str, Array]:
        """Give the rows of each slice of the named columns: boolean, shape (rows,). Raises SlipwayError."""
        found: dict[str, Array] = {}
        for name in names:
            values = self.table[name]
            distinct = sorted(values.dropna().unique().tolist())
            if len(distinct) > MAX_SLICES:
                raise SlipwayError(
                    f"params.yaml: evaluate.slices: {name} has {len(distinct)} values in the test set; "
                    f"a slice needs a column with at most {MAX_SLICES}"
                )
            found |= {f"{name}={value}": (values == value).fillna(False).to_numpy(dtype=bool) for value in distinct}
            if values.isna().any():
                found[f"{name}=missing"] = values.isna().to_numpy(dtype=bool)
        return found

    def score_slices(
        self, predictions: Predictions, names: Iterable[str], bootstrap: Bootstrap
    ) -> list[dict[str, Any]]:
        """Give the name, the number of rows and the headline scores with intervals of every slice."""
        found = []
        for name, where in self.slices(names).items():
            scores = intervals.evaluate(self.target, self.statistics(predictions, where), bootstrap)
            kept = {key: scores[key].as_json() for key in metrics.headlines(self.target) if key in scores}
            found.append({"slice": name, "rows": int(where.sum()), "scores": kept})
        return found

    def compare_slices(
        self, a: Predictor, b: Predictor, names: Iterable[str], bootstrap: Bootstrap
    ) -> dict[str, Difference]:
        """Give the headline score of one model minus another's, with paired intervals, for every slice."""
        found, headline = {}, metrics.headlines(self.target)[0]
        for name, where in self.slices(names).items():
            one, other = (self.statistics(self.predictions(model), where) for model in (a, b))
            if score := intervals.compare(self.target, one, other, bootstrap).get(headline):
                found[name] = score
        return found

    def compare_calibration(self, a: Predictor, b: Predictor) -> list[dict[str, Any]]:
        """Give both models' calibration, see `metrics.paired_calibration`; empty if one has no probabilities."""
        one, other = (self.predictions(model).probabilities for model in (a, b))
        return [] if one is None or other is None else metrics.paired_calibration(self.target, self.truth, one, other)
