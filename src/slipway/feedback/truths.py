"""Truths, from a table or from the feedback that services kept: checked, and one for each prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.batch import Table
from slipway.batch.checking import Checker
from slipway.batch.places import Place
from slipway.batch.scorers import ADDED
from slipway.contract import MISSING, Array, Column, Contract
from slipway.evaluation.live import ORIGIN
from slipway.feedback.kept import Told, read, segments
from slipway.feedback.listing import Listing
from slipway.problem import Problem, SlipwayError
from slipway.serving.segments import FEEDBACK

if TYPE_CHECKING:
    import pandas as pd

KEY = "_key"
IDS = ("prediction_id", "id")  # how a table may call the prediction's id
TRUTH = "truth"  # how it may call the target
SEPARATOR = "\x1f"


def key_of(arrays: Sequence[Array]) -> list[str]:
    """Write the values of the key's columns as one text for each row."""
    rows = zip(*(array.tolist() for array in arrays), strict=True)
    return [SEPARATOR.join(one if isinstance(one, str) else f"{one:.17g}" for one in row) for row in rows]


def absent(array: Array) -> Array:
    """Which values are missing; boolean."""
    return np.asarray(array == MISSING if array.dtype == object else np.isnan(array), dtype=bool)


def from_table(table: Table, problem: Problem, record: Contract, on: Sequence[str], listing: Listing) -> pd.DataFrame:
    """Read a table: id or key, truth, and any other columns of the record.

    Gives KEY, ORIGIN and the record's columns as in arrays. Raises SlipwayError if a column is lacking.
    """
    import pandas as pd

    contract, names = _columns(table, problem, record, on)
    checker, parts = Checker(contract, table, typed=False), []
    for batch in table.batches(None):
        checked = checker.check(batch.content, batch.broken)
        origins = np.array(
            [f"{PurePosixPath(batch.file).name}:{batch.first + row}" for row in range(len(batch.content))], object
        )
        refused = {
            error["row"]: f"{error['field']} is {error['value']!r}: {error['message']}" for error in checked.errors
        }
        wrong = list(refused)
        listing.add("refused", [""] * len(wrong), origins[wrong], refused.values())
        arrays = {name: checked.arrays[column] for name, column in names.items()}
        keys = key_of([checked.arrays[name] for name in on or contract.names[:1]])
        parts.append(pd.DataFrame({KEY: keys, ORIGIN: np.delete(origins, wrong), **arrays}))
    return pd.concat(parts, ignore_index=True)


def _columns(table: Table, problem: Problem, record: Contract, on: Sequence[str]) -> tuple[Contract, Mapping[str, str]]:
    """Give the contract of the table, the key first; and the name there of each of the record's columns."""
    have, shown = table.schema.names, table.shown
    keys = on or [next((name for name in IDS if name in have), IDS[1])]
    truth = next((name for name in (problem.target, TRUTH) if name in have), None)
    if lacking := [name for name in keys if name not in have]:
        hint = "" if on else ": the id that the service gave with the prediction (or --on KEY, columns of the row)"
        raise SlipwayError(f"{shown}: lacks the column {', '.join(lacking)}{hint}")
    if truth is None:
        own = "; its column prediction is the model's own answer, which is no truth" if ADDED[0] in have else ""
        raise SlipwayError(f"{shown}: lacks the truth, a column {problem.target} or {TRUTH}{own}")
    names = {name: truth if name == problem.target else name for name in record.names}
    names = {name: there for name, there in names.items() if there in have and (on or there not in keys)}
    told = [replace(record[name], name=there, optional=True) for name, there in names.items() if there not in keys]
    identifying = [replace(record[name], optional=False) if on else Column(name, "text") for name in keys]
    return Contract("Truth", (*identifying, *told)), names


def from_feedback(folder: str, column: Column, listing: Listing) -> pd.DataFrame:
    """Read the feedback that services kept: as `from_table`, with the target alone. Raises SlipwayError if none is."""
    import pandas as pd

    keys: list[str] = []
    origins: list[str] = []
    truths: list[Any] = []
    for segment in segments(folder, FEEDBACK):
        told = read(segment, Told)
        keys += [one.id for one in told]
        truths += [one.truth for one in told]
        origins += [f"{segment.name}:{row}" for row in range(len(told))]
    if not keys:
        raise SlipwayError(f"{Place.of(folder).shown}: holds no feedback; a file can be named: slipway labels TRUTH")
    array, refused = replace(column, optional=True).checked(truths)
    table = pd.DataFrame({KEY: keys, ORIGIN: origins, column.name: array})
    listing.add(
        "refused", table[KEY][refused], table[ORIGIN][refused], [f"the truth is {column.words}"] * refused.sum()
    )
    return table[~refused]


def one_each(table: pd.DataFrame, target: str, listing: Listing) -> pd.DataFrame:
    """Keep one truth for each key, and list the others."""
    unknown = absent(table[target].to_numpy())
    listing.add("unknown", table[KEY][unknown], table[ORIGIN][unknown], [""] * unknown.sum())
    table = table[~unknown]
    several = table.groupby(KEY, sort=False)[target].transform("nunique") > 1
    listing.add("contradictory", table[KEY][several], table[ORIGIN][several], table[target][several].astype("str"))
    table = table[~several]
    again = table.duplicated(KEY)
    listing.add("duplicate", table[KEY][again], table[ORIGIN][again], table[target][again].astype("str"))
    return table[~again].reset_index(drop=True)
