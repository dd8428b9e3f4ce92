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
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from prometheus_client.metrics_core import Metric

from slipway.contract import Array, Contract
from slipway.model.predictor import Predictions
from slipway.serving.logs import Log
from slipway.serving.metrics import counter
from slipway.serving.settings import Settings
from slipway.serving.stores import store_of

QUEUE_BYTES = 32 << 20  # of rows that wait, by an estimate
VALUE_BYTES = 100  # of memory that a value takes in Python
PAUSE = 0.2  # seconds between two looks at the queue: to be woken up by each request would cost that request time
PART_ROWS = 64  # made lines at once; then the event loop gets its turn
YIELD = 0.0005  # seconds
CLOSE_SECONDS = 4.0  # at shutdown: for what is queued, and the last files
QUIET_SECONDS = 60.0  # between two log lines about a store that fails
LEVEL = 1  # of gzip: a third larger than the default's files, for a third of its time
KINDS = ("predictions", "feedback")


class Answered(NamedTuple):
    """Rows that were answered at a time (seconds since 1970), with an id for each; and what a shadow answers."""

    time: float
    arrays: Mapping[str, Array]
    predictions: Predictions
    ids: Sequence[str]
    shadow: tuple[str, Predictions] | None = None


class Judged(NamedTuple):
    """Feedback that was accepted."""

    time: float
    id: str
    truth: Any


class Outbox:
    """A queue that takes items up to a number of bytes, by an estimate; from any thread."""

    def __init__(self, contract: Contract, limit: int = QUEUE_BYTES) -> None:
        self.limit, self._held = limit, 0
        self._width = VALUE_BYTES * (len(contract.columns) + 1)
        self._texts = [column.name for column in contract.columns if column.kind == "text"]
        self._items: deque[tuple[Answered | Judged, int]] = deque()
        self._lock = threading.Lock()

    def put(self, item: Answered | Judged) -> bool:
        """Append an item, unless the queue is full."""
        size = self._width
        if isinstance(item, Answered):  # of all values only free text can be long
            size = size * len(item.ids) + sum(sum(map(len, item.arrays[name])) for name in self._texts)
        with self._lock:
            if self._held and self._held + size > self.limit:
                return False
            self._held += size
            self._items.append((item, size))
            return True

    def take(self) -> Answered | Judged | None:
        """Take the first item, if there is one."""
        with self._lock:
            if not self._items:
                return None
            item, size = self._items.popleft()
            self._held -= size
            return item


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

    def __init__(self, settings: Settings, contract: Contract, version: str, log: Log) -> None:
        """Raises SlipwayError if the store cannot be used at all: no packages for it, or no URL of one."""
        self._store = store_of(settings.predictions or "")
        self._settings, self._version, self._log = settings, version, log
        # Private columns end here.
        self._contract = Contract(contract.title, tuple(c for c in contract.columns if not c.private))
        self._encode = msgspec.json.Encoder(decimal_format="number").encode_lines
        self._replica, self._number = os.urandom(4).hex(), 0  # several replicas write to the same folders
        self._queue = Outbox(contract)
        self._open: dict[str, Segment] = {}
        self._busy = 0  # rows since the event loop last got its turn
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
        if not self._queue.put(Judged(time.time(), id_, truth)):
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
        while (item := self._queue.take()) is not None:
            kind, left = ("feedback", 1) if isinstance(item, Judged) else ("predictions", len(item.ids))
            try:
                for lines in [[_judgement(item)]] if isinstance(item, Judged) else self._lines(item):
                    self._open.setdefault(kind, Segment()).add(self._encode(lines), len(lines))
                    left -= len(lines)
                    self._yield(len(lines))
            except Exception as error:  # noqa: BLE001  (one request must not end the keeping of all others)
                self._drop(kind, left, error)
            self._write_due()
        self._write_due()

    def _yield(self, rows: int) -> None:
        self._busy += rows
        if self._busy >= PART_ROWS and not self._stopped.is_set():
            time.sleep(YIELD)
            self._busy = 0

    def _lines(self, answered: Answered) -> Iterator[list[dict[str, Any]]]:
        head = {"time": _stamp(answered.time), "version": self._version}
        for start in range(0, len(answered.ids), PART_ROWS):
            part = slice(start, start + PART_ROWS)
            rows = self._contract.rows({name: values[part] for name, values in answered.arrays.items()})
            made = zip(answered.ids[part], rows, _answers(answered.predictions.part(part)), strict=True)
            lines = [{"id": id_, **head, "row": row, **answer} for id_, row, answer in made]
            if answered.shadow:
                version, predictions = answered.shadow
                for line, answer in zip(lines, _answers(predictions.part(part)), strict=True):
                    line["shadow"] = {"version": version, **answer}
            yield lines

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


def _judgement(judged: Judged) -> dict[str, Any]:
    return {"id": judged.id, "time": _stamp(judged.time), "truth": judged.truth}


def _answers(predictions: Predictions) -> Iterator[dict[str, Any]]:
    name = "label" if predictions.classes else "value"
    for answer in predictions.as_json():
        yield {"prediction": answer.pop(name), **answer}


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
