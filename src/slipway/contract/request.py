"""The Pydantic field of a column in a request: strict, with the errors that Pydantic has for its own types."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from slipway.contract import dates
from slipway.contract.column import COMPARE, Column
from slipway.contract.schema import to_type

# Pydantic's names and words for a bound that a value exceeds.
BROKEN = {
    "ge": ("greater_than_equal", "greater than or equal to"),
    "gt": ("greater_than", "greater than"),
    "le": ("less_than_equal", "less than or equal to"),
    "lt": ("less_than", "less than"),
}


def to_field(column: Column) -> tuple[Any, FieldInfo]:
    """Give the type and the `Field` of a column."""
    kind, limits = column.type, column.limits
    if column.temporal:
        kind, limits = Annotated[Any, PlainValidator(partial(_stamp, column)), WithJsonSchema(to_type(column))], {}
    elif column.numeric and column.categories:  # Pydantic's Literal[1] takes true and 1.0
        kind = Annotated[int, AfterValidator(_member(column)), WithJsonSchema(to_type(column))]
    field = Field(
        None if column.optional else ...,
        **limits,
        description=column.description,
        examples=list(column.examples) or None,
        json_schema_extra={"unit": column.unit} if column.unit else None,
    )
    return (kind | None if column.optional else kind), field


def _stamp(column: Column, value: Any) -> str:
    """Check a date or date-time and give it as text."""
    try:
        number = dates.parse(column.kind, value)
    except ValueError:
        raise PydanticCustomError(f"{column.kind}_type", f"Input should be {dates.WORDS[column.kind]}") from None
    for name, bound in column.limits.items():
        if not COMPARE[name](number, bound):
            rule, words = BROKEN[name]
            raise PydanticCustomError(rule, f"Input should be {words} {dates.write(column.kind, bound)}")
    return dates.write(column.kind, number)


def _member(column: Column) -> Callable[[int], int]:
    def check(value: int) -> int:
        if value not in column.categories:
            raise PydanticCustomError("literal_error", f"Input should be {column.words}")
        return value

    return check
