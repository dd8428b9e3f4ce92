"""The names of fields, made of those of columns, and the columns that a person names."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from slipway.problem import SlipwayError, close_names
from slipway.problem.files import ROW_ID

if TYPE_CHECKING:
    from slipway.scaffold.table import Table

RESERVED = {"int", "float", "str", "bool", "l", "o", "i"}  # would hide a type, or look like a digit
SUGGESTED = 20  # columns among which a similar name is looked for


def field_name(recorded: str, taken: Collection[str]) -> str:
    """Make a field's name, in snake case, that is not among `taken` and hides nothing of Pydantic or Python."""
    from pydantic import BaseModel

    words = unicodedata.normalize("NFKD", recorded).encode("ascii", "ignore").decode()
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", words)
    name = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "column"
    name = "row_id" if recorded.startswith("Unnamed: ") else name
    name = f"n_{name}" if name[0].isdigit() else name
    if name in RESERVED or keyword.iskeyword(name) or name in dir(BaseModel) or name.startswith("model_"):
        name = f"{name}_" if not name.startswith("model_") else f"the_{name}"
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def field_names(columns: Iterable[str]) -> dict[str, str]:
    """Name the fields of a table, by column."""
    names: dict[str, str] = {}
    for recorded in columns:
        names[recorded] = field_name(str(recorded), [*names.values(), ROW_ID])
    return names


def find_roles(
    table: Table, target: str, group: str | None, time: str | None, drop: Sequence[str]
) -> tuple[str, str | None, str | None, list[str]]:
    """Find the columns that have a role: target, group, time, and those that are left out.

    Each may be called by its name, or by any that gives the same field: `opened on` for ` Opened On `. Raises
    SlipwayError if there is no such column, or if one has two roles.
    """
    named = [_find(table, one) for one in (target, *filter(None, (group, time)), *drop)]
    if len(set(named)) < len(named):
        raise SlipwayError("a column is the target, the group, the time or dropped, and only one of these")
    found = iter(named)
    return next(found), group and next(found), time and next(found), list(found)


def _find(table: Table, asked: str) -> str:
    names, field = field_names(table.cells.columns), field_name(asked, [])
    if asked in names:
        return asked
    if found := next((recorded for recorded, name in names.items() if name == field), None):
        return found
    near = close_names(asked, [str(one) for one in names][:SUGGESTED])
    raise SlipwayError(f"{table.path}: there is no column {asked!r}; {near}")
