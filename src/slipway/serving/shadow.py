"""A shadow: another bundle that answers the same rows once the champion has, for comparison (SLIPWAY_SHADOW).

A request only appends to a bounded queue. A thread sends what is there to the shadow's process, compares, and hands it
on to be kept. The time that it may take is a share of one core: after each batch it rests as long as that demands, and
what the queue cannot hold meanwhile is skipped. A shadow that was refused, crashed or hangs is ended for good.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from itertools import product
from time import perf_counter, thread_time

import numpy as np
from prometheus_client.metrics_core import Metric

from slipway.contract import Array
from slipway.model.bundle import Bundle, read_bundle
from slipway.model.predictor import Predictions, Predictor
from slipway.model.process import PredictorProcess
from slipway.model.reference import bins_of
from slipway.problem import SlipwayError
from slipway.serving.families import Histogram, counter, gauge, histograms
from slipway.serving.kept import Keeper
from slipway.serving.logs import Log
from slipway.serving.metrics import SECONDS, ModelMetrics
from slipway.serving.outbox import Answered, Outbox, together
from slipway.serving.settings import Settings

QUEUE_BYTES = 8 << 20
PAUSE = 0.05  # seconds between two looks at the queue
BATCH_ROWS = 256
MANY = 1 << 60  # rows: all
CLOSE_SECONDS = 1.0
DISTANCES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SLICE = ("feature", "bin")
# What is counted by slice.
SLICED = {
    "rows": "Rows that both answered",
    "agreed": "Rows with the same answer",
    "distance": "Sum of the distances of the two answers",
    "seconds": "Sum of the seconds of each row's batch",
    "failed": "Rows on which the shadow failed",
}


class Shadow:
    """Asks the shadow in a thread of its own, and counts how its answers differ."""

    def __init__(
        self,
        settings: Settings,
        champion: Predictor,
        counters: ModelMetrics,
        keeper: Keeper | None,
        log: Log,
        expected: Callable[[], str | None],
        sliced: Set[str],
    ) -> None:
        """settings: `bundle` is the shadow's. expected: gives the digest that it must have, if there is one.

        sliced: the fields by whose values agreement is counted, too, in the reference's bins.
        """
        self._folder, self._share, self._expected = settings.bundle, settings.shadow_share, expected
        self._champion, self._counters, self._keeper, self._log = champion, counters, keeper, log
        self.version, self.up = "", False
        self._queue = Outbox(champion.contract, QUEUE_BYTES)
        self._asked: Answered | None = None  # taken from the queue, and not handed on yet
        self._process: PredictorProcess | None = None
        self._answers: Counter[tuple[str, str]] = Counter(
            dict.fromkeys(product(counters.outcomes, ("true", "false")), 0)
        )
        bins = bins_of(champion.bundle.reference)
        self._slices = {name: bins[name] for name in bins if name in sliced}
        self._sliced = {
            name: {what: np.zeros(len(bins.labels)) for what in SLICED} for name, bins in self._slices.items()
        }
        self._missed: Counter[str] = Counter(skipped=0, failed=0)
        self._distance, self._seconds = Histogram(DISTANCES), Histogram(SECONDS)
        edges = champion.bundle.reference.get("predictions", {}).get("value", {}).get("edges", ())
        self._unit = edges[-1] - edges[0] if len(edges) > 1 else 1.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, answered: Answered) -> None:
        """Have the shadow answer rows, too, if there is room; then they are kept."""
        if not self.up or not self._queue.put(answered):
            self._miss(answered, "skipped")

    def close(self) -> None:
        """End the shadow; what waits for it is kept without its answers."""
        self._stopped.set()
        if self._process is not None:
            self._process.close()
        self._thread.join(CLOSE_SECONDS)

    def collect(self) -> Iterator[Metric]:
        """Give the metrics, labelled with the versions of both."""
        versions = {"version": self._champion.version, "shadow": self.version}
        with self._lock:
            answers, missed = dict(self._answers), {(reason,): rows for reason, rows in self._missed.items()}
            slices = {what: dict(self._of_slices(what)) for what in SLICED}
        for metric in (
            gauge("slipway_shadow_up", "1 while the shadow answers", {(): int(self.up)}),
            counter("slipway_shadow_answers", "Rows that both answered", answers, "outcome", "agrees"),
            *(counter(f"slipway_shadow_slice_{what}", text, slices[what], *SLICE) for what, text in SLICED.items()),
            counter("slipway_shadow_missed", "Rows without the shadow's answer", missed, "reason"),
            histograms("slipway_shadow_distance", "Distance of the two answers", {(): self._distance}),
            histograms("slipway_shadow_duration_seconds", "Seconds of the shadow's batches", {(): self._seconds}),
        ):
            metric.samples = [sample._replace(labels=sample.labels | versions) for sample in metric.samples]
            yield metric

    def _of_slices(self, what: str) -> Iterator[tuple[tuple[str, str], float]]:
        for name, bins in self._slices.items():
            for label, total in zip(bins.labels, self._sliced[name][what].tolist(), strict=True):
                yield (name, label), total

    def _run(self) -> None:
        try:
            process = self._start()
            self.up = True
            self._log.line("shadow", version=self.version, share=self._share)
            while not self._stopped.wait(PAUSE):
                while not self._stopped.is_set() and (batch := self._queue.take(BATCH_ROWS)):
                    self._stopped.wait(self._ask(process, batch))
        except Exception as error:  # noqa: BLE001  (whatever happens to the shadow, the champion serves)
            known = isinstance(error, SlipwayError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            if not self._stopped.is_set():
                self._log.line("shadow ended", level="error", version=self.version, reason=reason)
        finally:
            self.up = False
            if self._process is not None:
                self._process.close()
            if self._asked is not None:
                self._miss(self._asked, "failed")
            for one in self._queue.take(MANY):
                self._miss(one, "skipped")

    def _start(self) -> PredictorProcess:
        bundle = read_bundle(self._folder, expected=self._expected())
        self.version = bundle.version
        if difference := differing(self._champion, bundle):
            raise SlipwayError(f"{self._folder}: {difference}")
        self._process = PredictorProcess(self._folder, bundle.digest)
        self._process.load()
        return self._process

    def _ask(self, process: PredictorProcess, batch: list[Answered]) -> float:
        """Ask for a batch and hand it on; returns the seconds to rest."""
        started, cpu = perf_counter(), thread_time()
        self._asked = one = together(batch)
        answer = process.predict(one.arrays)
        self._asked = None
        if answer.predictions is None:
            if not self._missed["failed"]:  # the first one; the metric counts all
                self._log.line("shadow failed", level="error", version=self.version, error=answer.error)
            self._miss(one, "failed")
        else:
            self._compare(one.arrays, one.predictions, answer.predictions, answer.seconds)
            if self._keeper is not None:
                self._keeper.offer(one._replace(shadow=(self.version, answer.predictions)))
        spent = answer.cpu + thread_time() - cpu
        return max(0.0, spent / self._share - (perf_counter() - started))

    def _compare(self, arrays: Mapping[str, Array], ours: Predictions, theirs: Predictions, seconds: float) -> None:
        """Count agreement (the same class, or bin of a regression's values), distance and seconds."""
        mine, other = self._counters.outcome(ours.values), self._counters.outcome(theirs.values)
        names = self._counters.outcomes
        agreed = mine == other
        found = Counter(zip(mine.tolist(), agreed.tolist(), strict=True))
        with self._lock:
            self._seconds.add(seconds)
            self._answers.update({(names[n], str(agrees).lower()): rows for (n, agrees), rows in found.items()})
            self._slice(arrays, rows=1, agreed=agreed, seconds=seconds)
            if (distance := self._distances(ours, theirs)) is not None:
                self._distance.add_all(distance)
                self._slice(arrays, distance=distance)

    def _distances(self, ours: Predictions, theirs: Predictions) -> Array | None:
        """Give the distance of each row's answers.

        That of probabilities is the total variation: half of the sum of the absolute differences. That of values is
        relative to the range in which most predictions of the training rows lie.
        """
        found: Array | None = None
        if ours.probabilities is not None and theirs.probabilities is not None:
            found = np.abs(ours.probabilities - theirs.probabilities).sum(axis=1) / 2
        elif not ours.classes:
            found = np.abs(ours.values - theirs.values) / self._unit
        return found

    def _slice(self, arrays: Mapping[str, Array], **of_rows: Array | float) -> None:
        """Add numbers of rows to the sums of their slices; the lock is held."""
        for name, bins in self._slices.items():
            index = bins.index(arrays[name])
            for what, values in of_rows.items():
                weights = np.broadcast_to(values, index.shape)
                self._sliced[name][what] += np.bincount(index, weights, len(bins.labels))

    def _miss(self, one: Answered, reason: str) -> None:
        """Count rows without an answer of the shadow, and hand them on."""
        with self._lock:
            self._missed[reason] += len(one.ids)
            if reason == "failed":
                self._slice(one.arrays, failed=1)
        if self._keeper is not None:
            self._keeper.offer(one)


def differing(champion: Predictor, bundle: Bundle) -> str:
    """Say why a bundle cannot answer the champion's rows, or not comparably; the empty text if it can."""
    ours, theirs = ([one.target.column.name, *one.target.classes] for one in (champion, bundle))
    if ours != theirs:
        return f"it predicts {', '.join(map(str, theirs))}; the champion predicts {', '.join(map(str, ours))}"
    known = {column.name: column.kind for column in champion.contract.columns}
    for column in bundle.contract.columns:
        if known.get(column.name) != column.kind:
            return (
                f"it needs {column.name}, a {column.kind}; to the champion that is {known.get(column.name, 'unknown')}"
            )
    return ""
