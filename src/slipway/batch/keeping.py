"""Keeps a run's rows and answers as a service keeps its own, so that `slipway labels` joins their truth, too."""

from __future__ import annotations

import time
from collections.abc import Mapping

from slipway.batch.places import Place
from slipway.batch.scorers import Scored, Scorer
from slipway.batch.writing import write
from slipway.contract import Array
from slipway.serving.outbox import Answered
from slipway.serving.segments import PREDICTIONS, Lines, Names, Segment, encode

SEGMENT_BYTES = 8 << 20  # compressed: a reader holds a segment's lines in memory


class Keeping:
    """Writes segments; docs/loop.md has their format. Private fields are in none."""

    def __init__(self, folder: str, scorer: Scorer) -> None:
        """folder: a path or URL. Raises SlipwayError if it is neither."""
        self._folder = Place.of(folder)
        self._lines = Lines(scorer.contract, scorer.version, scorer.classes)
        self._names, self._segment = Names(), Segment()

    def add(self, arrays: Mapping[str, Array], scored: Scored) -> None:
        """Keep rows, given as the contract's arrays. Raises SlipwayError if a full segment cannot be written."""
        ids: list[str] = scored.ids.to_pylist()
        lines = self._lines.of(Answered([time.time()] * len(ids), arrays, scored.predictions, ids))
        self._segment.add(encode(lines), len(ids))
        if len(self._segment.content) >= SEGMENT_BYTES:
            self.complete()

    def complete(self) -> None:
        """Write what was added. Raises SlipwayError if the folder does not take it."""
        if self._segment.rows:
            write(self._folder / self._names.new(PREDICTIONS, self._segment), self._segment.finish())
        self._segment = Segment()
