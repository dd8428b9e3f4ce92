"""A queue of answered rows for work that no request waits for: a shadow, and the files of kept predictions."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slipway.contract import Array, Contract
from slipway.model.predictor import Predictions

VALUE_BYTES = 100  # of memory that a value takes in Python


class Answered(NamedTuple):
    """Rows that were answered, each with its time (seconds since 1970) and id.

    shadow: a shadow's version and answers.
    """

    times: list[float]
    arrays: Mapping[str, Array]
    predictions: Predictions
    ids: list[str]
    shadow: tuple[str, Predictions] | None = None

    def part(self, rows: slice) -> Answered:
        """Give some of the rows."""
        arrays = {name: values[rows] for name, values in self.arrays.items()}
        shadow = self.shadow and (self.shadow[0], self.shadow[1].part(rows))
        return Answered(self.times[rows], arrays, self.predictions.part(rows), self.ids[rows], shadow)


def together(batch: Sequence[Answered]) -> Answered:
    """Make one of several, all with or all without a shadow's answers: then a step costs once, not once for each."""
    first = batch[0]
    if len(batch) == 1:
        return first
    return Answered(
        [time for one in batch for time in one.times],
        {name: np.concatenate([one.arrays[name] for one in batch]) for name in first.arrays},
        _joined([one.predictions for one in batch]),
        [id_ for one in batch for id_ in one.ids],
        first.shadow and (first.shadow[0], _joined([one.shadow[1] for one in batch if one.shadow])),
    )


def _joined(parts: Sequence[Predictions]) -> Predictions:
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    values = np.concatenate([part.values for part in parts])
    return Predictions(values, np.concatenate(probabilities) if probabilities else None, parts[0].classes)


class Outbox:
    """A queue that takes rows up to a number of bytes, by an estimate; from any thread."""

    def __init__(self, contract: Contract, limit: int) -> None:
        self.limit, self._held = limit, 0
        self.width = VALUE_BYTES * (len(contract.columns) + 1)
        self._texts = [column.name for column in contract.columns if column.kind == "text"]
        self._items: deque[tuple[Answered, int]] = deque()
        self._lock = threading.Lock()

    def put(self, item: Answered) -> bool:
        """Append an item, unless the queue is full. Of all values only free text can be long."""
        size = self.width * len(item.ids) + sum(sum(map(len, item.arrays[name])) for name in self._texts)
        with self._lock:
            if self._held and self._held + size > self.limit:
                return False
            self._held += size
            self._items.append((item, size))
            return True

    def take(self, rows: int) -> list[Answered]:
        """Take the first items, up to the one with which there are so many rows."""
        taken: list[Answered] = []
        with self._lock:
            while self._items and rows > 0:
                item, size = self._items.popleft()
                self._held -= size
                rows -= len(item.ids)
                taken.append(item)
        return taken
