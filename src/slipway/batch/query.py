"""Reads the rows of a query batch by batch, in constant memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from slipway.batch.checking import ARROW
from slipway.batch.database import Database
from slipway.batch.reading import BATCH_ROWS, Batch, Table, cut, require_distinct
from slipway.contract import Column, Contract
from slipway.problem import SlipwayError


class Query:
    """The rows of a query, in the order in which the database gives them. Parts of a folder are Parquet files."""

    format, identity = "parquet", None

    def __init__(self, database: Database, sql: str, contract: Contract) -> None:
        """Ask, and read the first rows. Raises SlipwayError if the database refuses, or there are none."""
        self._database, self.shown = database, f"{database.shown}: query"
        options = {"stream_results": True, "no_parameters": True, "yield_per": BATCH_ROWS}
        with database.using("the query failed") as connection:
            result = connection.exec_driver_sql(sql, execution_options=options)
            if not result.returns_rows:
                raise SlipwayError(f"{self.shown}: gives no rows; it must be a SELECT")
            self._names = list(result.keys())
            self._partitions = result.partitions(BATCH_ROWS)
            database.reading = result
        require_distinct(self._names, self.shown)
        known = {column.name: column for column in contract.columns}
        self._first = self._next()
        if not self._first:
            raise SlipwayError(f"{self.shown}: there are no rows")
        self.schema = pa.schema([(name, _kind(known.get(name), values)) for name, values in self._first.items()])

    def batches(self, part_rows: int | None, skip: int = 0) -> Iterator[Batch]:
        """Yield all rows but the first `skip`, in order; no batch belongs to two parts of `part_rows` rows."""
        row, columns = 0, self._first
        while columns:
            arrays = [self._array(name, values, row) for name, values in columns.items()]
            content = pa.record_batch(arrays, schema=self.schema)
            for start, piece in cut(content, row, skip, part_rows):
                yield Batch("query", start, piece, start // part_rows if part_rows else 0, 0.0, {})
            row += len(content)
            columns = self._next()

    def _next(self) -> dict[str, Sequence[Any]]:
        with self._database.using("was lost while the query was read"):
            rows = next(self._partitions, ())
        return dict(zip(self._names, zip(*rows, strict=True), strict=True)) if rows else {}

    def _array(self, name: str, values: Sequence[Any], row: int) -> Any:
        kind = self.schema.field(name).type
        if pa.types.is_string(kind):
            values = [_text(value) for value in values]
        elif pa.types.is_float64(kind):
            values = [float(value) if isinstance(value, Decimal) else value for value in values]
        elif pa.types.is_boolean(kind):  # some databases have whole numbers instead
            values = [bool(value) if value in (0, 1) else value for value in values]
        try:
            return pa.array(values).cast(kind)  # in two steps: one would cut 2.5 down to 2 for whole numbers
        except (pa.ArrowException, TypeError, ValueError) as error:
            where = f"{self.shown}: {name}: not only {kind} from row {row} on"
            raise SlipwayError(f"{where} ({error}); give the column one type by CAST") from None


Source = Table | Query


def _kind(column: Column | None, values: Sequence[Any]) -> Any:
    """Choose a column's Arrow type by its first values; values without a plain type are text."""
    try:
        found = pa.infer_type([None if isinstance(value, Decimal) and column else value for value in values])
    except (pa.ArrowException, TypeError, ValueError):
        return pa.string()
    whole = pa.types.is_integer(found) and column and column.kind in ("number", "boolean")
    if pa.types.is_null(found) or whole:
        return ARROW.get(column.kind, pa.string()) if column else pa.string()
    if pa.types.is_decimal(found):
        return pa.decimal128(38, found.scale)  # later values may be longer
    return found if pa.types.is_primitive(found) and not pa.types.is_duration(found) else pa.string()


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
