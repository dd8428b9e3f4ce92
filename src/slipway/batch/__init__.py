"""Predictions for files: read, checked, predicted and written batch by batch, in constant memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from slipway.batch.annotated import annotated
from slipway.batch.checking import Checked, Checker
from slipway.batch.output import Output
from slipway.batch.reading import Batch, Table
from slipway.batch.scorers import ADDED, PROBABILITY, BundleScorer, Scored, Scorer, columns_of
from slipway.batch.summary import Counter, Summary, Tally
from slipway.batch.writing import RefusedError
from slipway.problem import SlipwayError

if TYPE_CHECKING:  # what not every run needs: SQLAlchemy, the service's packages
    from slipway.batch.keeping import Keeping
    from slipway.batch.query import Source
    from slipway.batch.tables import DatabaseTable

__all__ = ["BundleScorer", "Limits", "Output", "Scorer", "Summary", "Table", "annotated", "predict"]

T = TypeVar("T")


class Limits(NamedTuple):
    """What ends a run: the share of rows that may be refused, or (strict) any such row."""

    strict: bool = False
    max_rejected: float = 1.0


class _Answered(NamedTuple):
    batch: Batch
    checked: Checked
    scored: Scored
    tally: Tally


def predict(
    table: Source,
    output: Output | DatabaseTable,
    scorer: Scorer,
    limits: Limits,
    *,
    keeping: Keeping | None = None,
    resume: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> Summary:
    """Predict for every row of a table that the contract allows, and list the others.

    keeping: takes the rows with their answers. resume: go on where an interrupted run into this folder ended, if there
    was one. progress: takes the rows so far and the share of the input that is read.
    Raises SlipwayError for an input that cannot be read, an output that is there, or more refused rows than `limits`.
    """
    started = time.perf_counter()
    checker = Checker(scorer.contract, table, typed=output.format != "csv")
    if taken := [name for name in table.schema.names if name in ADDED or name.startswith(PROBABILITY)]:
        raise SlipwayError(f"{table.shown}: {', '.join(taken)}: columns that predict adds; rename them")
    counter = Counter(scorer.reference, scorer.classes)
    with output.locked():
        total = Tally()
        if resume:
            total = output.resume(table, scorer.version)
        else:
            output.begin(table, scorer.version)
        resumed = total.rows
        checked = _ahead(
            (batch, checker.check(batch.content, batch.broken)) for batch in table.batches(output.part_rows, resumed)
        )
        answered = _ahead(_answers(checked, scorer, counter))
        for number, batches in groupby(answered, key=lambda one: one.batch.part):
            _write(output, number, _kept(batches, keeping), scorer, total, limits, progress)
        seconds = time.perf_counter() - started
        drift = counter.drift(total)
        summary = Summary(scorer.version, total.rows, total.rejected, total.outcomes, drift, seconds, resumed)
        output.finish(summary)
    return summary


def _answers(checked: Iterable[tuple[Batch, Checked]], scorer: Scorer, counter: Counter) -> Iterator[_Answered]:
    for batch, rows in checked:
        scored = scorer.score(rows.arrays)
        yield _Answered(batch, rows, scored, counter.count(rows.arrays, scored, rows.refused))


def _kept(batches: Iterable[_Answered], keeping: Keeping | None) -> Iterator[_Answered]:
    """Yield the batches of a part. What it keeps is complete before the part is: a part that is there was kept."""
    for one in batches:
        if keeping:
            keeping.add(one.checked.arrays, one.scored)
        yield one
    if keeping:
        keeping.complete()


def _write(
    output: Output | DatabaseTable,
    number: int,
    batches: Iterable[_Answered],
    scorer: Scorer,
    total: Tally,
    limits: Limits,
    progress: Callable[[int, float], None] | None,
) -> None:
    """Write one part, and add its counts to the total."""
    found = Tally()
    with output.writing(number, found) as part:
        for batch, checked, scored, tally in batches:
            part.reject(batch.file, batch.first, checked.errors)
            part.write(checked.content, columns_of(scored, scorer.version))
            found.add(tally)
            if limits.strict and checked.errors:
                raise _refused(output, found, total)
            if progress:
                progress(total.rows + found.rows, batch.done)
        if total.rejected + found.rejected > limits.max_rejected * (total.rows + found.rows):
            raise _refused(output, found, total)
    total.add(found)


def _refused(output: Output | DatabaseTable, found: Tally, total: Tally) -> RefusedError:
    rejected, rows = total.rejected + found.rejected, total.rows + found.rows
    return RefusedError(
        f"the contract refuses {rejected:,} of {rows:,} rows, which is more than this run allows; "
        f"{output.rejected.shown} names each with field and rule"
    )


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items; while one is used, a thread makes the next. Arrow, NumPy and ONNX Runtime let threads run."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (made := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield made
