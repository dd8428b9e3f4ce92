"""The content of one column: its kind, bounds, categories, and how a missing value is written in it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from slipway.contract import EXACT, Array, Column, Kind
from slipway.scaffold.dates import describe_dates, unix_unit
from slipway.scaffold.numbers import PLAIN, UNITS, Written, find_written, shown
from slipway.stages.prepare import BOOLEANS

CODE = re.compile(r"\s*0\d+\s*")  # a leading zero: no quantity is written so
MARKS = ("", "na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "unknown", "missing")  # of no number
TEXT_MARKS = ("N/A", "n/a", "nan", "NaN", "NULL", "null", "<NA>", "?", "-", "--")  # of no text; "NA" may be Namibia
DATES = {
    "2024-01-31": re.compile(r"\d{4}-\d\d?-\d\d?"),
    "2024-01-31 12:00": re.compile(r"\d{4}-\d\d?-\d\d?[T ]\d\d?:\d\d(:\d\d(\.\d+)?)?( ?(Z|UTC|[-+]\d\d:?\d\d))?"),
    "2024/01/31": re.compile(r"\d{4}/\d\d?/\d\d?( .*)?"),
    "20240131": re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"),
    "01/31/2024": re.compile(r"\d\d?/\d\d?/(\d{4}|\d\d)( \d\d?:.*)?"),
    "31.01.2024": re.compile(r"\d\d?\.\d\d?\.(\d{4}|\d\d)( \d\d?:.*)?"),
    "31 Jan 2024": re.compile(r"(\d\d?[ -])?[A-Z][a-z]{2,8}[ -](\d\d?, )?(\d{4}|\d\d)"),
}
IDENTIFIER = re.compile(r"(^|_)(id|ids|uuid|guid|key|identifier|index)$")
CODES = re.compile(r"(^|_)(id|code|zip|zipcode|postcode|plz|sku|isbn|ean|phone|fips|iata|icao|key|no|nr|number)$")
UNIT = re.compile(r"\s*[(\[]\s*([^)\]]{1,12}?)\s*[)\]]\s*$")
MOST_CATEGORIES, LONGEST_CATEGORY = 60, 60
STRAY, MOST_STRAY = 0.02, 5  # so many cells, and different ones, of a column of numbers may be none
LEAST_WORDS = 3  # on average: texts of fewer are codes

Holds = Literal["values", "dates", "words", "codes", "nothing"]


@dataclass(frozen=True)
class Described:
    """A recorded column as a field of the schema, and the evidence for that.

    holds: "values" are numbers, booleans and categories; "words" are texts to read, "codes" are texts to compare.
    missing: how a missing value is written, besides an empty cell. absent, distinct: how many. low, high, written: of
    numbers. formats: of dates; form: pandas' name of it or the unit of Unix time, "" for ISO 8601. notes: for a person.
    """

    recorded: str
    column: Column
    holds: Holds
    evidence: str
    missing: tuple[str, ...] = ()
    absent: int = 0
    distinct: int = 0
    low: float = math.nan
    high: float = math.nan
    formats: tuple[str, ...] = ()
    form: str = ""
    written: Written = PLAIN
    notes: tuple[str, ...] = ()

    @property
    def identifier(self) -> bool:
        """Whether its name says that it identifies something."""
        return bool(IDENTIFIER.search(self.column.name)) or self.recorded.startswith("Unnamed: ")


def describe(
    recorded: str, cells: pd.Series, name: str, *, comma: bool = False, na_is_missing: bool = False, typed: bool = False
) -> Described:
    """Describe a column. cells: as written; an empty one is missing.

    comma: whether the table has decimal commas elsewhere. na_is_missing: whether `NA` is a missing value elsewhere, so
    that it is one among words too, but not among two-letter codes. typed: cells are texts made of other types.
    """
    written = {str(value): int(n) for value, n in cells.value_counts().items() if value != ""}
    way = find_written([value for value in written if value.strip().lower() not in MARKS], comma=comma)
    numbers = {value: number for value in written if (number := way.read(value)) is not None}
    missing, notes = _missing(written, numbers.keys(), na_is_missing=na_is_missing)
    counts = {value: n for value, n in written.items() if value not in missing}
    absent = len(cells) - sum(counts.values())
    column = Column(name=name, kind="text", optional=absent > 0, description=recorded)
    found = Described(recorded, column, "nothing", "no cell is filled", missing, absent, len(counts), notes=notes)
    if not counts:
        return found
    if formats := _formats(counts):
        return describe_dates(replace(found, holds="dates", formats=formats), counts, convert=typed)
    truths = {value: BOOLEANS.get(value.strip().lower()) for value in counts}
    if set(truths.values()) == {False, True}:
        share = sum(n for value, n in counts.items() if truths[value]) / len(cells)
        column = replace(column, kind="boolean", examples=(True,))
        return replace(found, column=column, holds="values", evidence=f"true in {share:.0%} of {len(cells):,} rows")
    if len(numbers) < len(counts):
        return _texts(found, counts, len(cells))
    values = np.array([numbers[value] for value in counts])
    codes = any(CODE.fullmatch(value) for value in counts) or CODES.search(name) or np.abs(values).max() > EXACT
    if codes and not (values % 1).any():
        note = "whole numbers that look like a code: kept as text, as they are written"
        return _texts(replace(found, notes=(*notes, note)), counts, len(cells))
    if not (values % 1).any() and (since := unix_unit(name, values.min(), values.max())):
        return describe_dates(replace(found, holds="dates", formats=(since,)), counts, convert=True, unix=since)
    if way.unit or way.thousands:
        usual = max(numbers, key=len)
        notes = (*notes, f"numbers written as {usual!r}: read as {shown(numbers[usual])}")
    column = replace(column, unit=_unit(recorded, name) or way.unit or None)
    found = replace(found, column=column, written=way, notes=notes)
    return _numbers(found, np.sort(np.repeat(values, list(counts.values()))))


def _missing(
    written: Mapping[str, int], numbers: Collection[str], *, na_is_missing: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find how the column writes a missing value; with notes on that."""
    others = [value for value in written if value not in numbers]
    stray = [value for value in others if value.strip().lower() not in MARKS]
    amount = sum(written[value] for value in stray)
    if numbers and len(stray) <= MOST_STRAY and amount <= STRAY * sum(written.values()):
        return tuple(others), (f"{amount:,} cells are no numbers ({listed(stray)}): read as missing",) if stray else ()
    codes = all(re.fullmatch(r"[A-Z]{2}", value) for value in written if value not in TEXT_MARKS)
    missing = [value for value in others if value in TEXT_MARKS or (value == "NA" and na_is_missing and not codes)]
    notes = []
    if missing:
        notes.append(f"{listed(missing)} in {sum(written[value] for value in missing):,} cells: read as missing")
    if "NA" in written and "NA" not in missing:
        notes.append(f"'NA' in {written['NA']:,} cells: kept as a value")
    return tuple(missing), tuple(notes)


def _unit(recorded: str, name: str) -> str | None:
    if (found := UNIT.search(recorded)) and re.search("[a-zA-Z%]", found[1]):
        return found[1]
    last = name.rsplit("_", 1)[-1]
    return last if last != name and last in UNITS else None


def _formats(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Name the formats of dates, the most usual first; none if the cells are no dates."""
    found = {form: sum(n for value, n in counts.items() if way.fullmatch(value.strip())) for form, way in DATES.items()}
    if sum(found.values()) < 0.95 * sum(counts.values()):
        return ()
    return tuple(sorted((form for form, n in found.items() if n), key=lambda form: -found[form]))


def _numbers(found: Described, cells: Array) -> Described:
    whole = bool((cells % 1 == 0).all())
    numbers = (*_bounds(cells[0], cells[-1], whole=whole), cells[(len(cells) - 1) // 2])
    low, high, middle = (round(value) if whole else float(value) for value in numbers)
    kind: Kind = "integer" if whole else "number"
    column = replace(found.column, kind=kind, minimum=low, maximum=high, examples=(middle,))
    evidence = f"{shown(cells[0])} to {shown(cells[-1])}, median {shown(middle)}{_outliers(cells)}"
    found = replace(found, low=float(cells[0]), high=float(cells[-1]))
    return replace(found, column=column, holds="values", evidence=evidence)


def _bounds(low: float, high: float, *, whole: bool) -> tuple[float, float]:
    """Give half of the span more room on each side, in round numbers; not below 0 if nothing is."""
    span = max(high - low, abs(high) / 100, 1e-9)
    step = 10.0 ** math.floor(math.log10(span))
    step = max(step, 1.0) if whole else step
    digits = max(0, -round(math.log10(step)))
    below = round(math.floor((low - span / 2) / step) * step, digits)
    above = round(math.ceil((high + span / 2) / step) * step, digits)
    return (max(below, 0.0) if low >= 0 else below), (min(above, 0.0) if high <= 0 else above)


def _outliers(cells: Array) -> str:
    first, third = np.quantile(cells, [0.25, 0.75])
    limit = float(f"{third + 3 * (third - first):.2g}")
    far = int((cells > limit).sum())
    if first == third or not 0 < far <= len(cells) / 50:
        return ""
    return f"; {far:,} of {len(cells):,} rows {'is' if far == 1 else 'are'} above {shown(limit)}"


def _texts(found: Described, counts: Mapping[str, int], rows: int) -> Described:
    seen = f"{len(counts):,} different values in {rows:,} rows"
    (usual, most), (rarest, least) = next(iter(counts.items())), list(counts.items())[-1]
    few = len(counts) <= 10 or len(counts) <= min(MOST_CATEGORIES, rows / 10)
    if few and sum(counts.values()) >= 3 * len(counts) and max(map(len, counts)) <= LONGEST_CATEGORY:
        rare = f"; {rarest!r} in only {least}" if least < 5 else ""
        column = replace(found.column, kind="category", categories=tuple(sorted(counts)), examples=(usual,))
        evidence = f"{seen}; {usual!r} in {most / rows:.0%}{rare}"
        folded = Counter(map(str.casefold, counts))
        alike = sorted(value for value in counts if folded[value.casefold()] > 1)
        note = f"{listed(alike)} differ only in case: if they mean the same, make them one in load()"
        notes = (*found.notes, note) if alike else found.notes
        return replace(found, column=column, holds="values", evidence=evidence, notes=notes)
    words = sum(len(value.split()) * n for value, n in counts.items()) / sum(counts.values())
    if words >= LEAST_WORDS:
        return replace(found, holds="words", evidence=f"{seen}, {words:.1f} words each")
    return replace(found, holds="codes", evidence=f"{seen}, as {usual[:LONGEST_CATEGORY]!r}")


def listed(values: Collection[str]) -> str:
    """List some of the values, as they are written."""
    shown = [repr(value) for value in values]
    return ", ".join(shown[:3]) + (" and others" if len(shown) > 3 else "")
