"""Segments: files of kept predictions or feedback, JSON lines in gzip (docs/loop.md has their format)."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET

from slipway.contract import Contract, Label
from slipway.model.predictor import Predictions, label_name
from slipway.serving.outbox import Answered

LEVEL = 1  # of gzip: a third larger than the default's files, for a third of its time
PREDICTIONS, FEEDBACK = KINDS = ("predictions", "feedback")  # the folders

encode = msgspec.json.Encoder(decimal_format="number").encode_lines


class Segment:
    """The lines of a file to be, compressed."""

    def __init__(self) -> None:
        self._gzip = zlib.compressobj(LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        self.content = bytearray()
        self.rows = 0
        self.began = time.time()

    def add(self, lines: bytes, rows: int) -> None:
        """Append lines."""
        self.content += self._gzip.compress(lines)
        self.rows += rows

    def finish(self) -> bytes:
        """Give the file's content."""
        return bytes(self.content) + self._gzip.flush()


class Names:
    """The names of one writer's segments; several writers share the folders without clashes."""

    def __init__(self) -> None:
        self._writer, self._number = os.urandom(4).hex(), 0

    def new(self, kind: str, segment: Segment) -> str:
        """Give the path of a segment below the store. kind: of KINDS."""
        began = datetime.fromtimestamp(segment.began, UTC)
        self._number += 1
        return f"{kind}/{began:%Y-%m-%d}/{began:%H%M%S}-{self._writer}-{self._number:06}.jsonl.gz"


class Lines:
    """Makes lines, for `encode`, of the answers of one model."""

    def __init__(self, contract: Contract, version: str, classes: Sequence[Label]) -> None:
        # Private columns end here.
        self._contract = Contract(contract.title, tuple(c for c in contract.columns if not c.private))
        self._version = version
        self._row = _struct(*self._contract.names)
        self._probabilities = _struct(*map(label_name, classes))
        self._shadow = _struct("version", "prediction", "probabilities")
        self._line = _struct("id", "time", "version", "row", "prediction", "probabilities", "shadow")

    def of(self, one: Answered) -> list[Any]:
        """Give a line for each row; without a shadow's answers, if there are none."""
        columns = self._contract.lists(one.arrays)
        rows = map(self._row, *columns) if columns else repeat({})
        shadow: Any = repeat(UNSET)
        if one.shadow:
            shadow = map(self._shadow, repeat(one.shadow[0]), *self._answers(one.shadow[1]))
        answers = self._answers(one.predictions)
        return list(map(self._line, one.ids, stamps(one.times), repeat(self._version), rows, *answers, shadow))

    def _answers(self, predictions: Predictions) -> tuple[list[Any], Any]:
        found = predictions.probabilities
        return predictions.labels, repeat(UNSET) if found is None else map(self._probabilities, *found.T.tolist())


def _struct(*names: str) -> Any:
    """Make a type with fields of any name, which takes their values in order; msgspec encodes it faster than a dict."""
    fields = [(f"f{n}", Any) for n in range(len(names))]
    return msgspec.defstruct("Struct", fields, rename={f"f{n}": name for n, name in enumerate(names)}, gc=False)


def stamps(times: list[float]) -> list[str]:
    """Write times as ISO 8601, in UTC and to the millisecond."""
    moments = (np.array(times) * 1000).astype("datetime64[ms]")
    written: list[str] = np.datetime_as_string(moments, timezone="UTC").tolist()
    return written
