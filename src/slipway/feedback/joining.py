"""Joins truths with the predictions that were kept, in one pass over these, newest first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.contract import Array, Column, Contract, Target
from slipway.evaluation.live import CHAMPION, ID, ORIGIN, SHADOW, TIME, UNUSABLE, VERSION
from slipway.feedback.kept import Answer, Kept
from slipway.feedback.listing import Listing
from slipway.feedback.truths import KEY, absent, key_of
from slipway.model.ids import version_in
from slipway.model.predictor import label_name
from slipway.problem import Problem
from slipway.problem.files import ROW_ID
from slipway.stages.prepare import shape

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Views:
    """The declaration of the rows: the problem, and the contracts of its record, its features and its target."""

    problem: Problem
    record: Contract
    features: Contract
    target: Target


def join(
    kept: Iterable[list[Kept]],
    truths: pd.DataFrame,
    views: Views,
    on: Sequence[str],
    released: set[str],
    listing: Listing,
) -> pd.DataFrame:
    """Give a table of the predictions that have a truth: the record's columns, and those of `slipway.evaluation.live`.

    on: columns of the row that are the key; without, it is the prediction's id. released: versions, by which the truths
    that are left over are told apart.
    """
    import pandas as pd

    index, used, parts = pd.Index(truths[KEY]), np.zeros(len(truths), dtype=bool), []
    for batch in kept:
        keys = _keys(batch, views.features, on) if on else [one.id for one in batch]
        at = index.get_indexer(pd.Index(keys))
        hits = np.flatnonzero(at >= 0)
        first = hits[np.unique(at[hits], return_index=True)[1]]
        fresh = np.sort(first[~used[at[first]]])
        again = np.setdiff1d(hits, fresh)
        listing.add(
            "repeated", (keys[i] for i in again), truths[ORIGIN].iloc[at[again]], (batch[i].time for i in again)
        )
        used[at[fresh]] = True
        if len(fresh):
            parts.append(_rows([batch[i] for i in fresh], truths.iloc[at[fresh]], views))
    _list_left(truths[~used], set() if on else released, listing)
    return _shaped(pd.concat(parts, ignore_index=True), views) if parts else pd.DataFrame()


def _keys(batch: list[Kept], features: Contract, on: Sequence[str]) -> list[str]:
    return key_of([features[name].checked([one.row.get(name) for one in batch])[0] for name in on])


def _list_left(left: pd.DataFrame, released: set[str], listing: Listing) -> None:
    for key, origin in zip(left[KEY], left[ORIGIN], strict=True):
        version = version_in(key)
        listing.add("late" if version in released else "foreign", [key], [origin], [version])


def _rows(kept: list[Kept], truths: pd.DataFrame, views: Views) -> pd.DataFrame:
    import pandas as pd

    arrays: dict[str, Array] = {}
    unusable = np.full(len(kept), "", dtype=object)
    for column in views.record.columns:
        arrays[column.name], lacking, refused = _values(column, kept, truths, views)
        for where, why in (
            (lacking, "is neither kept nor told with the truth"),
            (refused, "is not as the schema has it"),
        ):
            unusable[where & (unusable == "")] = f"{column.name} {why}"
    told: dict[str, Any] = {
        **{ID: [one.id for one in kept], TIME: [one.time for one in kept], VERSION: [one.version for one in kept]},
        **{ORIGIN: truths[ORIGIN].to_numpy(), UNUSABLE: unusable},
        **_answers(kept, CHAMPION, views.target),
        **_answers([one.shadow for one in kept], SHADOW, views.target),
    }
    return pd.concat([pd.DataFrame(views.record.rows(arrays)), pd.DataFrame(told)], axis=1)


def _values(column: Column, kept: list[Kept], truths: pd.DataFrame, views: Views) -> tuple[Array, Array, Array]:
    """Give a column's values, which of them are not known, and which the schema refuses.

    The row's own value counts; where it was not kept, that which came with the truth.
    """
    name, none = column.name, np.zeros(len(kept), dtype=bool)
    told = truths[name].to_numpy() if name in truths else column.array([None] * len(kept))
    if name in views.features.names:
        array, refused = column.checked([one.row.get(name) for one in kept])
        private = np.array([name not in one.row for one in kept])
        return np.where(private, told, array), private & absent(told), refused & ~private
    derived = _derived(column, kept, views.problem) if name not in truths else None
    if derived is not None:
        return column.array(derived), none, none
    return told, absent(told) & (not column.optional), none


def _derived(column: Column, kept: list[Kept], problem: Problem) -> list[Any] | None:
    """Read a column from the prediction itself: the number of a row, and its time; None for any other column."""
    if column.name == ROW_ID:
        return [int.from_bytes(hashlib.blake2b(one.id.encode(), digest_size=6).digest(), "big") + 1 for one in kept]
    if column.name == problem.time and column.temporal:
        return [one.time[:10] if column.kind == "date" else one.time for one in kept]
    return None


def _answers(answers: Sequence[Answer | None], who: str, target: Target) -> Mapping[str, Any]:
    """Give version, value (or index of the class) and probabilities of each answer; NaN where there is none."""
    index: dict[Any, int] = {label: number for number, label in enumerate(target.classes)}
    given = [None if one is None else index.get(one.prediction) if index else one.prediction for one in answers]
    columns: dict[str, Any] = {
        f"{who}.version": [None if one is None else one.version for one in answers],
        f"{who}.prediction": np.array([np.nan if value is None else value for value in given], dtype="float64"),
    }
    for number, label in enumerate(target.classes):
        told = [one.probabilities.get(label_name(label)) if one and one.probabilities else None for one in answers]
        columns[f"{who}.probability.{number}"] = np.array(told, dtype="float64")
    return columns


def _shaped(table: pd.DataFrame, views: Views) -> pd.DataFrame:
    """Give the record's columns their types; a row whose group is not known is a group of its own."""
    import pandas as pd

    names = list(views.record.names)
    shaped = shape(views.record, table[names])[names]
    for group in views.problem.groups:
        if (unknown := shaped[group].isna()).any():
            shaped[group] = shaped[group].astype("str").mask(unknown, table[ID])
    return pd.concat([shaped, table.drop(columns=names)], axis=1)
