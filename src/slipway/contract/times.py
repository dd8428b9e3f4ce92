"""A column as points in time: a date in days, a date-time in seconds (see `dates`), or a number in its own unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from slipway.contract import dates
from slipway.contract.column import Column
from slipway.contract.dates import Array
from slipway.problem import SlipwayError

DAY = 86_400.0  # seconds


def points(column: Column, values: Any) -> Array:
    """Give each value as a point in time: float64, shape (rows,); NaN if it is missing or no date.

    Raises SlipwayError if a value of a number is not one.
    """
    if not column.temporal:
        return column.array(values)
    array, wrong = dates.convert(column.kind, values)
    return np.where(wrong, np.nan, array)


def point(column: Column, value: Any, place: str) -> float:
    """Give one point in time. Raises SlipwayError, naming the place, if it is not of the column's kind."""
    try:
        return dates.parse(column.kind, value) if column.temporal else float(value)
    except ValueError:
        kind = dates.WORDS.get(column.kind, "a number")
        raise SlipwayError(f"{place}: {value!r} is not {kind}, as {column.name} is") from None


def written(column: Column, at: float) -> str | float:
    """Write a point as the column has it."""
    if column.temporal:
        return dates.write(column.kind, at)
    return int(at) if column.kind == "integer" else float(at)


def unit(column: Column) -> float:
    """Give the length of a gap of 1: a day, or one of a number."""
    return DAY if column.kind == "datetime" else 1.0
