"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

MOST_FAULTS = 1000  # listed in one document; `faults_in_all` counts the rest
MOST_CHARACTERS = 200  # shown of a wrong value
HEADERS = tuple[tuple[bytes, bytes], ...]
CLOSE = (b"connection", b"close")


class Fault(dict[str, Any]):
    """One thing that is wrong with a row: `row` (index), `field`, `rule`, `message`, `value`."""

    def __init__(self, row: int, field: str, rule: str, message: str, value: Any) -> None:
        super().__init__(row=row, field=field, rule=rule, message=message, value=_shown(value))


class Problem(Exception):  # noqa: N818  (RFC 9457 calls it so)
    """Answers a request with an error. `kind` names it for machines, `detail` explains it to a person."""

    def __init__(
        self, status: int, kind: str, detail: str, *, faults: Sequence[Fault] = (), headers: HEADERS = ()
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.faults, self.headers = status, kind, detail, faults, headers

    def document(self, request: str) -> dict[str, Any]:
        """Give the problem document. `error` repeats the detail where the Open Inference Protocol looks for it."""
        body: dict[str, Any] = {
            "type": f"urn:slipway:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:slipway:request:{request}",
            "error": self.detail,
        }
        if self.faults:
            body |= {"faults": list(self.faults[:MOST_FAULTS]), "faults_in_all": len(self.faults)}
        return body


def malformed(detail: str) -> Problem:
    """400: the body cannot be read as what it says it is."""
    return Problem(400, "malformed", detail)


def wrong_type(got: bytes, known: Iterable[str]) -> Problem:
    """415: the body is of a media type that this path does not take."""
    return Problem(
        415, "wrong-type", f"{got.decode('latin-1')[:MOST_CHARACTERS]!r} is not taken here; use {', '.join(known)}"
    )


def too_large(detail: str) -> Problem:
    """413: more bytes or rows than the server takes. The connection is closed, since the rest is not read."""
    return Problem(413, "too-large", detail, headers=(CLOSE,))


def overloaded(detail: str) -> Problem:
    """503: not now."""
    return Problem(503, "overloaded", detail, headers=((b"retry-after", b"1"),))


def invalid(faults: Sequence[Fault]) -> Problem:
    """422: rows that the contract does not allow, or no rows at all."""
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Problem(422, "invalid", f"row {first['row']}: {first['field']}: {first['message']}{more}", faults=faults)


def shape(detail: str) -> Problem:
    """422: well-formed, but not one of the forms that this path takes."""
    return Problem(422, "invalid", detail)


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MOST_CHARACTERS else value[:MOST_CHARACTERS] + "…"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and abs(value) < 1 << 53:
        return value
    return type(value).__name__ if isinstance(value, (Mapping, Sequence)) else str(value)[:MOST_CHARACTERS]
