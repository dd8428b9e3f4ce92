"""From a table to a declaration: target, features, group, and the columns that are left out, each with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from slipway.contract import Column, Contract, Target
from slipway.problem import SlipwayError
from slipway.problem.files import ROW_ID
from slipway.scaffold.columns import MOST_CATEGORIES, Described, describe, listed
from slipway.scaffold.groups import choose_group, find_twins, identifies
from slipway.scaffold.naming import field_names, find_roles
from slipway.scaffold.numbers import PLAIN, Written
from slipway.scaffold.table import Table

LEAST_OF_CLASS = 5  # rows: fewer cannot be both trained and tested on
MOST_MISSING = 0.5  # of a column's cells; a column with more missing is left out
MOST_NUMBERED_CLASSES = 10
TIME = (
    "the time: the newest rows are the test set, and it is no feature, since the model would never see a later time in "
    "training; an hour or a month, which recurs, can be a feature (features.py in docs/your-own.md)"
)


@dataclass(frozen=True)
class Proposal:
    """The declaration of a table.

    group: None if each row is a group of its own. unused: every other recorded column, with the reason. numbered:
    whether load() numbers the rows. rare: classes whose rows are left out. findings: notes for a person, by column.
    time: the column by which the newest rows are the test set, if one was named. split: as in `params.yaml`.
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
    time: Described | None = None
    split: Literal["group", "time", "group_and_time"] = "group"

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return len(self.table.cells)

    @property
    def used(self) -> tuple[Described, ...]:
        """The recorded columns that become fields."""
        return (*self.features, self.target, *filter(None, (self.group, self.time)))

    @property
    def fields(self) -> dict[str, str]:
        """The names of the fields, by recorded column."""
        return {one.recorded: one.column.name for one in self.used}

    @property
    def group_name(self) -> str:
        """The field by which rows are divided into training and test."""
        return self.group.column.name if self.group else ROW_ID

    @property
    def missing(self) -> dict[str, tuple[str, ...]]:
        """How missing values are written, by recorded column: in a CSV besides the empty cell."""
        marks = {one.recorded: one.missing for one in self.used}
        if self.table.parquet:  # has missing values, and may have empty texts as well
            marks |= {one.recorded: ("", *one.missing) for one in self.used if one.absent and not one.column.numeric}
        return {recorded: written for recorded, written in marks.items() if written}

    @property
    def written(self) -> dict[str, Written]:
        """How numbers are written, by recorded column, where Python would not read them."""
        numbers = [one for one in self.used if one.column.kind in ("number", "integer")]
        return {one.recorded: one.written for one in numbers if one.written != PLAIN}

    @property
    def dated(self) -> bool:
        """Whether a feature is a date: then there is a `features.py`."""
        return any(one.column.temporal for one in self.features)

    @property
    def row(self) -> Contract:
        """The contract of the features."""
        return Contract(f"{self._class}Row", tuple(one.column for one in self.features))

    @property
    def record(self) -> Contract:
        """The contract of a row of the data."""
        numbers = [Column(ROW_ID, "integer", minimum=1)] if self.numbered else []
        return Contract(f"{self._class}Record", (*(one.column for one in self.used), *numbers))

    @property
    def _class(self) -> str:
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def goal(self) -> Target:
        """The column that is predicted, and its classes."""
        return Target.of(self.target.column)

    def without(self, recorded: str, reason: str) -> Proposal:
        """Give the proposal without one of its features."""
        features = tuple(one for one in self.features if one.recorded != recorded)
        findings = (*self.findings, (recorded, f"{reason}: left out"))
        return replace(self, features=features, unused={**self.unused, recorded: reason}, findings=findings)


def propose(
    table: Table, target: str, name: str, group: str | None = None, drop: Sequence[str] = (), time: str | None = None
) -> Proposal:
    """Propose a declaration. Raises SlipwayError if the target cannot be predicted, or there is no feature.

    target, group, drop, time: columns, by their names or those of their fields.
    """
    cells = table.cells
    target, group, time, drop = find_roles(table, target, group, time, drop)
    described = {one.recorded: one for one in _describe_all(table) if one.recorded not in drop}
    goal, rare = _target(described.pop(target), cells[target])
    at = _time(described.pop(time)) if time else None
    chosen, said_of_group = choose_group(described, cells, group, apart=group is not None or at is None)
    features = [one for one in described.values() if one is not chosen]
    unused = {one.recorded: reason for one in features if (reason := _unfit(one, len(cells)))}
    unused |= find_twins([one for one in features if one.recorded not in unused], cells)
    findings = [(target, note) for note in goal.notes]
    findings += [(column, f"{reason}: left out") for column, reason in unused.items()]
    # The last note on dates is that the split ignores them.
    known = [(one, one.notes[:-1] if at and one.column.temporal else one.notes) for one in features]
    findings += [(one.recorded, note) for one, notes in known for note in notes]
    findings += [(at.recorded, TIME)] if at else []
    if len(unused) == len(features):
        reasons = "; ".join(f"{column}: {reason}" for column, reason in list(unused.items())[:5])
        raise SlipwayError(f"{table.path}: no column is left to predict {target!r} from: {reasons}")
    return Proposal(
        name=name,
        table=table,
        features=tuple(one for one in features if one.recorded not in unused),
        target=goal,
        group=chosen,
        unused={**dict.fromkeys(drop, "dropped, as asked"), **unused},
        findings=(*findings, said_of_group),
        numbered=chosen is None,
        rare=rare,
        time=at,
        split=("group_and_time" if group else "time") if at else "group",
    )


def _time(found: Described) -> Described:
    """Check that a column can order the rows in time."""
    if found.column.kind not in ("date", "datetime", "number", "integer"):
        raise SlipwayError(f"the time {found.recorded!r} holds no dates or numbers: {found.evidence}")
    if found.absent:
        raise SlipwayError(f"the time {found.recorded!r} is missing in {found.absent:,} rows; every row needs one")
    return replace(found, column=replace(found.column, optional=False))


def _describe_all(table: Table) -> list[Described]:
    given = {"comma": "decimal" in table.options, "typed": table.parquet}
    found = [
        describe(recorded, table.cells[recorded], name, **given)
        for recorded, name in field_names(table.cells.columns).items()
    ]
    written_na = any(one.column.numeric and "NA" in one.missing for one in found)
    for number, one in enumerate(found):
        if written_na and one.holds != "dates" and not one.column.numeric:
            cells = table.cells[one.recorded]
            found[number] = describe(one.recorded, cells, one.column.name, **given, na_is_missing=True)
    return found


def _target(found: Described, cells: pd.Series) -> tuple[Described, tuple[str, ...]]:
    """Decide whether the target is classes or a number, and list the classes that are too rare."""
    said = f"the target {found.recorded!r}"
    counts = cells[~cells.isin(("", *found.missing))].value_counts()
    if found.holds == "nothing":
        raise SlipwayError(f"{said} is empty in every row")
    if found.distinct == 1:
        raise SlipwayError(f"{said} is {counts.index[0]!r} in every row: there is nothing to predict")
    if found.holds == "dates":
        raise SlipwayError(f"{said} holds dates ({counts.index[0]}); classes or a number can be predicted")
    if found.column.kind == "text" and found.distinct > min(MOST_CATEGORIES, len(cells) / 10):
        raise SlipwayError(
            f"{said} is free text ({found.distinct:,} different values in {len(cells):,} rows), not classes or a number"
        )
    notes, column = [*found.notes], replace(found.column, optional=False)
    rare: tuple[str, ...] = ()
    if column.kind in ("number", "integer") and _numbers_classes(found, counts):
        notes.append(f"{len(counts)} whole numbers: read as classes, not as a quantity")
        column = replace(column, kind="text")
    if not column.numeric:
        kept = sorted(str(label) for label, n in counts.items() if n >= LEAST_OF_CLASS)
        rare = tuple(sorted(str(label) for label, n in counts.items() if n < LEAST_OF_CLASS))
        if len(kept) < 2:
            raise SlipwayError(f"{said} has fewer than two classes with at least {LEAST_OF_CLASS} rows: {listed(rare)}")
        if rare:
            notes.append(f"{listed(rare)} with fewer than {LEAST_OF_CLASS} rows: these rows are left out")
        shares = ", ".join(f"{label!r} {counts[label] / len(cells):.0%}" for label in kept[:5])
        column = Column(column.name, "category", categories=tuple(kept))
        found = replace(found, evidence=f"{len(kept)} classes: {shares}")
    if found.absent:
        notes.append(f"missing in {found.absent:,} rows: these rows are left out")
    return replace(found, column=column, notes=tuple(notes)), rare


def _numbers_classes(found: Described, counts: pd.Series) -> bool:
    """Whether numbers are names of classes: two of them, or few that count from 0 or 1."""
    count = len(counts)
    counted = found.low in (0, 1) and found.high - found.low == count - 1 and found.column.kind == "integer"
    return count == 2 or (counted and count <= MOST_NUMBERED_CLASSES)


def _unfit(one: Described, rows: int) -> str | None:
    """Say why a column cannot be a feature; None if it can."""
    if len(one.formats) > 1:
        raise SlipwayError(
            f"the column {one.recorded!r} writes dates in {len(one.formats)} ways ({', '.join(one.formats)}); write "
            f"them in one way, or leave it out with --drop {one.recorded!r}"
        )
    if one.holds == "nothing":
        return "empty"
    if one.distinct == 1:
        return "one value in every row" if not one.absent else "one value where it is filled"
    if one.holds == "dates" and not one.column.temporal:
        return one.evidence
    if one.absent > MOST_MISSING * rows:
        return f"missing in {one.absent / rows:.0%} of the rows"
    if identifies(one, rows):
        return "identifies rows"
    if one.holds == "codes" and one.distinct > rows / 2:
        return f"a code of its own in nearly every row ({one.distinct:,} in {rows:,})"
    return None
