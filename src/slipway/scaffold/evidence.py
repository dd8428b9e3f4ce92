"""The evidence in the loaded table: the split, features that give the target away, thresholds, and expectations."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from slipway.contract import Array, Label
from slipway.expectations import leak
from slipway.expectations.repeats import repeats
from slipway.problem import SlipwayError
from slipway.problem.files import ROW_ID
from slipway.problem.params import Prepare, Validate
from slipway.scaffold.columns import listed
from slipway.scaffold.proposal import Proposal
from slipway.scaffold.table import Table
from slipway.stages.prepare import shape, split

SHARES = (0.25, 0.3, 0.2, 0.35, 0.4, 0.15)  # of test rows: the first with which each class is on both sides
GAIN = 0.1  # a first threshold is this share of the way from a constant prediction to a perfect one
IMBALANCED = 0.7  # share of one class, above which accuracy alone says little
LEAST_OF_SLICE, MOST_SLICES, MOST_VALUES = 10, 3, 10
MOST_MEDIANS = 3


class Threshold(NamedTuple):
    """The value that a score must reach, with that of a constant prediction."""

    metric: str
    value: float
    evidence: str


class Median(NamedTuple):
    """The values between which a column's median is expected, and the median that was found."""

    name: str
    low: float
    high: float
    found: float


@dataclass(frozen=True)
class Evidence:
    """The numbers behind `params.yaml`, the expectations and the tests.

    train, test: the table as `slipway prepare` divides it. max_missing_of: the limits of fields that are often missing.
    thresholds: champions are compared by the last one. shares: of each class.
    """

    proposal: Proposal
    train: pd.DataFrame
    test: pd.DataFrame
    test_share: float
    max_missing_of: dict[str, float]
    thresholds: tuple[Threshold, ...]
    slice_threshold: Threshold
    slices: tuple[str, ...]
    shares: dict[Label, float]
    medians: tuple[Median, ...]

    @property
    def least_rows(self) -> int:
        """The number of rows that is expected: about nine tenths of those at hand."""
        return int(0.9 * (len(self.train) + len(self.test)))

    @property
    def divergence(self) -> float:
        """The Kullback-Leibler divergence that the classes may have; less than with the largest class gone."""
        return round(min(0.1, -math.log(1 - max(self.shares.values())) / 3), 3)


def function(code: str, name: str) -> Any:
    """Run the text of a module that was made here, and give the function of that name."""
    module: dict[str, Any] = {}
    exec(code, module)  # noqa: S102
    return module[name]


def load(table: Table, code: str) -> pd.DataFrame:
    """Load the table, or the rows of a large one that were read, with the project's own `data.py`: the text `code`."""
    read = function(code, "load")
    if table.step == 1:
        return cast("pd.DataFrame", read(table.path if table.path.is_dir() else table.path.parent))
    with tempfile.TemporaryDirectory() as scratch:
        sample = Path(scratch, table.files[0].name)
        if table.parquet:
            table.content.to_parquet(sample)
        else:
            encoding, separator = table.options.get("encoding", "utf-8"), table.options.get("sep", ",")
            table.content.to_csv(sample, index=False, sep=separator, encoding=encoding)
        return cast("pd.DataFrame", read(sample.parent))


def gather(proposal: Proposal, loaded: pd.DataFrame) -> Evidence:
    """Divide the table, leave out features that give the target away, and find thresholds and expectations.

    Raises SlipwayError if the table is not what the proposal declares, or some class cannot be on both sides.
    """
    table = shape(proposal.record, loaded)
    for column in proposal.record.columns:
        if column.numeric and not column.temporal and table[column.name].dtype.kind not in "fiub":
            raise SlipwayError(f"{proposal.table.path}: {column.name}: not every cell can be read as {column.kind}")
    if not proposal.numbered and (same := int(table[list(proposal.record.names)].duplicated().sum())):
        note = f"{same:,} rows are as an earlier one in all columns that are used: load() numbers the rows"
        proposal = replace(proposal, numbered=True, findings=(*proposal.findings, (ROW_ID, note)))
    share, train, test = _split(proposal, table)
    proposal = _warned(proposal, table[train], table[test])
    target = table[proposal.target.column.name]
    labels = proposal.goal.classes
    shares: dict[Label, float] = {label: float((target == label).mean()) for label in labels}
    thresholds, of_slices = _of_classes(shares) if labels else _of_numbers(target.to_numpy())
    absent = {one.column.name: one.absent / proposal.rows for one in proposal.features}
    return Evidence(
        proposal=proposal,
        train=table[train],
        test=table[test],
        test_share=share,
        max_missing_of={
            name: limit
            for name, share in absent.items()
            if (limit := math.ceil(20 * share + 1) / 20) > Validate().max_missing
        },
        thresholds=thresholds,
        slice_threshold=of_slices,
        slices=_slices(proposal, table[test]),
        shares=shares,
        medians=_medians(proposal, table),
    )


def _warned(proposal: Proposal, train: pd.DataFrame, test: pd.DataFrame) -> Proposal:
    """Leave out features that give the target away, and name test rows that are copies of training rows."""
    for name, score in leak.scores(proposal.row, proposal.goal, train, test).items():
        if score > Validate().max_leak:
            recorded = next(one.recorded for one in proposal.features if one.column.name == name)
            proposal = proposal.without(
                recorded, f"alone predicts {proposal.target.recorded!r} with a score of {score:.3g}: gives it away"
            )
    names = list(proposal.row.names)
    found, chance = repeats(train[names], test[names])
    if found > chance + Validate().max_repeated:
        note = (
            f"{found:.0%} of the test rows have the features of a training row: `slipway run` refuses that; see --group"
        )
        proposal = replace(proposal, findings=(*proposal.findings, ("all columns", note)))
    if not proposal.features:
        raise SlipwayError(f"{proposal.table.path}: every column gives the target away; nothing is left to learn from")
    return proposal


def _split(proposal: Proposal, table: pd.DataFrame) -> tuple[float, pd.Series, pd.Series]:
    """Choose the share of test rows so that every class is in both parts; give it, the training and the test rows."""
    group, column = proposal.group_name, proposal.time.column if proposal.time else None
    target = table[proposal.target.column.name]
    classes = set(proposal.goal.classes)
    for share in SHARES:
        try:
            parts = split((group,), column, Prepare(split=proposal.split, test_share=share), table)
        except SlipwayError:  # no row is left on one side
            continue
        found = [set(target[where].unique()) if classes else set() for where in (parts.train, parts.test)]
        if parts.test.any() and parts.train.any() and all(one == classes for one in found):
            return share, parts.train, parts.test
    by = column.name if column else group
    lacking = listed([str(one) for one in classes if (target == one).sum() < target.size / 20])
    raise SlipwayError(
        f"{proposal.table.path}: no split by {by!r} has every class of {proposal.target.recorded!r} on both sides "
        f"(the rare ones: {lacking or 'none'}); name another --group, or leave out the rows of a class"
    )


def _of_classes(shares: dict[Label, float]) -> tuple[tuple[Threshold, ...], Threshold]:
    """Give the thresholds of the scores, and the one of slices."""
    label, most = max(shares.items(), key=lambda item: item[1])
    flat = 2 * most / (1 + most) / len(shares)
    entropy = -sum(share * math.log(share) for share in shares.values() if share)
    said = f"always saying {label} reaches"
    accuracy = Threshold("accuracy", _gained(most), f"{said} {most:.3f}")
    if most > IMBALANCED:
        accuracy = Threshold("accuracy", round(most - 0.05, 2), f"{said} {most:.3f}, so the other scores decide")
    macro_f1 = Threshold("macro_f1", _gained(flat), f"{said} {flat:.3f}")
    log_loss = round((1 - GAIN) * entropy, 3), f"at most; the shares of the classes give {entropy:.3f}"
    of_slices = math.floor(80 * most) / 100, f"four fifths of a constant prediction, {most:.3f}"
    return (accuracy, macro_f1, Threshold("log_loss", *log_loss)), Threshold("accuracy", *of_slices)


def _gained(flat: float) -> float:
    return math.floor(100 * (flat + GAIN * (1 - flat))) / 100


def _of_numbers(truth: Array) -> tuple[tuple[Threshold, ...], Threshold]:
    off = float(np.abs(truth - np.median(truth)).mean())
    said = f"always saying the mean reaches 0; the median, {np.median(truth):.4g}, is off by {off:.4g} on average"
    of_slices = Threshold("mae", float(f"{1.5 * off:.2g}"), f"half more than a constant is off by, {off:.4g}")
    return (Threshold("r2", GAIN, said),), of_slices


def _slices(proposal: Proposal, test: pd.DataFrame) -> tuple[str, ...]:
    """Choose columns of a few values, each frequent among the test rows."""
    found = []
    for column in proposal.row.columns:
        values = test[column.name].value_counts()
        if column.kind in ("category", "boolean") and 2 <= len(values) <= MOST_VALUES:
            found.append((int(values.min()), column.name))
    return tuple(name for least, name in sorted(found, reverse=True)[:MOST_SLICES] if least >= LEAST_OF_SLICE)


def _medians(proposal: Proposal, table: pd.DataFrame) -> tuple[Median, ...]:
    """Choose numbers whose median a fault of scale would move out of the middle third of the values."""
    columns = [one for one in (proposal.target.column, *proposal.row.columns) if one.kind in ("number", "integer")]
    found = []
    for column in columns:
        low, middle, high = (float(value) for value in table[column.name].quantile([1 / 3, 0.5, 2 / 3]))
        low, high = float(f"{low:.3g}"), float(f"{high:.3g}")
        if 0 < low < middle < high < 10 * middle:
            found.append(Median(column.name, low, high, middle))
    return tuple(found[:MOST_MEDIANS])
