"""A client of the service, synchronous and asynchronous. It needs httpx, and imports nothing else of Slipway.

>>> with Client("http://127.0.0.1:8000") as client:
...     prediction = client.predict({"species": "Gentoo", "bill_length_mm": 46.1, ...})
...     client.feedback(prediction.id, "female")
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx

ARROW = "application/vnd.apache.arrow.stream"
NOT_TAKEN = (429, 503)  # the service did nothing with the request: overloaded, or not ready
GATEWAY = (502, 504)  # a proxy cannot tell whether it did
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
Row = Any  # a mapping of fields, or a Pydantic model such as the project's row


class ServiceError(Exception):
    """The service refused a request.

    status: of HTTP. kind: for programs, such as "invalid" or "overloaded". detail: for a person. errors: one for each
    wrong field, with row, field, rule, message and value.
    """

    def __init__(self, response: httpx.Response) -> None:
        try:
            content = response.json()
        except ValueError:
            content = {}
        content = content if isinstance(content, dict) else {}
        self.status = response.status_code
        self.kind = str(content.get("type", "")).rpartition(":")[2]
        self.detail = str(content.get("detail") or response.text[:300] or response.reason_phrase)
        self.errors: list[dict[str, Any]] = content.get("errors", [])
        super().__init__(f"{response.request.method} {response.request.url} answers {self.status}: {self.detail}")


@dataclass(frozen=True)
class Prediction:
    """The prediction for a row.

    id: for feedback. label: the class; None in a regression. value: the number; None in a classification.
    probabilities: by class, if the model has them.
    """

    id: str
    label: str | bool | None = None
    value: float | None = None
    probabilities: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Explanation:
    """The prediction for a row, and what each field contributed: `base` and all contributions add up to it.

    To `value`, or to the probability of `label`. standard_errors: of contributions that were sampled.
    """

    base: float
    contributions: Mapping[str, float]
    standard_errors: Mapping[str, float] | None = None
    label: str | bool | None = None
    value: float | None = None
    probabilities: Mapping[str, float] | None = None


@dataclass(frozen=True)
class _Policy:
    """When a request is repeated."""

    retries: int
    patience: float

    def wait(self, outcome: httpx.Response | httpx.TransportError, attempt: int, repeatable: bool) -> float | None:
        """Give the seconds until the next attempt; None if there is none. attempt: from 0."""
        seconds: float = 0.1 * 2**attempt
        if isinstance(outcome, httpx.Response):
            again = outcome.status_code in (NOT_TAKEN + GATEWAY if repeatable else NOT_TAKEN)
            seconds = _retry_after(outcome, seconds)
        else:
            again = repeatable or isinstance(outcome, NOT_SENT)
        return seconds if again and attempt < self.retries and seconds <= self.patience else None


class Client:
    """A connection to the service, to be used with `with` or closed."""

    def __init__(
        self, url: str, *, key: str | None = None, timeout: float = 10.0, retries: int = 4, patience: float = 10.0
    ) -> None:
        """key: an API key. timeout: of one attempt, in seconds. retries: how often a request is repeated that the
        service could not take. patience: for how many seconds at most it may ask to wait before that (`Retry-After`).
        """
        self._policy = _Policy(retries, patience)
        self._http = httpx.Client(base_url=url, timeout=timeout, headers=_headers(key))

    def predict(self, row: Row) -> Prediction:
        """Predict for one row. Raises ServiceError if it is refused, httpx.TransportError if there is no answer."""
        return self.predict_rows([row])[0]

    def predict_rows(self, rows: Sequence[Row]) -> list[Prediction]:
        """Predict for some rows; the service takes at most 10,000 at once (`SLIPWAY_MAX_ROWS`)."""
        return _predictions(self._send(_rows(self._http, rows)))

    def explain(self, rows: Sequence[Row]) -> list[Explanation]:
        """Predict for some rows and explain it; the service takes at most 100 at once (`SLIPWAY_EXPLAIN_ROWS`).

        It is not repeated if its answer was lost, as the service may still be computing it.
        """
        return _explanations(self._send(_rows(self._http, rows, "explain"), repeatable=False))

    def predict_table(self, table: Any, rows: int = 5000) -> Any:
        """Predict for a pandas or Arrow table, sent as Arrow, so many rows at a time.

        Returns a table of the same kind with `label` and `probability_<class>`, or `value`, and `id`; a pandas table
        keeps its index. Needs pyarrow here, and `slipway[arrow]` in the service.
        """
        return _joined([self._send(part) for part in _parts(self._http, table, rows)], table)

    def feedback(self, prediction: str, truth: str | bool | float) -> str:
        """Tell the true outcome of a prediction by its id; gives "correct", "incorrect" or "scored".

        Raises ServiceError, of kind "duplicate" if it was told before. It is not repeated if its answer was lost.
        """
        return str(self._send(_feedback(self._http, prediction, truth), repeatable=False).json()["outcome"])

    def _send(self, request: httpx.Request, *, repeatable: bool = True) -> httpx.Response:
        for attempt in itertools.count():
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = self._http.send(request)
            except httpx.TransportError as error:
                outcome = error
            if (seconds := self._policy.wait(outcome, attempt, repeatable)) is None:
                break
            time.sleep(seconds)
        return _answer(outcome)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient:
    """As `Client`, with `async with` and `await`."""

    def __init__(
        self, url: str, *, key: str | None = None, timeout: float = 10.0, retries: int = 4, patience: float = 10.0
    ) -> None:
        """Takes what `Client` takes."""
        self._policy = _Policy(retries, patience)
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout, headers=_headers(key))

    async def predict(self, row: Row) -> Prediction:
        """See `Client.predict`."""
        return (await self.predict_rows([row]))[0]

    async def predict_rows(self, rows: Sequence[Row]) -> list[Prediction]:
        """See `Client.predict_rows`."""
        return _predictions(await self._send(_rows(self._http, rows)))

    async def explain(self, rows: Sequence[Row]) -> list[Explanation]:
        """See `Client.explain`."""
        return _explanations(await self._send(_rows(self._http, rows, "explain"), repeatable=False))

    async def predict_table(self, table: Any, rows: int = 5000) -> Any:
        """See `Client.predict_table`."""
        return _joined([await self._send(part) for part in _parts(self._http, table, rows)], table)

    async def feedback(self, prediction: str, truth: str | bool | float) -> str:
        """See `Client.feedback`."""
        answer = await self._send(_feedback(self._http, prediction, truth), repeatable=False)
        return str(answer.json()["outcome"])

    async def _send(self, request: httpx.Request, *, repeatable: bool = True) -> httpx.Response:
        for attempt in itertools.count():
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = await self._http.send(request)
            except httpx.TransportError as error:
                outcome = error
            if (seconds := self._policy.wait(outcome, attempt, repeatable)) is None:
                break
            await asyncio.sleep(seconds)
        return _answer(outcome)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _headers(key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def _rows(http: httpx.Client | httpx.AsyncClient, rows: Sequence[Row], path: str = "predict") -> httpx.Request:
    plain = [row.model_dump(mode="json") if hasattr(row, "model_dump") else dict(row) for row in rows]
    return http.build_request("POST", path, json={"rows": plain})


def _feedback(http: httpx.Client | httpx.AsyncClient, prediction: str, truth: str | bool | float) -> httpx.Request:
    return http.build_request("POST", "feedback", json={"id": prediction, "truth": truth})


def _parts(http: httpx.Client | httpx.AsyncClient, table: Any, rows: int) -> Iterator[httpx.Request]:
    """Make a request of each so many rows of a table."""
    import pyarrow as pa

    content = table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False)
    for start in range(0, max(content.num_rows, 1), rows):
        part, sink = content.slice(start, rows), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_table(part)
        yield http.build_request(
            "POST", "predict", content=sink.getvalue().to_pybytes(), headers={"content-type": ARROW, "accept": ARROW}
        )


def _joined(parts: Sequence[httpx.Response], table: Any) -> Any:
    """Join the answers to the parts of a table to one of its kind."""
    import pyarrow as pa

    joined = pa.concat_tables(pa.ipc.open_stream(part.content).read_all() for part in parts)
    return joined if isinstance(table, pa.Table) else joined.to_pandas().set_axis(table.index)


def _predictions(response: httpx.Response) -> list[Prediction]:
    return [Prediction(**item) for item in response.json()["predictions"]]


def _explanations(response: httpx.Response) -> list[Explanation]:
    return [Explanation(**item) for item in response.json()["explanations"]]


def _answer(outcome: httpx.Response | httpx.TransportError) -> httpx.Response:
    if isinstance(outcome, httpx.TransportError):
        raise outcome
    if not outcome.is_success:
        raise ServiceError(outcome)
    return outcome


def _retry_after(response: httpx.Response, default: float) -> float:
    """Read `Retry-After`: seconds, or a date of HTTP."""
    text = response.headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return default
