"""Dates and date-times: ISO 8601 in and out, and numbers in arrays.

In arrays a date is the number of days since 1970-01-01, and a date-time the number of seconds since
1970-01-01T00:00:00Z, both as float64 (missing: NaN). A date-time is a point in time: without an offset from UTC it is
refused, and it is written as UTC, to the microsecond.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
DAY = date(1970, 1, 1)
MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59.999999", "us")
MICROSECONDS_PER_DAY = 86_400_000_000
FORMS = {
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "datetime": re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[-+]\d\d:\d\d)"),
}
WORDS = {
    "date": "a date as in ISO 8601 (2024-01-31)",
    "datetime": "a date-time with its offset from UTC as in ISO 8601 (2024-01-31T12:00:00Z, or +01:00 for Z)",
}


class Stamp(float):
    """A date or date-time that was parsed already."""


def parse(kind: str, value: Any) -> float:
    """Convert a text or a `date` or `datetime` to days or seconds, by kind ("date", "datetime"). Raises ValueError."""
    if isinstance(value, Stamp):
        return value
    try:
        if isinstance(value, str) and FORMS[kind].fullmatch(value):
            text = value.upper()
            value = date.fromisoformat(text) if kind == "date" else datetime.fromisoformat(text)
        if kind == "datetime" and isinstance(value, datetime) and value.tzinfo is not None:
            return (value.astimezone(UTC) - MOMENT).total_seconds()
    except (ValueError, OverflowError):  # the 30th of February
        raise ValueError(f"not {WORDS[kind]}") from None
    midnight = not isinstance(value, datetime) or (value.tzinfo is None and value.time() == time())
    if kind == "date" and isinstance(value, date) and midnight:
        return float(value.toordinal() - DAY.toordinal())
    raise ValueError(f"not {WORDS[kind]}")


def write(kind: str, number: float) -> str:
    """Write days or seconds as ISO 8601, the inverse of `parse`."""
    if kind == "date":
        return (DAY + timedelta(days=number)).isoformat()
    return (MOMENT + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")


def convert(kind: str, values: Any) -> tuple[Array, Array]:
    """Convert a sequence, a NumPy array or a pandas series to days or seconds (missing: NaN).

    Gives the numbers, float64, and which values are none, boolean; each of shape (rows,). NumPy's datetime64 is UTC.
    """
    dtype = getattr(values, "dtype", None)
    if dtype is not None and dtype.kind == "M":
        return _of_datetime64(kind, values)
    listed = values.tolist() if dtype is not None else values
    array, wrong = np.full(len(listed), np.nan), np.zeros(len(listed), dtype=bool)
    known: dict[str, float] = {}
    for row, value in enumerate(listed):
        if is_missing(value) or (dtype is not None and value == ""):
            continue
        try:
            if not isinstance(value, str):
                array[row] = parse(kind, value)
            elif value in known:
                array[row] = known[value]
            else:
                array[row] = known[value] = parse(kind, value)
        except ValueError:
            wrong[row] = True
    return array, wrong


def to_datetime64(kind: str, array: Array) -> Array:
    """Convert days or seconds to NumPy's datetime64, in microseconds (missing: NaT)."""
    count = np.round(np.nan_to_num(array) * (MICROSECONDS_PER_DAY if kind == "date" else 1e6)).astype("int64")
    return np.where(np.isnan(array), np.datetime64("NaT", "us"), count.astype("datetime64[us]"))


def _of_datetime64(kind: str, values: Any) -> tuple[Array, Array]:
    zoned = getattr(values.dtype, "tz", None) is not None
    pandas = hasattr(values, "to_numpy")
    stamps = np.asarray(values, dtype="datetime64[us]")
    present, count = ~np.isnat(stamps), stamps.astype("int64")
    beyond = (stamps < FIRST) | (stamps > LAST)
    if kind == "date":
        wrong = beyond | (count % MICROSECONDS_PER_DAY != 0) | zoned
        return np.where(present, count / MICROSECONDS_PER_DAY, np.nan), present & wrong
    wrong = beyond | (pandas and not zoned)
    return np.where(present, count / 1e6, np.nan), present & wrong


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, or pandas' NA or NaT."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):
        return True
