"""Errors as RFC 9457 problem documents, for Slipway's routes and for a project's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

JSON, MEDIA_TYPE = "application/json", "application/problem+json"
MAX_ERRORS = 1000  # listed in one response; the search ends there
MAX_CHARACTERS = 200  # shown of a wrong value
CLOSE = {"connection": "close"}
KINDS = {405: "not-allowed", 413: "too-large", 422: "invalid", 500: "failed"}
encode = msgspec.json.Encoder(decimal_format="number").encode
Error = dict[str, Any]


class ProblemDetails(HTTPException):
    """An error response; `kind` identifies it for programs, `detail` explains it to a person.

    errors: of single rows, see `error`. headers: of the response.
    """

    def __init__(
        self,
        status_code: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[Error] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status_code, detail, headers)
        self.kind, self.errors = kind, errors

    @classmethod
    def of(cls, error: Exception) -> ProblemDetails:
        """Turn an exception of FastAPI's, or any other, into a problem."""
        if isinstance(error, cls):
            return error
        if isinstance(error, RequestValidationError):
            return invalid([validation_error(None, item) for item in error.errors()])
        if not isinstance(error, HTTPException):
            return cls(500, "failed", "the model or the server failed on this request")
        status, headers = error.status_code, dict(error.headers or {})
        phrase = HTTPStatus(status).phrase
        detail = error.detail if isinstance(error.detail, str) else encode(error.detail).decode()
        if status == 404 and detail == phrase:
            detail = "no such path; /docs lists the paths"
        if status == 405 and "Allow" in headers:
            detail = f"use {headers['Allow']}"
        if status == 413:
            headers |= CLOSE  # the rest of the body is not read
        return cls(status, KINDS.get(status, phrase.lower().replace(" ", "-")), detail, headers=headers)

    def response(self, request_id: str) -> Response:
        """Make the response. `error` repeats the detail, for clients of the Open Inference Protocol."""
        if self.status_code in (204, 304):
            return Response(status_code=self.status_code, headers=self.headers)
        document: dict[str, Any] = {
            "type": f"urn:slipway:problem:{self.kind}",
            "title": HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "detail": self.detail,
            "instance": f"urn:slipway:request:{request_id}",
            "error": self.detail,
        }
        if self.errors:
            document |= {"errors": self.errors, "error_count": len(self.errors)}
        return Response(_encoded(document), self.status_code, self.headers, MEDIA_TYPE)


def error(row: int | None, field: str, rule: str, message: str, value: Any) -> Error:
    """One error in a row (an index; None if the request has no rows)."""
    return {"row": row, "field": field[:MAX_CHARACTERS], "rule": rule, "message": message, "value": _shown(value)}


def validation_error(row: int | None, item: Any) -> Error:
    """Convert an error of Pydantic's; the value of a missing field is None."""
    value = None if item["type"] == "missing" else item.get("input")
    return error(row, ".".join(map(str, item["loc"])), item["type"], item["msg"], value)


def wrong_type(got: str, known: Iterable[str]) -> ProblemDetails:
    """415: the path does not accept the body's media type."""
    return ProblemDetails(415, "wrong-type", f"{got[:MAX_CHARACTERS]!r} is not accepted here; use {', '.join(known)}")


def invalid(errors: Sequence[Error]) -> ProblemDetails:
    """422: the contract does not allow the rows."""
    first = errors[0]
    row = "" if first["row"] is None else f"row {first['row']}: "
    least = "at least " if len(errors) >= MAX_ERRORS else ""
    more = f" (and {least}{len(errors) - 1} more)" if len(errors) > 1 else ""
    return ProblemDetails(422, "invalid", f"{row}{first['field']}: {first['message']}{more}", errors=errors)


def _encoded(document: dict[str, Any]) -> bytes:
    try:
        return encode(document)
    except UnicodeEncodeError:  # a lone surrogate in a project's own message
        return json.dumps(document).encode()


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_CHARACTERS else value[:MAX_CHARACTERS] + "…"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and abs(value) < 1 << 53:
        return value
    return type(value).__name__ if isinstance(value, (Mapping, Sequence)) else str(value)[:MAX_CHARACTERS]


malformed = partial(ProblemDetails, 400, "malformed")  # the body does not match its media type
shape = partial(ProblemDetails, 422, "invalid")  # well-formed, but not one of the forms that the path accepts
# Too many bytes or rows; the connection is closed because the rest of the body is not read.
too_large = partial(ProblemDetails, 413, "too-large", headers=CLOSE)
overloaded = partial(ProblemDetails, 503, "overloaded", headers={"retry-after": "1"})
not_ready = partial(ProblemDetails, 503, "not-ready", headers={"retry-after": "5"})
