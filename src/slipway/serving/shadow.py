"""A shadow: another bundle that answers the same rows once the champion has, for comparison (SLIPWAY_SHADOW).

A request only appends to a bounded queue. A thread sends what is there to the shadow's process, compares, and hands it
on to be kept. The time that it may take is a share of one core: after each batch it rests as long as that demands, and
what the queue cannot hold meanwhile is skipped. A shadow that was refused, crashed or hangs is ended for good.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from time import perf_counter, thread_time

from prometheus_client.metrics_core import Metric

from slipway.model.bundle import Bundle, read_bundle
from slipway.model.predictor import Predictor
from slipway.model.process import PredictorProcess
from slipway.problem import SlipwayError
from slipway.serving.differences import Differences
from slipway.serving.families import counter, gauge, labelled
from slipway.serving.kept import Keeper
from slipway.serving.logs import Log
from slipway.serving.outbox import Answered, Outbox, together
from slipway.serving.settings import Settings

QUEUE_BYTES = 8 << 20
PAUSE = 0.05  # seconds between two looks at the queue
BATCH_ROWS = 256
MANY = 1 << 60  # rows: all
CLOSE_SECONDS = 1.0


class Shadow:
    """Asks the shadow in a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        champion: Predictor,
        differences: Differences,
        keeper: Keeper | None,
        log: Log,
        expected: Callable[[], str | None],
    ) -> None:
        """settings: `bundle` is the shadow's. expected: gives the digest that it must have, if there is one."""
        self._folder, self._share, self._expected = settings.bundle, settings.shadow_share, expected
        self._champion, self.differences, self._keeper, self._log = champion, differences, keeper, log
        self.version, self.up = "", False
        self._queue = Outbox(champion.contract, QUEUE_BYTES)
        self._asked: Answered | None = None  # taken from the queue, and not handed on yet
        self._process: PredictorProcess | None = None
        self._missed: Counter[str] = Counter(skipped=0, failed=0)
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
        with self._lock:
            missed = {(reason,): rows for reason, rows in self._missed.items()}
        metrics = (
            gauge("slipway_shadow_up", "1 while the shadow answers", {(): int(self.up)}),
            counter("slipway_shadow_missed", "Rows without the shadow's answer", missed, "reason"),
            *self.differences.collect(),
        )
        yield from labelled(metrics, version=self._champion.version, shadow=self.version)

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
            self.differences.add(one.arrays, one.predictions, answer.predictions, answer.seconds)
            if self._keeper is not None:
                self._keeper.offer(one._replace(shadow=(self.version, answer.predictions)))
        spent = answer.cpu + thread_time() - cpu
        return max(0.0, spent / self._share - (perf_counter() - started))

    def _miss(self, one: Answered, reason: str) -> None:
        """Count rows without an answer of the shadow, and hand them on."""
        with self._lock:
            self._missed[reason] += len(one.ids)
        if reason == "failed":
            self.differences.failed(one.arrays)
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
