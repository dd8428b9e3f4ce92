"""Keeps predictions and feedback in files of JSON lines (SLIPWAY_PREDICTIONS; docs/loop.md has their format).

No request waits for this: it appends to a bounded queue, and a thread does the rest. What the thread cannot take or
cannot write is dropped and counted.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby, repeat
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET
from prometheus_client.metrics_core import Metric

from slipway.contract import Contract
from slipway.model.predictor import Predictions, Predictor, label_name
from slipway.serving.logs import Log
from slipway.serving.metrics import counter
from slipway.serving.outbox import Answered, Outbox, together
from slipway.serving.settings import Settings
from slipway.serving.stores import store_of

QUEUE_BYTES = 32 << 20  # of rows that wait, by an estimate
QUEUE_JUDGED = 10_000  # feedback that waits
PAUSE = 0.2  # seconds between two looks at the queue: to be woken up by each request would cost that request time
PART_ROWS = 256  # made lines at once; then the event loop gets its turn
YIELD = 0.0005  # seconds
CLOSE_SECONDS = 3.0  # at shutdown: for what is queued, and the last files
QUIET_SECONDS = 60.0  # between two log lines about a store that fails
LEVEL = 1  # of gzip: a third larger than the default's files, for a third of its time
KINDS = ("predictions", "feedback")


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


class Keeper:
    """Writes what was answered and judged, in a thread of its own."""

    def __init__(self, settings: Settings, predictor: Predictor, log: Log) -> None:
        """Raises SlipwayError if the store cannot be used at all: no packages for it, or no URL of one."""
        self._store = store_of(settings.predictions or "")
        self._settings, self._version, self._log = settings, predictor.version, log
        contract, classes = predictor.contract, predictor.classes
        # Private columns end here.
        self._contract = Contract(contract.title, tuple(c for c in contract.columns if not c.private))
        self._row = _struct(*self._contract.names)
        self._probabilities = _struct(*map(label_name, classes))
        self._shadow = _struct("version", "prediction", "probabilities")
        self._line = _struct("id", "time", "version", "row", "prediction", "probabilities", "shadow")
        self._encode = msgspec.json.Encoder(decimal_format="number").encode_lines
        self._replica, self._number = os.urandom(4).hex(), 0  # several replicas write to the same folders
        self._queue = Outbox(contract, QUEUE_BYTES)
        self._judged: deque[dict[str, Any]] = deque()
        self._open: dict[str, Segment] = {}
        self._expired = ""  # the day on which old days were last removed
        self._told = -QUIET_SECONDS
        outcomes = [(kind, outcome) for kind in KINDS for outcome in ("written", "dropped")]
        self._counts: Counter[tuple[str, str]] = Counter(dict.fromkeys(outcomes, 0))
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def offer(self, answered: Answered) -> None:
        """Keep answered rows, if there is room."""
        if not self._queue.put(answered):
            self._count("predictions", "dropped", len(answered.ids))

    def judged(self, id_: str, truth: Any) -> None:
        """Keep accepted feedback, if there is room."""
        if len(self._judged) < QUEUE_JUDGED:
            self._judged.append({"id": id_, "time": _stamps([time.time()])[0], "truth": truth})
        else:
            self._count("feedback", "dropped", 1)

    def close(self) -> None:
        """Write what is there, and stop. A store that does not answer is not waited for."""
        self._stopped.set()
        self._thread.join(CLOSE_SECONDS)

    def collect(self) -> Iterator[Metric]:
        """Give the metrics."""
        yield counter("slipway_kept_rows", "Predictions and feedback to keep", dict(self._counts), "kind", "outcome")

    def _count(self, kind: str, outcome: str, rows: int) -> None:
        with self._lock:
            self._counts[kind, outcome] += rows

    def _drop(self, kind: str, rows: int, error: Exception) -> None:
        self._count(kind, "dropped", rows)
        if time.monotonic() - self._told >= QUIET_SECONDS:
            self._told = time.monotonic()
            self._log.line("not kept", level="error", kind=kind, rows=rows, error=f"{type(error).__name__}: {error}")

    def _run(self) -> None:
        while not self._stopped.wait(PAUSE):
            self._empty_queue()
        self._empty_queue()
        self._write_due(every=True)

    def _empty_queue(self) -> None:
        more = True
        while more:
            while self._judged:
                self._add("feedback", [self._judged.popleft()])
            more = bool(batch := self._queue.take(PART_ROWS))
            for _, group in groupby(batch, key=lambda one: one.shadow is None):
                one = together(list(group))
                for start in range(0, len(one.ids), PART_ROWS):
                    self._add("predictions", one.part(slice(start, start + PART_ROWS)))
                    if not self._stopped.is_set():
                        time.sleep(YIELD)
            self._write_due()

    def _add(self, kind: str, rows: Answered | list[dict[str, Any]]) -> None:
        number = len(rows.ids) if isinstance(rows, Answered) else 1
        try:
            lines = self._lines(rows) if isinstance(rows, Answered) else rows
            self._open.setdefault(kind, Segment()).add(self._encode(lines), number)
        except Exception as error:  # noqa: BLE001  (one request must not end the keeping of all others)
            self._drop(kind, number, error)

    def _lines(self, one: Answered) -> list[Any]:
        columns = self._contract.lists(one.arrays)
        rows = map(self._row, *columns) if columns else repeat({})
        shadow: Any = repeat(UNSET)
        if one.shadow:
            shadow = map(self._shadow, repeat(one.shadow[0]), *self._answers(one.shadow[1]))
        answers = self._answers(one.predictions)
        return list(map(self._line, one.ids, _stamps(one.times), repeat(self._version), rows, *answers, shadow))

    def _answers(self, predictions: Predictions) -> tuple[list[Any], Any]:
        found = predictions.probabilities
        return predictions.labels, repeat(UNSET) if found is None else map(self._probabilities, *found.T.tolist())

    def _write_due(self, *, every: bool = False) -> None:
        limits = self._settings
        for kind, segment in list(self._open.items()):
            old = time.time() - segment.began >= limits.predictions_seconds
            if every or old or len(segment.content) >= limits.predictions_bytes:
                del self._open[kind]
                self._write(kind, segment)

    def _write(self, kind: str, segment: Segment) -> None:
        began = datetime.fromtimestamp(segment.began, UTC)
        self._number += 1
        name = f"{kind}/{began:%Y-%m-%d}/{began:%H%M%S}-{self._replica}-{self._number:06}.jsonl.gz"
        try:
            self._store.write(name, segment.finish())
            self._count(kind, "written", segment.rows)
            if self._settings.predictions_days and self._expired != f"{began:%Y-%m-%d}":
                self._expired = f"{began:%Y-%m-%d}"
                for each in KINDS:
                    self._store.expire(each, self._settings.predictions_days)
        except Exception as error:  # noqa: BLE001  (the errors of object stores are their own)
            self._drop(kind, segment.rows, error)


def _struct(*names: str) -> Any:
    """Make a type with fields of any name, which takes their values in order; msgspec encodes it faster than a dict."""
    fields = [(f"f{n}", Any) for n in range(len(names))]
    return msgspec.defstruct("Struct", fields, rename={f"f{n}": name for n, name in enumerate(names)}, gc=False)


def _stamps(times: list[float]) -> list[str]:
    """Write times as ISO 8601, in UTC and to the millisecond."""
    moments = (np.array(times) * 1000).astype("datetime64[ms]")
    stamps: list[str] = np.datetime_as_string(moments, timezone="UTC").tolist()
    return stamps
