"""Explanations, one request at a time in a thread of its own, so that predictions keep their pace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any

from slipway.contract import Array
from slipway.model.explanation import Explanations, explain
from slipway.model.predictor import Predictions, Predictor
from slipway.serving.problems import overloaded, too_large

WAITING = 8  # requests; more are answered 503, so that they do not take the places of predictions


class Explainer:
    """Explains rows against the bundle's golden rows."""

    def __init__(self, predictor: Predictor, *, limit: int, timeout: float) -> None:
        """limit: rows of one request. timeout: seconds from its arrival; the work then ends."""
        self._predictor, self._limit, self._timeout = predictor, limit, timeout
        self._background = predictor.contract.checked(predictor.bundle.examples["rows"])
        self._thread = ThreadPoolExecutor(1, "explanations")
        self._waiting, self._closed = 0, False

    async def explain(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        """Explain checked rows; gives the response but its model. Raises ProblemDetails (413, 503)."""
        rows = len(next(iter(arrays.values())))
        if rows > self._limit:
            raise too_large(f"{rows} rows; the limit on explanations is {self._limit} (SLIPWAY_EXPLAIN_ROWS)")
        if self._waiting >= WAITING:
            raise overloaded(f"{self._waiting} requests for explanations are waiting")
        self._waiting += 1
        try:
            job = (arrays, monotonic() + self._timeout)
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._explained, *job)
        finally:
            self._waiting -= 1

    def _explained(self, arrays: Mapping[str, Array], until: float) -> dict[str, Any]:
        def predict(part: Mapping[str, Array]) -> Predictions:
            if (started := monotonic()) > until or self._closed:
                raise overloaded("the explanation timed out; send fewer rows")
            answers = self._predictor.predict_arrays(part)
            sleep(monotonic() - started)  # half of the time is the event loop's
            return answers

        found = explain(predict, arrays, self._background)
        return {
            "method": "exact" if found.errors is None else "sampled",
            "background_rows": len(next(iter(self._background.values()))),
            "explanations": self._described(found),
        }

    def _described(self, found: Explanations) -> list[dict[str, Any]]:
        names = self._predictor.contract.names
        answers = found.predictions.as_json()
        for row, answer in enumerate(answers):
            contributions = dict(zip(names, found.contributions[row].tolist(), strict=True))
            answer |= {"base": float(found.bases[row]), "contributions": contributions}
            if found.errors is not None:
                answer["standard_errors"] = dict(zip(names, found.errors[row].tolist(), strict=True))
        return answers

    def close(self) -> None:
        """Stop the thread. The process waits for its present computation, which is short."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
