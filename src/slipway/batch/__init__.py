"""Predictions for files: read, checked, predicted and written batch by batch, in constant memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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

__all__ = ["BundleScorer", "Output", "Scorer", "Summary", "Table", "annotated", "predict"]

T = TypeVar("T")


class _Answered(NamedTuple):
    batch: Batch
    checked: Checked
    scored: Scored
    tally: Tally


def predict(
    table: Source,
    output: Output | DatabaseTable,
    scorer: Scorer,
    *,
    max_rejected: float = 1.0,
    keeping: Keeping | None = None,
    resume: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> Summary:
    """Predict for every row of a table that the contract allows, and list the others.

    max_rejected: the share of the rows that may be refused; with 0 the first ends the run. keeping: takes the rows with
    their answers. resume: go on where an interrupted run into this folder ended, if there was one. progress: takes the
    rows so far and the share of the input that is read.
    Raises SlipwayError for an input that cannot be read, an output that is there, or more refused rows than allowed.
    """
    started = time.perf_counter()
    checker = Checker(scorer.contract, table, typed=output.format != "csv")
    if taken := [name for name in table.schema.names if name in ADDED or name.startswith(PROBABILITY)]:
        raise SlipwayError(f"{table.shown}: {', '.join(taken)}: columns that predict adds; rename them")
    counter = Counter(scorer.reference, scorer.classes)
    with output.locked():
        total = output.resume(table, scorer.version) if resume else output.begin(table, scorer.version)
        resumed = total.rows
        run = _Run(output, scorer.version, total, max_rejected, keeping, progress)
        batches = table.batches(output.part_rows, resumed)
        checked = _ahead((batch, checker.check(batch.content, batch.broken)) for batch in batches)
        answered = _ahead(_answered(batch, rows, scorer, counter) for batch, rows in checked)
        for number, part in groupby(answered, key=lambda one: one.batch.part):
            run.write(number, part)
        seconds = time.perf_counter() - started
        outcomes, drift = counter.outcomes(total), counter.drift(total)
        summary = Summary(scorer.version, total.rows, total.rejected, outcomes, drift, seconds, resumed)
        output.finish(summary)
    return summary


def _answered(batch: Batch, checked: Checked, scorer: Scorer, counter: Counter) -> _Answered:
    scored = scorer.score(checked.arrays)
    return _Answered(batch, checked, scored, counter.count(checked.arrays, scored, checked.refused))


@dataclass
class _Run:
    """Writes the parts of a run. total: the counts so far."""

    output: Output | DatabaseTable
    version: str
    total: Tally
    max_rejected: float
    keeping: Keeping | None
    progress: Callable[[int, float], None] | None

    def write(self, number: int, batches: Iterable[_Answered]) -> None:
        """Write one part, add its counts to the total, and keep its rows: before it is complete, so that they were."""
        found, total = Tally(), self.total
        with self.output.writing(number, found) as part:
            for batch, checked, scored, tally in batches:
                if self.keeping:
                    self.keeping.add(checked.arrays, scored)
                part.reject(batch.file, batch.first, checked.errors)
                part.write(checked.content, columns_of(scored, self.version))
                found.add(tally)
                total.add(tally)
                if not self.max_rejected and total.rejected:
                    raise self._refused()
                if self.progress:
                    self.progress(total.rows, batch.done)
            if self.keeping:
                self.keeping.complete()
            if total.rejected > self.max_rejected * total.rows:
                raise self._refused()

    def _refused(self) -> RefusedError:
        return RefusedError(
            f"the contract refuses {self.total.rejected:,} of {self.total.rows:,} rows, which is more than this run "
            f"allows; {self.output.rejected.shown} names each with field and rule"
        )


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items; while one is used, a thread makes the next. Arrow, NumPy and ONNX Runtime let threads run."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (made := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield made
