"""Micro-batching that never waits: requests that arrive while one inference runs form the next batch.

Handing an inference of some microseconds to a thread costs more than running it. So small batches run on the event
loop while they are quick, and in a thread otherwise. Large requests are decoded, run and serialized in a second thread,
so that they do not delay single rows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

from msgspec import Struct

from slipway.serving.problems import overloaded

QUICK = 0.001  # seconds; longer inferences leave the event loop
SMALL_ROWS = 64  # a request with more rows is large
MAX_ROWS = 256  # in one micro-batch

A = TypeVar("A")
Answers = Sequence[object]
Request = tuple[list[Struct], "asyncio.Future[Answers]"]


class Batcher:
    """Runs inferences: few rows in batches of many requests, large requests one by one in a thread."""

    def __init__(self, run: Callable[[list[Struct]], Answers], *, timeout: float) -> None:
        """run: returns one answer for each row. timeout: seconds that a request may wait for its answers."""
        self._run, self._timeout = run, timeout
        self._waiting: deque[Request] = deque()
        self._scheduled = self._threaded = False
        self._cost = QUICK  # seconds, moving average of the last batches; the first batch runs in the thread
        self._thread = ThreadPoolExecutor(1, "inference")
        self._large = ThreadPoolExecutor(1, "large")

    async def few(self, rows: list[Struct]) -> Answers:
        """Return one answer for each of a few rows. Raises ProblemDetails (503) on a timeout."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answers] = loop.create_future()
        self._waiting.append((rows, future))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._run_batch)  # after the callbacks of all data that has arrived
        if self._cost < QUICK and not self._threaded:
            return await future  # in the next iteration of the event loop: a timer would cost more than the inference
        return await self._with_timeout(future)

    async def many(self, job: Callable[[], A]) -> A:
        """Run the whole work of a large request in a thread. Raises ProblemDetails (503) on a timeout."""
        return await self._with_timeout(asyncio.get_running_loop().run_in_executor(self._large, job))

    def close(self) -> None:
        """Stop the threads."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._large.shutdown(wait=False, cancel_futures=True)

    async def _with_timeout(self, future: asyncio.Future[A]) -> A:
        try:
            async with asyncio.timeout(self._timeout):
                return await future
        except TimeoutError:
            raise overloaded("the prediction timed out") from None

    def _run_batch(self) -> None:
        batch: list[Request] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0][0]) <= MAX_ROWS):
            item = self._waiting.popleft()
            if not item[1].done():  # its request may have timed out
                batch.append(item)
                size += len(item[0])
        if not batch:
            self._scheduled = False
            return
        requests = [rows for rows, _ in batch]
        if self._cost < QUICK:
            self._resolve(batch, self._answers(requests))
            return
        self._threaded = True
        job = asyncio.get_running_loop().run_in_executor(self._thread, self._answers, requests)
        job.add_done_callback(lambda finished: self._resolve(batch, finished.result()))

    def _resolve(self, batch: list[Request], answers: list[Answers | Exception]) -> None:
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._threaded = False
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._run_batch)

    def _answers(self, requests: list[list[Struct]]) -> list[Answers | Exception]:
        started = perf_counter()
        try:
            together = requests[0] if len(requests) == 1 else [row for rows in requests for row in rows]
            answers = self._run(together)
            results: list[Answers | Exception] = []
            start = 0
            for rows in requests:
                results.append(answers[start : start + len(rows)])
                start += len(rows)
        except Exception as error:  # noqa: BLE001  (the request that caused it gets it)
            results = (
                [error] if len(requests) == 1 else [answer for rows in requests for answer in self._answers([rows])]
            )
        # Capped, so that a single batch that the machine delayed does not move batches to the thread.
        self._cost = 0.7 * self._cost + 0.3 * min(perf_counter() - started, 3 * QUICK)
        return results
