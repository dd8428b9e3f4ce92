"""From a table to a declaration: target, features, group, and what is left out, each with the reason."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from slipway.contract import Column, Contract, Target
from slipway.problem import SlipwayError, close_names
from slipway.scaffold.columns import MOST_CATEGORIES, Described, describe, field_name, listed
from slipway.scaffold.table import Table

if TYPE_CHECKING:
    import pandas as pd

LEAST_OF_CLASS = 5  # rows: fewer cannot be both trained and tested on
MOST_MISSING = 0.5  # of a column's cells; what is missing more often is left out
MOST_NUMBERED_CLASSES = 10
SAME = 0.999999  # correlation of two columns that say the same
ROW_ID = "row_id"


@dataclass(frozen=True)
class Proposal:
    """What a project would declare about a table.

    features, target, group: the columns that are used; group None: each row is a group of its own. unused: every other
    recorded column, with the reason. numbered: whether load() numbers the rows. findings: what a person should know, by
    column. rare: classes whose rows are left out. untold: rows without a target, which are left out.
    """

    name: str
    table: Table
    features: tuple[Described, ...]
    target: Described
    group: Described | None
    unused: dict[str, str]
    findings: tuple[tuple[str, str], ...]
    numbered: bool
    rare: tuple[str, ...] = ()
    untold: int = 0

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return len(self.table.cells)

    @property
    def row(self) -> Contract:
        """The contract of the features."""
        return Contract("Row", tuple(one.column for one in self.features))

    @property
    def record(self) -> Contract:
        """The contract of a row of the data."""
        columns = [*self.row.columns, self.target.column, *([self.group.column] if self.group else [])]
        return Contract("Record", (*columns, *([Column(ROW_ID, "integer", minimum=1)] if self.numbered else [])))

    @property
    def goal(self) -> Target:
        """What is predicted."""
        return Target.of(self.target.column)

    def without(self, recorded: str, reason: str) -> Proposal:
        """Give the proposal without one of its features."""
        features = tuple(one for one in self.features if one.recorded != recorded)
        findings = (*self.findings, (recorded, f"{reason}: left out"))
        return replace(self, features=features, unused={**self.unused, recorded: reason}, findings=findings)


def propose(table: Table, target: str, name: str, group: str | None = None, drop: Sequence[str] = ()) -> Proposal:
    """Propose what to declare. Raises SlipwayError if the target cannot be predicted, or there is no feature."""
    cells = table.cells
    for column in (target, *([group] if group else []), *drop):
        if column not in cells:
            near = close_names(column, [str(one) for one in cells.columns][:20])
            raise SlipwayError(f"{table.path}: there is no column {column!r}; {near}")
    if target in drop or group in (target, *drop):
        raise SlipwayError("a column is the target, the group or dropped, and only one of these")
    described = {one.recorded: one for one in _describe_all(table)}
    goal, rare = _target(described.pop(target), cells[target])
    findings = [(goal.recorded, note) for note in goal.notes]
    if rare:
        findings.append((target, f"{listed(rare)} with fewer than {LEAST_OF_CLASS} rows: these rows are left out"))
    if goal.absent:
        findings.append((target, f"missing in {goal.absent:,} rows: these rows are left out"))
    chosen = _group(described, cells, group)
    features = [one for one in described.values() if one is not chosen and one.recorded not in drop]
    unused, said = _leave_out(features, cells)
    proposal = Proposal(
        name=name,
        table=table,
        features=tuple(one for one in features if one.recorded not in unused),
        target=replace(goal, column=replace(goal.column, optional=False)),
        group=chosen and replace(chosen, column=replace(chosen.column, optional=False)),
        unused={**dict.fromkeys(drop, "dropped, as asked"), **unused},
        findings=(*findings, *said, _said_of_group(chosen, cells, asked=group is not None)),
        numbered=chosen is None,
        rare=rare,
        untold=goal.absent,
    )
    if not proposal.features:
        reasons = "; ".join(f"{column}: {reason}" for column, reason in list(unused.items())[:5])
        raise SlipwayError(f"{table.path}: no column is left to predict {target!r} from: {reasons}")
    return proposal


def _leave_out(features: list[Described], cells: pd.DataFrame) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Say of each column that cannot be a feature why; and what else is to be said of the columns."""
    unused = {one.recorded: reason for one in features if (reason := _unfit(one, len(cells)))}
    kept = [one for one in features if one.recorded not in unused]
    unused |= {twin: f"says the same as {first!r}" for twin, first in _twins(kept, cells).items()}
    notes = [(one.recorded, note) for one in features for note in one.notes]
    return unused, [*((name, f"{reason}: left out") for name, reason in unused.items()), *notes]


def _describe_all(table: Table) -> list[Described]:
    names: dict[str, str] = {}
    for recorded in table.cells.columns:
        names[recorded] = field_name(str(recorded), [*names.values(), ROW_ID])
    decimal = table.options.get("decimal", ".")
    found = [describe(recorded, table.cells[recorded], name, decimal=decimal) for recorded, name in names.items()]
    if not any(one.column.numeric and "NA" in one.missing for one in found):
        return found
    return [
        describe(one.recorded, table.cells[one.recorded], one.column.name, decimal=decimal, na_is_missing=True)
        if one.holds != "dates" and not one.column.numeric
        else one
        for one in found
    ]


def _target(found: Described, cells: pd.Series) -> tuple[Described, tuple[str, ...]]:
    """Decide whether the target is classes or a number; and which classes are too rare."""
    column, said = found.column, f"the target {found.recorded!r}"
    counts = cells[~cells.isin(("", *found.missing))].value_counts()
    if found.holds == "nothing":
        raise SlipwayError(f"{said} is empty in every row")
    if found.distinct == 1:
        raise SlipwayError(f"{said} is {counts.index[0]!r} in every row: there is nothing to predict")
    if found.holds == "dates":
        raise SlipwayError(f"{said} holds dates ({counts.index[0]}); classes or a number can be predicted")
    if column.numeric and column.kind != "boolean":
        numbers = sorted({float(value.replace(",", ".")) for value in counts.index})
        numbered = numbers == list(range(int(numbers[0]), int(numbers[0]) + len(numbers))) and numbers[0] in (0, 1)
        if not (len(numbers) == 2 or (numbered and len(numbers) <= MOST_NUMBERED_CLASSES)):
            return found, ()
        note = f"{len(numbers)} whole numbers, {numbers[0]:g} to {numbers[-1]:g}: read as classes, not as a quantity"
        found = replace(found, notes=(*found.notes, note))
    if column.kind == "boolean":
        return found, ()
    if column.kind == "text" and found.distinct > min(MOST_CATEGORIES, len(cells) / 10):
        raise SlipwayError(
            f"{said} is free text ({found.distinct:,} different values in {len(cells):,} rows), not classes or a number"
        )
    kept = sorted(str(label) for label, n in counts.items() if n >= LEAST_OF_CLASS)
    rare = tuple(sorted(str(label) for label, n in counts.items() if n < LEAST_OF_CLASS))
    if len(kept) < 2:
        raise SlipwayError(f"{said} has fewer than two classes with at least {LEAST_OF_CLASS} rows: {listed(rare)}")
    shares = ", ".join(f"{label!r} {counts[label] / len(cells):.0%}" for label in kept[:5])
    classes = Column(column.name, "category", optional=column.optional, categories=tuple(kept))
    return replace(found, column=classes, evidence=f"{len(kept)} classes: {shares}"), rare


def _unfit(one: Described, rows: int) -> str | None:
    """Say why a column cannot be a feature; None if it can."""
    if len(one.formats) > 1:
        forms = ", ".join(one.formats)
        raise SlipwayError(
            f"the column {one.recorded!r} writes dates in {len(one.formats)} ways ({forms}); write them in one way, "
            f"or leave it out with --drop {one.recorded!r}"
        )
    if one.holds == "nothing":
        return "empty"
    if one.distinct == 1:
        return "one value in every row" if not one.absent else "one value where it is filled"
    if one.holds == "dates":
        return f"{one.evidence}; a row has no field for dates, and rows of one time may be on both sides of the split"
    if one.absent > MOST_MISSING * rows:
        return f"missing in {one.absent / rows:.0%} of the rows"
    if _identifies(one, rows):
        return "identifies rows"
    if one.holds == "codes" and one.distinct > rows / 2:
        return f"a code of its own in nearly every row ({one.distinct:,} in {rows:,})"
    return None


def _identifies(one: Described, rows: int) -> bool:
    """Whether the column only tells rows apart: by its name, or because it counts them."""
    if one.identifier and one.distinct > MOST_CATEGORIES and one.holds in ("codes", "values"):
        return True
    unique = one.distinct == rows and not one.absent
    return unique and (one.holds == "codes" or (one.column.kind == "integer" and one.high - one.low == rows - 1))


def _group(described: dict[str, Described], cells: pd.DataFrame, asked: str | None) -> Described | None:
    """Choose the column that says which rows belong together: the one asked for, else an identifier."""
    if asked is not None:
        if described[asked].absent:
            raise SlipwayError(
                f"the group {asked!r} is missing in {described[asked].absent:,} rows; every row needs one"
            )
        return described[asked]
    rows = len(cells)
    found = [
        one
        for one in described.values()
        if not one.absent and one.distinct >= 10 and one.holds != "dates" and _identifies(one, rows)
    ]
    return min(found, key=lambda one: (one.distinct == rows, -one.distinct), default=None)


def _said_of_group(group: Described | None, cells: pd.DataFrame, *, asked: bool) -> tuple[str, str]:
    rows, twice = len(cells), int(cells.duplicated().sum())
    if group is None:
        note = "no column says which rows belong together: each row is a group of its own, numbered by load()"
        return ROW_ID, note + (f"; rows that repeat an earlier one: {twice:,}" if twice else "")
    why = "as asked" if asked else "it looks like an identifier"
    return (
        group.recorded,
        f"the group, {why}: {group.distinct:,} in {rows:,} rows, each on one side of the split",
    )


def _twins(features: Collection[Described], cells: pd.DataFrame) -> dict[str, str]:
    """Find columns that say the same as one before them: one to one, or one number as a multiple of the other."""
    import pandas as pd

    found: dict[str, str] = {}
    seen: dict[bytes, str] = {}
    numbers: dict[str, pd.Series] = {}
    for one in features:
        values = cells[one.recorded]
        if one.column.kind in ("number", "integer"):
            numbers[one.recorded] = pd.to_numeric(values.str.replace(",", "."), errors="coerce")
            continue
        codes = pd.factorize(values)[0]
        first = seen.setdefault(codes.tobytes(), one.recorded)
        if first != one.recorded and one.distinct <= len(cells) / 2:
            found[one.recorded] = first
    if len(numbers) > 1:
        alike = np.triu(np.abs(pd.DataFrame(numbers).corr().to_numpy()) > SAME, 1)
        names = list(numbers)
        for first_, twin in np.argwhere(alike):
            if names[first_] not in found and numbers[names[first_]].isna().equals(numbers[names[twin]].isna()):
                found.setdefault(names[twin], names[first_])
    return found
