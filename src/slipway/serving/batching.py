"""Micro-batching that never waits: what arrives while one inference runs, forms the next batch.

An inference that takes microseconds is not worth a thread: handing it over costs more than running it. So small
batches run on the event loop while they are that quick, and in a thread as soon as they are not. Large requests
are decoded, run and encoded whole in a second thread, so that single rows pass them by.
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
SMALL_ROWS = 64  # a request of more rows is a large one
MAX_ROWS = 256  # in one micro-batch

A = TypeVar("A")
Answers = Sequence[object]
Request = tuple[list[Struct], "asyncio.Future[Answers]"]


class Batcher:
    """Two ways to an answer: one for few rows, in batches of many requests, and one for large requests."""

    def __init__(self, run: Callable[[list[Struct]], Answers], *, timeout: float) -> None:
        """run: answers rows, one answer a row. timeout: seconds that a request may wait for its answer."""
        self._run, self._timeout = run, timeout
        self._waiting: deque[Request] = deque()
        self._scheduled = self._threaded = False
        self._cost = QUICK  # of the last batches, in seconds; the first one runs in the thread
        self._thread = ThreadPoolExecutor(1, "inference")
        self._large = ThreadPoolExecutor(1, "large")

    async def few(self, rows: list[Struct]) -> Answers:
        """Answer a few rows, one answer a row. Raises ProblemDetails (503) if that takes too long."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answers] = loop.create_future()
        self._waiting.append((rows, future))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._next)  # after everything that has arrived by now
        if self._cost < QUICK and not self._threaded:
            return await future  # in the next turn of the event loop: a timer would cost more than the inference
        return await self._in_time(future)

    async def many(self, job: Callable[[], A]) -> A:
        """Do a large request's whole work apart. Raises ProblemDetails (503) if that takes too long."""
        return await self._in_time(asyncio.get_running_loop().run_in_executor(self._large, job))

    def close(self) -> None:
        """Let the threads end."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._large.shutdown(wait=False, cancel_futures=True)

    async def _in_time(self, future: asyncio.Future[A]) -> A:
        try:
            async with asyncio.timeout(self._timeout):
                return await future
        except TimeoutError:
            raise overloaded("no answer was found in time") from None

    def _next(self) -> None:
        batch: list[Request] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0][0]) <= MAX_ROWS):
            item = self._waiting.popleft()
            if not item[1].done():  # its request may have run out of time
                batch.append(item)
                size += len(item[0])
        if not batch:
            self._scheduled = False
            return
        requests = [rows for rows, _ in batch]
        if self._cost < QUICK:
            self._done(batch, self._answers(requests))
            return
        self._threaded = True
        job = asyncio.get_running_loop().run_in_executor(self._thread, self._answers, requests)
        job.add_done_callback(lambda finished: self._done(batch, finished.result()))

    def _done(self, batch: list[Request], answers: list[Answers | Exception]) -> None:
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
            asyncio.get_running_loop().call_soon(self._next)

    def _answers(self, requests: list[list[Struct]]) -> list[Answers | Exception]:
        started = perf_counter()
        try:
            everything = requests[0] if len(requests) == 1 else [row for rows in requests for row in rows]
            answers = self._run(everything)
            made: list[Answers | Exception] = []
            start = 0
            for rows in requests:
                made.append(answers[start : start + len(rows)])
                start += len(rows)
        except Exception as error:  # noqa: BLE001  (it belongs to the request that caused it)
            made = [error] if len(requests) == 1 else [answer for rows in requests for answer in self._answers([rows])]
        # One batch that was held up by the machine says little of the model; several in a row do.
        self._cost = 0.7 * self._cost + 0.3 * min(perf_counter() - started, 3 * QUICK)
        return made
