"""The views derived from a row: columns, dtypes, bounds, categories, arrays, JSON Schema, request model.

A contract is always made from a JSON Schema. Training derives the schema from the project's Pydantic model, a server
reads it from the bundle, so both have the same contract.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, create_model
from pydantic.errors import PydanticUserError

from slipway.contract import dates
from slipway.contract.column import EXACT, MISSING, WORDS, Column, Kind, Label
from slipway.contract.dates import Array
from slipway.contract.request import to_field
from slipway.contract.schema import TYPES, Schema, annotated, resolve, to_column, to_schema
from slipway.contract.strict import canonical_json, strict_json
from slipway.problem import Function, Problem, SlipwayError, close_names

__all__ = [
    "EXACT", "MISSING", "WORDS", "Array", "Column", "Contract", "Kind", "Label", "Target",
    "canonical_json", "dates", "features", "record", "strict_json", "target",
]  # fmt: skip
MAX_ERRORS = 10  # listed in one message


@dataclass(frozen=True)
class Contract:
    """A row's columns, in order, and the views derived from them."""

    title: str
    columns: tuple[Column, ...]

    @classmethod
    def from_model(cls, model: type[BaseModel]) -> Contract:
        """Derive the contract from a Pydantic model. Raises SlipwayError for a field that the views cannot enforce."""
        written = {name: annotated(field.annotation) for name, field in model.model_fields.items()}
        try:
            schema = model.model_json_schema(schema_generator=Schema)
        except PydanticUserError as error:  # a type without a JSON Schema
            types = ", ".join(f"{name}: {kind}" for name, kind in written.items())
            raise SlipwayError(f"{model.__name__}: {error.message}; {TYPES}. Its fields are {types}") from None
        except SlipwayError as error:  # the part of a type that has no views
            raise SlipwayError(f"{model.__name__} has {error}") from None
        if "properties" not in schema:
            raise SlipwayError(
                f"{model.__name__} declares no fields: a row is a BaseModel with a field for each column"
            )
        return cls.from_schema(schema, written)

    @classmethod
    def from_schema(cls, schema: Mapping[str, Any], written: Mapping[str, str] | None = None) -> Contract:
        """Derive the contract from a row's JSON Schema. Raises SlipwayError for an unsupported field.

        written: the fields' types as the project wrote them, for the message.
        """
        definitions = schema.get("$defs", {})
        required = set(schema.get("required", ()))
        columns = tuple(
            to_column(name, resolve(field, definitions), required=name in required, written=(written or {}).get(name))
            for name, field in schema["properties"].items()
        )
        return cls(schema.get("title", "Row"), columns)

    def __getitem__(self, name: str) -> Column:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the declared order."""
        return tuple(column.name for column in self.columns)

    @property
    def example(self) -> dict[str, Any]:
        """A row that the contract allows."""
        return {column.name: column.example for column in self.columns}

    def arrays(self, table: Any) -> dict[str, Array]:
        """Give the columns as arrays: float64 (missing: NaN) or object strings (missing: ""); each of shape (rows,).

        Dates are days and date-times seconds, see `slipway.contract.dates`.
        table: a pandas table, a mapping of columns, or a sequence of rows as mappings. Other columns are ignored.
        Raises SlipwayError for a missing column that is not optional, or one of another kind.
        """
        return {c.name: c.array(values) for c, values in self.values_of(table)}

    def checked(self, table: Any) -> dict[str, Array]:
        """Give the arrays of rows that the contract allows; refuses the same rows as the service.

        table: as for `arrays`; in rows and mappings other fields are refused, in a pandas table they are ignored.
        Raises SlipwayError naming rows, fields and values.
        """
        errors = list(self._unknown(table))
        arrays = {}
        for column, values in self.values_of(table):
            arrays[column.name], refused = column.checked(values)
            for row in np.flatnonzero(refused)[:MAX_ERRORS]:
                value = values.iloc[row] if hasattr(values, "iloc") else values[row]
                value = value.item() if hasattr(value, "item") else value
                shown = "missing" if dates.is_missing(value) else repr(value)
                errors.append(f"row {row}: {column.name} is {shown}; it must be {column.words}")
        if len({len(array) for array in arrays.values()}) > 1:
            errors.append("the columns are not of one length")
        if errors:
            more = [f"and {len(errors) - MAX_ERRORS} more"] if len(errors) > MAX_ERRORS else []
            raise SlipwayError("\n  ".join(["not as the schema declares it:", *errors[:MAX_ERRORS], *more]))
        return arrays

    def values_of(self, table: Any) -> Iterator[tuple[Column, Any]]:
        """Yield each column with its values in a table (see `arrays`); a missing optional column is all None.

        Raises SlipwayError for a missing column that is not optional.
        """
        if isinstance(table, Sequence):
            yield from ((c, [row.get(c.name) for row in table]) for c in self.columns)
            return
        size = len(table) if not isinstance(table, Mapping) else len(next(iter(table.values()), ()))
        if missing := [c.name for c in self.columns if c.name not in table and not c.optional]:
            raise SlipwayError(f"the table lacks the column(s) {', '.join(missing)}")
        yield from ((c, table[c.name] if c.name in table else [None] * size) for c in self.columns)

    def _unknown(self, table: Any) -> Iterator[str]:
        """Report the fields of rows, or the columns of a mapping, that the contract does not have."""
        rows = {"columns": table} if isinstance(table, Mapping) else {}
        rows |= {f"row {number}": row for number, row in enumerate(table)} if isinstance(table, Sequence) else {}
        for place, fields in rows.items():
            if not isinstance(fields, Mapping):
                raise SlipwayError(f"{place} is a {type(fields).__name__}, not a mapping of fields")
            for name in fields:
                if name not in self._by_name:
                    yield f"{place}: {name} is unknown; {close_names(name, self.names)}"

    def rows(self, arrays: Mapping[str, Array]) -> list[dict[str, Any]]:
        """Convert arrays to rows of JSON values: missing values as None, integers and booleans with their types."""
        return [dict(zip(self.names, row, strict=True)) for row in zip(*self.lists(arrays), strict=True)]

    def lists(self, arrays: Mapping[str, Array]) -> list[list[Any]]:
        """Convert arrays to lists of such values, one for each column."""
        return [_plain(column, arrays[column.name]) for column in self.columns]

    def schema(self) -> dict[str, Any]:
        """Give the row's JSON Schema (2020-12), the inverse of `from_schema`."""
        return {
            "title": self.title,
            "type": "object",
            "additionalProperties": False,
            "properties": {column.name: to_schema(column) for column in self.columns},
            "required": [column.name for column in self.columns if not column.optional],
        }

    def model(self) -> type[BaseModel]:
        """Make the strict Pydantic model of a row of a request.

        It coerces nothing (no `false` for 0, no "1" for 1) and refuses unknown fields, NaN and infinity.
        """
        config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
        fields: dict[str, Any] = {column.name: to_field(column) for column in self.columns}
        return create_model(self.title, __config__=config, **fields)


def features(problem: Problem) -> Contract:
    """Give the contract of the features: the rows that the service receives."""
    return Contract.from_model(problem.row)


def record(problem: Problem) -> Contract:
    """Give the contract of a record of the data: features, target, and identifying or descriptive fields."""
    return Contract.from_model(problem.record)


@dataclass(frozen=True)
class Target:
    """The predicted column. `classes` are its labels in the declared order; empty in a regression.

    metrics: the scores that the problem adds to those of the kind. own: the functions of those that are the project's.
    """

    column: Column
    classes: tuple[Label, ...]
    metrics: tuple[str, ...] = ()
    own: Mapping[str, Function] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, column: Column) -> Target:
        """Derive the target from its column. Raises SlipwayError if it is optional or free text."""
        if column.optional:
            raise SlipwayError(f"the target {column.name!r} is optional; training needs it in every row")
        if column.categories:
            return cls(column, column.categories)
        if column.kind == "text":
            raise SlipwayError(f"the target {column.name!r} is free text; declare its classes with Literal[...]")
        if column.temporal:
            raise SlipwayError(f"the target {column.name!r} is a {column.kind}; declare the number of days or hours")
        return cls(column, (False, True) if column.kind == "boolean" else ())

    def encode(self, values: Any) -> Array:
        """Encode labels as the index of their class (int64), or numbers as float64; shape (rows,).

        Raises SlipwayError naming a label that is not a class.
        """
        array = self.column.array(values)
        if not self.classes:
            return array
        index = np.full(len(array), -1, dtype=np.int64)
        for position, label in enumerate(self.classes):
            index[array == label] = position
        if (index < 0).any():
            strange = array[index < 0][0]
            raise SlipwayError(f"{self.column.name}: {strange!r} is none of {', '.join(map(str, self.classes))}")
        return index


def target(problem: Problem) -> Target:
    """Give the problem's target. Raises SlipwayError if it adds scores of a number to classes."""
    found = Target.of(record(problem)[problem.target])
    own = {metric.short: metric for metric in problem.metrics if isinstance(metric, Function)}
    names = tuple(metric.short if isinstance(metric, Function) else metric for metric in problem.metrics)
    if found.classes and (of_numbers := [name for name in names if name not in own]):
        raise SlipwayError(f"metrics: {of_numbers[0]} is of a number, and {problem.target} has classes")
    return replace(found, metrics=names, own=own)


def _plain(column: Column, values: Array) -> list[Any]:
    if not column.numeric:
        return [None if value == MISSING else value for value in values.tolist()]
    convert = {"integer": int, "boolean": bool}.get(column.kind, float)
    if column.temporal:
        return [None if math.isnan(value) else dates.write(column.kind, value) for value in values.tolist()]
    if convert is float and not np.isnan(values).any():
        return list(values.tolist())
    return [None if math.isnan(value) else convert(value) for value in values.tolist()]
