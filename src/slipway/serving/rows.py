"""Decodes a request's rows: a fast typed decoder made from the contract, and Pydantic for the error messages.

The decoder may refuse rows that Pydantic allows (Pydantic then decides), but never the reverse; a test compares them.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Struct
from msgspec.structs import astuple
from pydantic import ValidationError

from slipway.contract import MISSING, Array, Column, Contract, dates, strict_json
from slipway.problem import SlipwayError
from slipway.serving.problems import MAX_ERRORS, Error, error, invalid, malformed, shape, too_large, validation_error
from slipway.serving.structs import decoder, stamp, to_fields, to_type

WRAPPED = re.compile(rb'\s*\{\s*"(rows|columns)"\s*:\s*[\[{]')
COLON, COMMA, QUOTE = b':,"'
SPARE_COLUMNS = 4
SMALL_BYTES = 32 << 10  # bodies up to this size are decoded on the event loop
LONG_BYTES = 4096  # NumPy counts faster in bodies from this size


class Rows:
    """Decodes rows of one contract. A row is a `Struct` whose fields f0, f1, ... are the columns in order."""

    def __init__(self, contract: Contract, *, limit: int) -> None:
        self.contract = contract
        self.limit = limit
        self._model = contract.model()
        options: dict[str, Any] = {"forbid_unknown_fields": True, "kw_only": True, "gc": False}
        options["rename"] = {f"f{n}": column.name for n, column in enumerate(contract.columns)}
        self._matrix = all(column.numeric and not column.optional for column in contract.columns)
        self._absent = [(np.nan if column.numeric else MISSING) for column in contract.columns]
        self._dtypes = [column.dtype for column in contract.columns]
        self._known = {column.name: column for column in contract.columns}
        # Limit on the values of a request, with room for unknown columns, so that the errors can name those.
        self._values = limit * (len(contract.columns) + SPARE_COLUMNS) + MAX_ERRORS
        self._names = [f"f{n}" for n in range(len(contract.columns))]
        row: Any = msgspec.defstruct("Row", to_fields(contract, to_type), **options)
        self._lists: dict[str, Any] = {column.name: list[to_type(column)] for column in contract.columns}  # type: ignore[misc]
        lists = to_fields(contract, lambda column: self._lists[column.name])
        self._row = row
        self._one = msgspec.json.Decoder(row, dec_hook=stamp)
        self._many = decoder("rows", list[row])
        self._columnar = decoder("columns", msgspec.defstruct("Columns", lists, **options))

    def decode(self, body: bytes) -> list[Struct] | dict[str, Array]:
        """Decode a body of `/predict` to rows, or to arrays if it is columnar. Raises ProblemDetails."""
        if len(body) > SMALL_BYTES:
            self.check_size(body)
        wrapped = WRAPPED.match(body)
        try:
            if wrapped is None:
                return self._without_repeated_keys([self._one.decode(body)], body, 0)
            if wrapped[1] == b"rows":
                return self._without_repeated_keys(self._many.decode(body).rows, body, 1)
            columns = self._columnar.decode(body).columns
            if (arrays := self._columnar_arrays(columns, body)) is not None:
                return arrays
        except (ValueError, RecursionError):
            pass
        return self._diagnose(json_content(body))

    def _diagnose(self, content: Any) -> list[Struct]:
        """Check parsed JSON in any of the three forms, slowly. Raises ProblemDetails listing the errors."""
        if not isinstance(content, dict):
            raise shape('send one row as a JSON object, or many as {"rows": [...]} or {"columns": {...}}')
        if content.keys() == {"rows"} and isinstance(content["rows"], list):
            return self.validate(content["rows"])
        if content.keys() == {"columns"} and isinstance(content["columns"], dict):
            return self.validate(self.transposed(content["columns"]))
        return self.validate([content])

    def validate(self, rows: Sequence[Any]) -> list[Struct]:
        """Check parsed JSON objects as rows. Raises ProblemDetails listing the first errors."""
        self.check_count(len(rows))
        errors: list[Error] = []
        for number, row in enumerate(rows):
            errors += self.errors(number, row)
            if len(errors) >= MAX_ERRORS:
                break
        if errors:
            raise invalid(errors[:MAX_ERRORS])
        return [self._make(self._given(column, row) for column in self.contract.columns) for row in rows]

    @staticmethod
    def _given(column: Column, row: Mapping[str, Any]) -> Any:
        value = row.get(column.name)
        return dates.parse(column.kind, value) if column.temporal and value is not None else value

    def errors(self, number: int, row: Any) -> list[Error]:
        """List the contract's errors in a parsed JSON object, the row of that number; slowly."""
        if not isinstance(row, Mapping):
            what = "null" if row is None else f"a {type(row).__name__}"
            return [error(number, "", "row_type", f"a row is a JSON object, not {what}", row)]
        unknown = [name for name in islice(row, len(self._known) + MAX_ERRORS) if name not in self._known]
        if len(unknown) >= MAX_ERRORS:  # too many for Pydantic, which would list them all
            rule, message = "extra_forbidden", "Extra inputs are not permitted"
            return [error(number, name, rule, message, row[name]) for name in unknown]
        try:
            self._model.model_validate(row)
        except ValidationError as refused:
            return [validation_error(number, item) for item in refused.errors(include_url=False, include_context=False)]
        return []

    def check(self, columns: Mapping[str, Any]) -> dict[str, Array]:
        """Check columns: lists, or NumPy arrays with NaN for missing. Raises ProblemDetails, as `validate` does."""
        try:
            made = {column.name: self._array(column, values) for column, values in self.contract.values_of(columns)}
            lengths = {len(array) for array in made.values()}
            if columns.keys() <= made.keys() and len(lengths) == 1:
                self.check_count(lengths.pop())
                return made
        except (ValueError, SlipwayError):
            pass  # validate() lists the errors
        listed = {name: _plain(self._known.get(name), values) for name, values in columns.items()}
        return self.arrays(self.validate(self.transposed(listed)))

    def _array(self, column: Column, values: Any) -> Array:
        if not isinstance(values, np.ndarray) or values.dtype.kind == "O":
            array = column.array(msgspec.convert(list(values), self._lists[column.name], dec_hook=stamp))
            if not column.numeric or column.temporal:
                return array
            values = array
        elif column.temporal != (values.dtype.kind == "M") or (values.dtype.kind == "b") != (column.kind == "boolean"):
            raise ValueError(column.name)
        array, refused = column.checked(values)
        if refused.any():
            raise ValueError(column.name)
        return array

    def transposed(self, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Turn columns (lists of one length) into rows. Raises ProblemDetails."""
        if not columns or not all(isinstance(values, list) for values in columns.values()):
            raise shape("columns are lists with one value for each row")
        if len({len(values) for values in columns.values()}) > 1:
            lengths = ", ".join(f"{name[:100]}: {len(values)}" for name, values in list(columns.items())[:20])
            raise shape(f"the columns are not of one length ({lengths})")
        self.check_count(len(next(iter(columns.values()))))
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def check_count(self, rows: int) -> None:
        """Raise ProblemDetails if there are no rows, or more than the limit."""
        if not rows:
            raise shape("there are no rows")
        if rows > self.limit:
            raise too_large(f"{rows} rows; the limit is {self.limit}")

    def check_size(self, body: bytes) -> None:
        """Raise ProblemDetails, before parsing, if a body holds more values than the limit on rows allows."""
        if body.count(b",") > self._values and _commas(body) > self._values:
            raise too_large(f"more values than {self.limit} rows have, which is the limit")

    def arrays(self, rows: Sequence[Struct]) -> dict[str, Array]:
        """Convert rows to the contract's arrays."""
        table = [astuple(row) for row in rows]
        if self._matrix:
            return dict(zip(self.contract.names, np.array(table, dtype=np.float64).T.copy(), strict=True))
        made: dict[str, Array] = {}
        columns = zip(self.contract.columns, zip(*table, strict=True), self._absent, self._dtypes, strict=True)
        for column, given, absent, dtype in columns:
            values: Sequence[Any] = given
            if column.optional:
                values = [absent if value is None or value is UNSET else value for value in given]
            made[column.name] = np.array(values, dtype=dtype)
        return made

    def split(self, arrays: Mapping[str, Array]) -> list[Struct]:
        """Convert the contract's arrays to rows (meant for few rows)."""
        columns = [arrays[name].tolist() for name in self.contract.names]
        return [self._make(values) for values in zip(*columns, strict=True)]

    def _make(self, values: Iterable[Any]) -> Any:
        return self._row(**dict(zip(self._names, values, strict=True)))

    def _without_repeated_keys(self, rows: list[Struct], body: bytes, outer_keys: int) -> list[Struct]:
        """Return the rows unless an object repeats a key, which msgspec does not detect.

        As many colons as decoded keys exclude it. More are either a repeated key or a colon in a string.
        """
        self.check_count(len(rows))
        keys = outer_keys + len(rows) * len(self.contract.columns)
        for n, column in enumerate(self.contract.columns):
            if column.optional:
                name = self._names[n]
                keys -= [getattr(row, name) for row in rows].count(UNSET)
        if _colons(body) != keys:
            json_content(body)
        return rows

    def _columnar_arrays(self, columns: Struct, body: bytes) -> dict[str, Array] | None:
        values = dict(zip(self.contract.names, astuple(columns), strict=True))
        given = {name: value for name, value in values.items() if value is not UNSET}
        lengths = {len(value) for value in given.values()}
        if len(lengths) != 1:
            return None
        self.check_count(lengths.pop())
        if _colons(body) != 1 + len(given):
            json_content(body)
        return self.contract.arrays(given)


def json_content(body: bytes, constant: Callable[[str], Any] | None = None) -> Any:
    """Parse JSON with `slipway.contract.strict_json`; a byte order mark is ignored. Raises ProblemDetails."""
    try:
        return strict_json(body.removeprefix(BOM_UTF8), *([constant] if constant else []))
    except ValueError as refused:
        raise malformed(f"not JSON: {refused}"[:300]) from None


def _colons(body: bytes) -> int:
    if len(body) < LONG_BYTES:
        return body.count(b":")
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == COLON))


def _commas(body: bytes) -> int:
    """Count the commas outside of strings."""
    text = np.frombuffer(body.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    inside = np.cumsum(text == QUOTE, dtype=np.uint8) & 1  # overflows modulo 256, which keeps the parity
    return int(np.count_nonzero((text == COMMA) & (inside == 0)))


def _plain(column: Column | None, values: Any) -> list[Any]:
    """Convert a column's values to those of JSON."""
    listed: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if isinstance(values, np.ndarray) and values.dtype.kind == "M" and column is not None and column.temporal:
        texts = [str(value) for value in values.astype("datetime64[us]")]
        end, zone = ("T00:00:00.000000", "") if column.kind == "date" else ("", "Z")
        return [None if text == "NaT" else text.removesuffix(end) + zone for text in texts]
    if isinstance(values, np.ndarray) and values.dtype.kind == "f" and column is not None:
        if column.optional:
            listed = [None if value != value else value for value in listed]
        if column.kind == "integer":
            listed = [int(value) if value is not None and value.is_integer() else value for value in listed]
    return listed
