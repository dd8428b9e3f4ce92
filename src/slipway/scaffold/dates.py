"""Columns of dates: the way in which they are written, their field, and the features derived from them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import pandas as pd

from slipway.contract import Column, dates

if TYPE_CHECKING:
    from slipway.scaffold.columns import Described

ISO = "ISO8601"  # pandas' name of all its forms
Unit = Literal["s", "ms"]
UNIX: dict[Unit, int] = {"s": 1, "ms": 1000}  # Unix time: pandas' name of the unit, and how many are a second
YEAR_1990, YEAR_2040 = 631_152_000, 2_208_988_800
OF_TIME = re.compile(r"(^|_)(ts|time|timestamp|epoch|date|datetime|at|on|created|updated)(_(s|ms|utc))?$")
OF_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d %b %Y", "%d-%b-%Y", "%d %B %Y",
    "%b %d, %Y",
)  # fmt: skip
OF_MOMENTS = (ISO, *(f"{form} {time}" for form in OF_DATES[1:6] for time in ("%H:%M", "%H:%M:%S")))
ZONE = re.compile(r"(Z|[-+]\d\d:?\d\d)$")
YEARS = 10  # after the last date that new ones may lie
SPLIT = (
    "; the split ignores them, so scores are too good if the model must predict what comes later: then name the column "
    "with --time (docs/gate.md)"
)


def unix_unit(name: str, low: float, high: float) -> Unit | None:
    """Give the unit of whole numbers, from low to high, that are Unix time by name and size; else None."""
    return next(
        (unit for unit, n in UNIX.items() if OF_TIME.search(name) and YEAR_1990 * n < low < high < YEAR_2040 * n), None
    )


def describe_dates(found: Described, cells: Collection[str], *, convert: bool, unix: Unit | None = None) -> Described:
    """Complete the description of a column of dates; it stays a text if they cannot be read, and says why.

    cells: its different ones. convert: even if they are ISO 8601. unix: the unit, if they are Unix time.
    """
    first = next(iter(cells))
    forms = (unix,) if unix else (OF_DATES, OF_MOMENTS)[":" in first]
    read = {form: moments(cells, form) for form in forms}
    read = {form: times for form, times in read.items() if times.notna().all()}
    if len(read) != 1:
        unread = "written in no one way that is known; as 2024-01-31 they could be used"
        why = "day and month cannot be told apart" if read else unread
        return replace(found, evidence=f"dates, as {first}: {why}")
    form, times = next(iter(read.items()))
    kind: Literal["date", "datetime"] = "datetime" if unix or ":" in first else "date"
    low, middle, high = times.min(), times.sort_values().iloc[len(times) // 2], times.max()
    low_day, high_day = _new_year(low.year - max(1, (high.year - low.year) // 2)), _new_year(high.year + YEARS)
    shown = ((moment.date() if kind == "date" else moment) for moment in (low, middle, high))
    texts = [dates.write(kind, dates.parse(kind, moment)) for moment in shown]
    column = replace(
        found.column,
        kind=kind,
        minimum=dates.parse(kind, low_day if kind == "datetime" else low_day.date()),
        below=dates.parse(kind, high_day if kind == "datetime" else high_day.date()),
        examples=(texts[1],),
    )
    iso = not convert and all(dates.FORMS[kind].fullmatch(cell) for cell in cells)
    evidence, notes = f"dates, {texts[0]} to {texts[2]}", found.notes
    if unix:
        notes += (f"whole numbers that look like Unix time in {unix}: read so",)
    elif kind == "datetime" and not any(map(ZONE.search, cells)):
        notes += ("no time zone is written: read as UTC",)
    return replace(found, column=column, evidence=evidence, form="" if iso else form, notes=(*notes, evidence + SPLIT))


def moments(cells: Collection[str], form: str) -> pd.Series:
    """Read cells as dates written in one form, or as Unix time in one unit; other cells become NaT."""
    written = pd.Series([*cells])
    for unit in UNIX:
        if form == unit:
            return pd.to_datetime(pd.to_numeric(written, errors="coerce"), unit=unit, errors="coerce", utc=True)
    return pd.to_datetime(written, format=form, errors="coerce", utc=True)


def derived(columns: Collection[Column]) -> list[str]:
    """Name what `features.py` derives from the dates among columns."""
    parts = {"date": ("weekday", "month"), "datetime": ("weekday", "month", "hour")}
    return [f"{column.name}_{part}" for column in columns for part in parts.get(column.kind, ())]


def source(kind: str, bound: float) -> str:
    """Write a bound as Python does."""
    day = datetime.fromisoformat(dates.write(kind, bound))
    written = f"{day.year}, {day.month}, {day.day}"
    return f"date({written})" if kind == "date" else f"datetime({written}, tzinfo=UTC)"


def _new_year(year: int) -> datetime:
    return datetime(min(max(year, 1), 9999), 1, 1, tzinfo=UTC)
