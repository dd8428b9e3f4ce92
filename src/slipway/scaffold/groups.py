"""What columns are to each other: which only tells rows apart, groups them, or says the same as another."""

from __future__ import annotations

import pandas as pd

from slipway.problem import SlipwayError
from slipway.problem.files import ROW_ID
from slipway.scaffold.columns import MOST_CATEGORIES, Described
from slipway.scaffold.dates import ISO, moments


def identifies(one: Described, rows: int) -> bool:
    """Whether the column only tells rows apart: by its name, or because it counts them."""
    if one.identifier and one.distinct > MOST_CATEGORIES and one.holds in ("codes", "values"):
        return True
    unique = one.distinct == rows and not one.absent
    return unique and (one.holds == "codes" or (one.column.kind == "integer" and one.high - one.low == rows - 1))


def choose_group(
    described: dict[str, Described], cells: pd.DataFrame, asked: str | None, *, apart: bool = True
) -> tuple[Described | None, tuple[str, str]]:
    """Choose the column that groups rows: the one asked for, else an identifier. Gives a note on it, too.

    apart: whether the split keeps the rows of a group on one side.
    """
    rows, chosen = len(cells), described[asked] if asked is not None else None
    if chosen and chosen.absent:
        raise SlipwayError(f"the group {asked!r} is missing in {chosen.absent:,} rows; every row needs one")
    if chosen is None:
        whole = [one for one in described.values() if not one.absent and one.distinct >= 10 and one.holds != "dates"]
        found = [one for one in whole if identifies(one, rows)]
        chosen = min(found, key=lambda one: (one.distinct == rows, -one.distinct), default=None)
    if chosen is None:
        note, twice = "no column says which rows belong together", int(cells.duplicated().sum())
        note += ": each row is a group of its own, numbered by load()"
        return None, (ROW_ID, note + (f"; rows that repeat an earlier one: {twice:,}" if twice else ""))
    why = "as asked" if asked else "it looks like an identifier"
    sides = (
        "no group is in both parts of the split" if apart else "a group may be in both parts unless --group names it"
    )
    note = f"the group, {why}: {chosen.distinct:,} in {rows:,} rows; {sides}"
    return chosen, (chosen.recorded, note)


def find_twins(features: list[Described], cells: pd.DataFrame) -> dict[str, str]:
    """Find columns that say the same as one before them: one to one and, of numbers and dates, in the same order."""
    found: dict[str, str] = {}
    seen: dict[bytes, str] = {}
    for one in features:
        codes, different = pd.factorize(cells[one.recorded])
        if one.column.kind in ("number", "integer"):
            numbers = pd.Series([one.written.read(cell) for cell in different], dtype="float64")
            codes = pd.factorize(numbers[codes], sort=True)[0]
        elif one.column.temporal:
            codes = pd.factorize(moments(cells[one.recorded], one.form or ISO), sort=True)[0]
        first = seen.setdefault(codes.tobytes(), one.recorded)
        if first != one.recorded and (one.column.numeric or one.distinct <= len(cells) / 2):
            found[one.recorded] = f"says the same as {first!r}"
    return found
