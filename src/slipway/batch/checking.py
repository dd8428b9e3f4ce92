"""Divides a batch into the rows that the contract allows, as arrays, and the errors of the others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slipway.contract import MISSING, Array, Column, Contract, dates
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from slipway.batch.query import Source
    from slipway.batch.reading import Broken
    from slipway.serving.problems import Error
    from slipway.serving.rows import Rows

# In a CSV an empty cell is missing, and so are these, but in free text and where a category is called so.
MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "None")
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
BOOLEAN = r"^(?i:true|false|0|1)$"
NONE: Broken = {}
ARROW = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "date": pa.date32()}
ARROW["datetime"] = pa.timestamp("us", "UTC")


class Checked(NamedTuple):
    """The rows of a batch that the contract allows, as arrays and as they were read, and the errors of the others."""

    arrays: dict[str, Array]
    content: Any
    errors: list[Error]
    refused: int


class Checker:
    """Checks the batches of one table by a contract."""

    def __init__(self, contract: Contract, table: Source, *, typed: bool) -> None:
        """typed: whether the features of a CSV get their types in the content, or stay as they are written.

        Raises SlipwayError if the table lacks a column, or has one of a type that no value of it can have.
        """
        self._contract, self._text = contract, table.format == "csv"
        self._typed = typed and self._text
        self._columns = [column for column in contract.columns if column.name in table.schema.names]
        self._absent = [column for column in contract.columns if column not in self._columns]
        if names := ", ".join(column.name for column in self._absent if not column.optional):
            raise SlipwayError(
                f"{table.shown}: lacks the column(s) {names}, which the model needs; it has "
                f"{', '.join(table.schema.names)}. Name columns as the fields of a request, not as `load()` finds them"
            )
        for column in self._columns:
            found = table.schema.field(column.name).type
            if not (self._text or pa.types.is_null(found) or _fits(column, found)):
                raise SlipwayError(f"{table.shown}: {column.name} is of type {found}, not {column.kind}")

    def check(self, content: Any, broken: Broken = NONE) -> Checked:
        """Check a batch; shape of each array: (rows that are allowed,). broken: see Batch."""
        arrays: dict[str, Array] = {}
        refused = np.zeros(len(content), bool)
        refused[list(broken)] = True
        read: dict[str, Any] = {}
        unread: dict[str, Array] = {}
        for column in self._columns:
            name = column.name
            read[name], unread[name] = self._values(column, content.column(name))
            arrays[name], wrong = _checked(column, read[name])
            refused |= wrong | unread[name]
        for column in self._absent:
            arrays[column.name] = column.array([None] * len(content))
        errors: list[Error] = []
        if count := int(refused.sum()):
            errors = self._errors(content, pa.record_batch(read), unread, np.flatnonzero(refused), broken)
            kept = ~refused
            arrays = {name: values[kept] for name, values in arrays.items()}
            content = content.filter(pa.array(kept))
        if self._typed:
            content = self._with_types(content, arrays)
        return Checked(arrays, content, errors, count)

    def _values(self, column: Column, values: Any) -> tuple[Any, Array]:
        """Read a column's values, if they are text as its kind; and say which cannot be read so."""
        none = np.zeros(len(values), bool)
        if not self._text:
            return values, none
        words = () if column.kind == "text" else set(MISSING_WORDS) - set(column.categories)
        values = pc.if_else(pc.is_in(values, pa.array(["", *words])), None, values)
        if not column.numeric or column.temporal:
            return values, none
        kind, pattern = (pa.bool_(), BOOLEAN) if column.kind == "boolean" else (pa.float64(), NUMBER)
        try:
            read = values.cast(kind)
        except pa.ArrowInvalid:  # which names the first of them only
            read = pc.if_else(pc.match_substring_regex(values, pattern), values, None).cast(kind)
        unread = pc.and_(values.is_valid(), read.is_null(nan_is_null=True))
        return read, unread.to_numpy(zero_copy_only=False)

    def _errors(self, content: Any, read: Any, unread: Mapping[str, Array], rows: Array, broken: Broken) -> list[Error]:
        """Explain refused rows by the rules that the service names."""
        from slipway.serving.problems import error  # FastAPI's import is a third of a start

        errors: list[Error] = []
        chosen = zip(rows.tolist(), read.take(rows).to_pylist(), content.take(rows).to_pylist(), strict=True)
        for row, values, written in chosen:
            if row in broken:
                text, message = broken[row]
                errors.append(error(row, "", "columns", message, text))
                continue
            given = {
                name: written[name] if unread[name][row] else _plain(self._contract[name], value)
                for name, value in values.items()
            }
            # The arrays refuse what Pydantic refuses (a test compares them); should they differ, the row is named too.
            unexplained = [error(row, "", "contract", "the contract does not allow this row", given)]
            errors += self._rows.errors(row, given) or unexplained
        return errors

    @cached_property
    def _rows(self) -> Rows:
        from slipway.serving.rows import Rows

        return Rows(self._contract, limit=1)

    def _with_types(self, content: Any, arrays: dict[str, Array]) -> Any:
        for column in self._columns:
            if column.numeric and not column.temporal:
                position = content.schema.get_field_index(column.name)
                content = content.set_column(position, column.name, to_arrow(column, arrays[column.name]))
        return content


def to_arrow(column: Column, values: Array) -> Any:
    """Give a column's array with the Arrow type of its kind, missing values as null."""
    if not column.numeric:
        return pa.array(values, pa.string(), mask=values == MISSING)
    stamps = dates.to_datetime64(column.kind, values) if column.temporal else values
    return pa.array(stamps, from_pandas=True).cast(ARROW[column.kind])


def _checked(column: Column, values: Any) -> tuple[Array, Array]:
    """Give `Column.checked` of an Arrow array. Of text each distinct value is checked once."""
    if pa.types.is_temporal(values.type):
        stamps = values.cast(pa.timestamp("us", getattr(values.type, "tz", None)), safe=False)
        return column.checked(np.asarray(stamps.to_numpy(zero_copy_only=False)))
    if column.numeric and not column.temporal:
        if pa.types.is_decimal(values.type):  # through text: the direct way may miss the nearest number by one bit
            values = values.cast(pa.string())
        return column.checked(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    if not pa.types.is_dictionary(values.type):
        values = values.cast(pa.string()).dictionary_encode()
    array, refused = column.checked([*values.dictionary.to_pylist(), None])
    index = values.indices.fill_null(len(array) - 1).to_numpy(zero_copy_only=False)
    return array[index], refused[index]


def _fits(column: Column, kind: Any) -> bool:
    """Whether values of an Arrow type can be of the column's kind."""
    types = pa.types
    if column.kind == "boolean":
        return bool(types.is_boolean(kind))
    if column.temporal and types.is_timestamp(kind):  # without a time zone it is no point in time
        return bool(column.kind == "date" or kind.tz)
    if column.kind == "date" and types.is_date(kind):
        return True
    if column.numeric and not column.temporal:
        return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _plain(column: Column, value: Any) -> Any:
    """Give a value as JSON has it, for Pydantic."""
    if isinstance(value, float):
        return None if value != value else int(value) if column.kind == "integer" and value.is_integer() else value
    if isinstance(value, date):  # or a datetime
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value
