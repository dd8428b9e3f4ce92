"""The types that msgspec decodes rows to, made from the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from slipway.contract import Column, Contract, dates


class _Stamp(dates.Stamp):
    """A date or date-time of one column, whose subclass of this names the column."""

    column: Column


def stamp(kind: type[Any], value: Any) -> Any:
    """Parse a date or date-time for msgspec. Raises ValueError."""
    if not issubclass(kind, _Stamp):
        raise NotImplementedError(kind)
    number = dates.parse(kind.column.kind, value)
    if not kind.column.within(number):
        raise ValueError(kind.column.name)
    return kind(number)


def to_type(column: Column) -> Any:
    """Give the type of a column's values, with its bounds."""
    kind: Any = column.type
    if column.temporal:
        kind = type("Stamp", (_Stamp,), {"column": column})
    elif limits := column.limits:
        kind = Annotated[kind, Meta(**limits)]
    return kind | None if column.optional else kind


def to_fields(contract: Contract, kind: Callable[[Column], Any]) -> list[Any]:
    """Give the fields f0, f1, ... of a struct with the columns, in order."""
    return [
        (f"f{n}", kind(column) | UnsetType, UNSET) if column.optional else (f"f{n}", kind(column))
        for n, column in enumerate(contract.columns)
    ]


def decoder(name: str, kind: Any) -> msgspec.json.Decoder[Any]:
    """Make the decoder of an object with one key."""
    return msgspec.json.Decoder(msgspec.defstruct(name, [(name, kind)], forbid_unknown_fields=True), dec_hook=stamp)
