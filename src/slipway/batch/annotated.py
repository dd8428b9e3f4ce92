"""Predictions for Arrow batches that another engine reads and writes, such as Spark's `mapInArrow`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from slipway.batch.checking import Checker
from slipway.batch.scorers import Scorer, columns_of
from slipway.batch.writing import joined
from slipway.contract import canonical_json

if TYPE_CHECKING:
    from slipway.serving.problems import Error

REFUSED = "refused"


def annotated(batches: Iterable[Any], scorer: Scorer) -> Iterator[Any]:
    """Yield batches with the columns that `slipway predict` adds, and `refused`: null, or a row's errors as JSON.

    Rows that the contract refuses have no prediction; they follow those of their batch that have one.
    Raises SlipwayError if the columns are not those of the contract.
    """
    checker = None
    for batch in batches:
        table: Any = SimpleNamespace(format="arrow", schema=batch.schema, shown="the table")
        checker = checker or Checker(scorer.contract, table, typed=False)
        checked = checker.check(batch)
        added = columns_of(scorer.score(checked.arrays), scorer.version)
        yield joined(checked.content, added | {REFUSED: pa.nulls(len(checked.content), pa.string())})
        told: dict[int, list[Error]] = {}
        for one in checked.errors:
            told.setdefault(one["row"] or 0, []).append(one)
        if told:
            errors = [[{name: one[name] for name in one if name != "row"} for one in all_] for all_ in told.values()]
            nothing = {name: pa.nulls(len(told), values.type) for name, values in added.items()}
            reasons = pa.array([canonical_json(one).decode() for one in errors])
            yield joined(batch.take(pa.array(list(told))), nothing | {REFUSED: reasons})
