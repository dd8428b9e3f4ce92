"""The Pydantic field of a column in a request: strict, with the errors that Pydantic has for its own types."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from slipway.contract import dates
from slipway.contract.column import COMPARE, Column

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

# Pydantic's names and words for a bound that a value exceeds.
BROKEN = {
    "ge": ("greater_than_equal", "greater than or equal to"),
    "gt": ("greater_than", "greater than"),
    "le": ("less_than_equal", "less than or equal to"),
    "lt": ("less_than", "less than"),
}


def to_field(column: Column, schema: dict[str, Any]) -> tuple[Any, FieldInfo]:
    """Give the type and the `Field` of a column. schema: the column's JSON Schema, without its annotations."""
    from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

    kind, limits = column.type, column.limits
    if column.temporal:
        kind, limits = Annotated[Any, PlainValidator(partial(_stamp, column)), WithJsonSchema(schema)], {}
    elif column.numeric and column.categories:  # Pydantic's Literal[1] takes true and 1.0
        kind = Annotated[int, AfterValidator(_member(column)), WithJsonSchema(schema)]
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
    from pydantic_core import PydanticCustomError

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
    from pydantic_core import PydanticCustomError

    def check(value: int) -> int:
        if value not in column.categories:
            raise PydanticCustomError("literal_error", f"Input should be {column.words}")
        return value

    return check
