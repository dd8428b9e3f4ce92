"""Keeps predictions and feedback in files of JSON lines (SLIPWAY_PREDICTIONS; docs/loop.md has their format).

No request waits for this: it appends to a bounded queue, and a thread does the rest. Rows that the thread
cannot take or write are dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import Any

from prometheus_client.metrics_core import Metric

from slipway.model.predictor import Predictor
from slipway.serving.families import counter
from slipway.serving.logs import Log
from slipway.serving.outbox import Answered, Outbox, together
from slipway.serving.segments import KINDS, Lines, Names, Segment, encode, stamps
from slipway.serving.settings import Settings
from slipway.serving.stores import store_of

QUEUE_BYTES = 32 << 20  # of rows that wait, by an estimate
QUEUE_JUDGED = 10_000  # feedback that waits
PAUSE = 0.2  # seconds between two looks at the queue: to be woken up by each request would cost that request time
PART_ROWS = 256  # made lines at once; then the event loop gets its turn
YIELD = 0.0005  # seconds
CLOSE_SECONDS = 3.0  # at shutdown: for what is queued, and the last files
QUIET_SECONDS = 60.0  # between two log lines about a store that fails


class Keeper:
    """Writes what was answered and judged, in a thread of its own."""

    def __init__(self, settings: Settings, predictor: Predictor, log: Log) -> None:
        """Raises SlipwayError if the store cannot be used at all: no packages for it, or no URL of one."""
        self._store = store_of(settings.predictions or "")
        self._settings, self._log = settings, log
        self._lines = Lines(predictor.contract, predictor.version, predictor.classes)
        self._names = Names()
        self._queue = Outbox(predictor.contract, QUEUE_BYTES)
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
            self._judged.append({"id": id_, "time": stamps([time.time()])[0], "truth": truth})
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
                self._add("feedback", 1, lambda: [self._judged.popleft()])
            more = bool(batch := self._queue.take(PART_ROWS))
            for _, group in groupby(batch, key=lambda one: one.shadow is None):
                one = together(list(group))
                for start in range(0, len(one.ids), PART_ROWS):
                    part = one.part(slice(start, start + PART_ROWS))
                    self._add("predictions", len(part.ids), partial(self._lines.of, part))
                    if not self._stopped.is_set():
                        time.sleep(YIELD)
            self._write_due()

    def _add(self, kind: str, rows: int, lines: Callable[[], list[Any]]) -> None:
        try:
            encoded = encode(lines())
            self._open.setdefault(kind, Segment()).add(encoded, rows)
        except Exception as error:  # noqa: BLE001  (one request must not end the keeping of all others)
            self._drop(kind, rows, error)

    def _write_due(self, *, every: bool = False) -> None:
        limits = self._settings
        for kind, segment in list(self._open.items()):
            old = time.time() - segment.began >= limits.predictions_seconds
            if every or old or len(segment.content) >= limits.predictions_bytes:
                del self._open[kind]
                self._write(kind, segment)

    def _write(self, kind: str, segment: Segment) -> None:
        name = self._names.new(kind, segment)
        try:
            self._store.write(name, segment.finish())
            self._count(kind, "written", segment.rows)
            if self._settings.predictions_days and self._expired != (day := name.split("/")[1]):
                self._expired = day
                for each in KINDS:
                    self._store.expire(each, self._settings.predictions_days)
        except Exception as error:  # noqa: BLE001  (the errors of object stores are their own)
            self._drop(kind, segment.rows, error)
