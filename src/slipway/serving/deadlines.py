"""Time limits of requests: one look at all of them now and then costs less than a timer for each."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from slipway.serving.exchange import Exchange
from slipway.serving.problems import CLOSE, Problem, overloaded

LOOK_SECONDS = 0.1


class Deadlines:
    """Ends requests whose time, `Exchange.ends`, is over."""

    def __init__(self) -> None:
        self._open: dict[Exchange, asyncio.Task[Any]] = {}
        self._looking: asyncio.TimerHandle | None = None

    def watch(self, exchange: Exchange) -> None:
        """Watch the running task, which answers a request."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is not None:
            self._open[exchange] = task
        if self._looking is None:
            self._looking = loop.call_later(LOOK_SECONDS, self._look)

    def forget(self, exchange: Exchange) -> None:
        """Cease to watch a request that was answered."""
        self._open.pop(exchange, None)

    def _look(self) -> None:
        now = perf_counter()
        for exchange, task in self._open.items():
            if 0 < exchange.ends < now and exchange.late is None:
                exchange.late = _late(exchange)
                task.cancel()
        self._looking = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look) if self._open else None


def _late(exchange: Exchange) -> Problem:
    if exchange.scope["method"] == "POST" and not exchange.body:
        return Problem(408, "too-slow", "the body did not arrive in time", headers=(CLOSE,))
    return overloaded("no answer was found in time")
