"""A client of the service, synchronous and asynchronous. It needs httpx, and imports nothing else of Slipway.

>>> with Client("http://127.0.0.1:8000") as client:
...     prediction = client.predict({"species": "Gentoo", "bill_length_mm": 46.1, ...})
...     client.feedback(prediction.id, "female")
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self, TypeVar

import httpx

ARROW = "application/vnd.apache.arrow.stream"
NOT_TAKEN = (429, 503)  # the service did nothing with the request: overloaded, or not ready
GATEWAY = (502, 504)  # a proxy cannot tell whether it did
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
MISSING = ("nan", "NaT", "<NA>")  # how NumPy and pandas write it
Row = Any  # a mapping of fields, or a Pydantic model such as the project's row
Item = TypeVar("Item")


@dataclass(eq=False)
class ServiceError(Exception):
    """The service refused a request.

    request: its method and URL. status: of HTTP. kind: for programs, such as "invalid" or "overloaded". detail: for a
    person. errors: one for each wrong field, with row, field, rule, message and value. retry_after: in seconds.
    """

    request: str
    status: int
    kind: str
    detail: str
    errors: list[dict[str, Any]]
    retry_after: float | None = None

    def __str__(self) -> str:
        return f"{self.request} answers {self.status}: {self.detail}"


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


class _Connection:
    """What both clients share: their options, the requests, and when one is repeated."""

    _kind: type[Any]  # of httpx

    def __init__(
        self, url: str, *, key: str | None = None, timeout: float = 10.0, retries: int = 4, patience: float = 10.0
    ) -> None:
        """key: an API key. timeout: of one attempt, in seconds. retries: how often a request is repeated that the
        service could not take. patience: for how many seconds at most it may ask to wait before that (`Retry-After`).
        """
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is not the address of a service, http://... or https://...")
        self._retries, self._patience = retries, patience
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = self._kind(base_url=url, timeout=timeout, headers=headers)

    def _post(self, path: str, **content: Any) -> httpx.Request:
        request: httpx.Request = self._http.build_request("POST", path, **content)
        return request

    def _rows(self, rows: Sequence[Row], path: str = "predict") -> httpx.Request:
        if hasattr(rows, "columns"):
            raise TypeError("rows is a table; predict_table takes one")
        plain = [row.model_dump(mode="json") if hasattr(row, "model_dump") else dict(row) for row in rows]
        return self._post(path, json={"rows": [{name: _plain(row[name]) for name in row} for row in plain]})

    def _parts(self, table: Any, rows: int) -> Iterator[tuple[int, httpx.Request]]:
        """Make a request of each so many rows of a table; with each the number of its first row."""
        import pyarrow as pa

        content = table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False)
        for start in range(0, max(content.num_rows, 1), rows):
            part, sink = content.slice(start, rows), pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, part.schema) as writer:
                writer.write_table(part)
            headers = {"content-type": ARROW, "accept": ARROW}
            yield start, self._post("predict", content=sink.getvalue().to_pybytes(), headers=headers)

    def _pause(self, error: ServiceError | httpx.TransportError, attempt: int, repeatable: bool) -> float:
        """Give the seconds until the next attempt. Raises the error if there is none. attempt: from 0."""
        seconds: float = 0.1 * 2**attempt
        if isinstance(error, ServiceError):
            again = error.status in (NOT_TAKEN + GATEWAY if repeatable else NOT_TAKEN)
            seconds = seconds if error.retry_after is None else error.retry_after
        else:
            again = repeatable or isinstance(error, NOT_SENT)
        if again and attempt < self._retries and seconds <= self._patience:
            return seconds
        if isinstance(error, httpx.TransportError):
            error.add_note(f"{error.request.method} {error.request.url}")
        raise error


class Client(_Connection):
    """A connection to the service, to be used with `with` or closed."""

    _kind = httpx.Client

    def predict(self, row: Row) -> Prediction:
        """Predict for one row. Raises ServiceError if it is refused, httpx.TransportError if there is no answer.

        Its values are JSON's, NumPy's or dates; NaN and pandas' NA are missing.
        """
        return self.predict_rows([row])[0]

    def predict_rows(self, rows: Sequence[Row]) -> list[Prediction]:
        """Predict for some rows; the service takes at most 10,000 at once (`SLIPWAY_MAX_ROWS`)."""
        return _items(self._send(self._rows(rows)), "predictions", Prediction, len(rows))

    def explain(self, rows: Sequence[Row]) -> list[Explanation]:
        """Predict for some rows and explain it; the service takes at most 100 at once (`SLIPWAY_EXPLAIN_ROWS`).

        It is not repeated if its answer was lost, as the service may still be computing it.
        """
        answer = self._send(self._rows(rows, "explain"), repeatable=False)
        return _items(answer, "explanations", Explanation, len(rows))

    def predict_table(self, table: Any, rows: int = 5000) -> Any:
        """Predict for a pandas or Arrow table, sent as Arrow, so many rows at a time.

        Returns a table of the same kind with `label` and `probability_<class>`, or `value`, and `id`; a pandas table
        keeps its index. Needs pyarrow here, and `slipway[arrow]` in the service.
        """
        return _joined([self._send(part, first=first) for first, part in self._parts(table, rows)], table)

    def feedback(self, prediction: str, truth: str | bool | float) -> str:
        """Tell the true outcome of a prediction by its id; gives "correct", "incorrect" or "scored".

        Raises ServiceError, of kind "duplicate" if it was told before. It is not repeated if its answer was lost.
        """
        told = self._post("feedback", json={"id": prediction, "truth": _plain(truth)})
        return _read(self._send(told, repeatable=False), _outcome)

    def _send(self, request: httpx.Request, *, repeatable: bool = True, first: int = 0) -> httpx.Response:
        attempt = 0
        while True:
            try:
                return _accepted(self._http.send(request), first)
            except (ServiceError, httpx.TransportError) as error:
                seconds = self._pause(error, attempt, repeatable)
            time.sleep(seconds)
            attempt += 1

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Connection):
    """As `Client`, with `async with` and `await`."""

    _kind = httpx.AsyncClient

    async def predict(self, row: Row) -> Prediction:
        """See `Client.predict`."""
        return (await self.predict_rows([row]))[0]

    async def predict_rows(self, rows: Sequence[Row]) -> list[Prediction]:
        """See `Client.predict_rows`."""
        return _items(await self._send(self._rows(rows)), "predictions", Prediction, len(rows))

    async def explain(self, rows: Sequence[Row]) -> list[Explanation]:
        """See `Client.explain`."""
        answer = await self._send(self._rows(rows, "explain"), repeatable=False)
        return _items(answer, "explanations", Explanation, len(rows))

    async def predict_table(self, table: Any, rows: int = 5000) -> Any:
        """See `Client.predict_table`."""
        return _joined([await self._send(part, first=first) for first, part in self._parts(table, rows)], table)

    async def feedback(self, prediction: str, truth: str | bool | float) -> str:
        """See `Client.feedback`."""
        told = self._post("feedback", json={"id": prediction, "truth": _plain(truth)})
        return _read(await self._send(told, repeatable=False), _outcome)

    async def _send(self, request: httpx.Request, *, repeatable: bool = True, first: int = 0) -> httpx.Response:
        attempt = 0
        while True:
            try:
                return _accepted(await self._http.send(request), first)
            except (ServiceError, httpx.TransportError) as error:
                seconds = self._pause(error, attempt, repeatable)
            await asyncio.sleep(seconds)
            attempt += 1

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _plain(value: Any) -> Any:
    """Give a value as JSON has it."""
    if not isinstance(value, str) and str(value) in MISSING:
        return None
    value = value.item() if hasattr(value, "item") else value  # NumPy's
    return value.isoformat() if hasattr(value, "isoformat") else value


def _accepted(response: httpx.Response, first: int) -> httpx.Response:
    """Give the response. Raises ServiceError if it is a refusal. first: the number of the request's first row."""
    if not response.is_success:
        raise _error(response, first)
    return response


def _error(response: httpx.Response, first: int = 0) -> ServiceError:
    try:
        content = response.json()
    except ValueError:
        content = {}
    content = content if isinstance(content, dict) else {}
    text, errors = response.text[:300], content.get("errors", [])
    detail = str(content.get("detail") or text or response.reason_phrase)
    if response.is_success:
        detail = f"not an answer of a Slipway service: {text}"
    return ServiceError(
        f"{response.request.method} {response.request.url}",
        response.status_code,
        str(content.get("type", "")).rpartition(":")[2],
        re.sub(r"^row (\d+)", lambda found: f"row {int(found[1]) + first}", detail),
        [{**one, "row": one["row"] + first} for one in errors] if first else errors,
        _seconds(response.headers.get("retry-after", "")),
    )


def _read(response: httpx.Response, read: Callable[[httpx.Response], Item]) -> Item:
    """Read an answer. Raises ServiceError if it is another program's, such as the page of a proxy."""
    try:
        return read(response)
    except (ValueError, KeyError, TypeError):
        raise _error(response) from None


def _items(response: httpx.Response, name: str, kind: type[Item], rows: int) -> list[Item]:
    """Read the answer for each row. A field that is unknown here is passed over: a newer service may add some."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]

    def read(response: httpx.Response) -> list[Item]:
        items = [{field: one[field] for field in known if field in one} for one in response.json()[name]]
        return [kind(**one) for one, _ in zip(items, range(rows), strict=True)]

    return _read(response, read)


def _outcome(response: httpx.Response) -> str:
    return str(response.json()["outcome"])


def _joined(parts: Sequence[httpx.Response], table: Any) -> Any:
    """Join the answers to the parts of a table to one of its kind."""
    import pyarrow as pa

    joined = pa.concat_tables(_read(part, lambda one: pa.ipc.open_stream(one.content).read_all()) for part in parts)
    return joined if isinstance(table, pa.Table) else joined.to_pandas().set_axis(table.index)


def _seconds(text: str) -> float | None:
    """Read `Retry-After`: seconds, or a date of HTTP."""
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
