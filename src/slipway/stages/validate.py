"""Stage 2: check the tables against the contract's and the project's expectations; training requires a pass."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from slipway.contract import canonical_json, features, record, target
from slipway.expectations import ALIKE, BOTH, LATER, leak
from slipway.expectations.outcome import Outcome
from slipway.expectations.repeats import repeats
from slipway.problem import Problem, SlipwayError
from slipway.problem.files import DATA_DOCS, PASSED, REPORT, ROW, SOURCE, TEST, TRAIN
from slipway.problem.params import Validate

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation

SHOWN = 5  # offending values in a report
MAX_DISTINCT = 100  # values of a feature, enough to see whether it has more than one
REPEATED = "test rows that repeat a training row"
PARTS = {"train": TRAIN, "test": TEST}


@dataclass(frozen=True)
class ValidationReport:
    """The outcome of every expectation; `rows` counts the records of each part."""

    rows: Mapping[str, int]
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether the table may be trained on."""
        return not self.failures

    @property
    def failures(self) -> list[Outcome]:
        """The expectations that failed."""
        return [outcome for outcome in self.outcomes if not outcome.passed]


def validate(problem: Problem, params: Validate, table: Path, out: Path) -> ValidationReport:
    """Run all expectations on the tables in the folder `table`; write the report, Data Docs and `passed.json` to `out`.

    `passed.json` holds the digests of the tables, is written only if all expectations hold, and training requires it.
    Raises SlipwayError if the tables cannot be read.
    """
    os.environ.setdefault("HOME", tempfile.gettempdir())  # Great Expectations needs one
    from slipway.expectations import data_docs  # imports Great Expectations, which takes seconds

    out.mkdir(parents=True, exist_ok=True)
    (out / PASSED).unlink(missing_ok=True)
    parts = {part: _read(table / name) for part, name in PARTS.items()}
    by_time = _split_by_time(table / SOURCE)
    results = list(_run(_batches(problem, params, parts, by_time)))
    outcomes = tuple(Outcome.of(result) for result in results)
    report = ValidationReport({part: len(rows) for part, rows in parts.items()}, outcomes)
    data_docs.write(out / DATA_DOCS, problem.name, results)
    content = {"passed": report.passed, "rows": report.rows, "expectations": [asdict(outcome) for outcome in outcomes]}
    (out / REPORT).write_bytes(canonical_json(content))
    if report.passed:
        digests = {part: hashlib.sha256((table / name).read_bytes()).hexdigest() for part, name in PARTS.items()}
        (out / PASSED).write_bytes(canonical_json(digests))
    return report


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise SlipwayError(f"{path}: no such file; `slipway prepare` writes it") from None
    except (OSError, ValueError) as error:  # PyArrow's errors for a file that is not Parquet
        raise SlipwayError(f"{path}: cannot be read as Parquet: {error}") from None
    # Great Expectations reports the index of an offending record, but much more slowly if the index has a name.
    return table.set_index(ROW).rename_axis(None) if ROW in table else table


def _split_by_time(path: Path) -> Mapping[str, Any]:
    """Read what `prepare` wrote of a split by time; of a split by group, and of tables made by a test, nothing."""
    if not path.exists():
        return {}
    try:
        found: Mapping[str, Any] = json.loads(path.read_bytes()).get("split", {})
    except ValueError:
        raise SlipwayError(f"{path}: not JSON; `slipway prepare` writes it") from None
    return found


class _Batch(NamedTuple):
    table: pd.DataFrame
    expectations: list[Expectation]


def _batches(
    problem: Problem, params: Validate, parts: Mapping[str, pd.DataFrame], by_time: Mapping[str, Any]
) -> list[_Batch]:
    """Make the tables to validate, each with its expectations: records, split, distinct values, measures.

    by_time: what `prepare` wrote of a split by time; else empty.
    """
    from slipway.expectations import derive

    contract, seen, goal = record(problem), features(problem), target(problem)
    records = derive.legible(contract, pd.concat(parts.values()).sort_index(kind="stable"))
    split = _split(problem, parts, by_time)
    train, test = parts["train"], parts["test"]
    sizes = {"training rows": len(train), "test rows": len(test)}
    scores = leak.scores(seen, goal, train, test)
    common = [name for name in seen.names if name in train and name in test]
    share, chance = repeats(train[common], test[common])
    measures = pd.DataFrame([sizes | {REPEATED: share} | scores])
    distinct = {name: train[name].drop_duplicates()[:MAX_DISTINCT].astype("str") for name in common}
    values = pd.DataFrame({name: one.fillna("(missing)").reset_index(drop=True) for name, one in distinct.items()})
    return [
        _Batch(records, [*derive.of_records(contract, records, params, problem.groups), *problem.expectations()]),
        _Batch(split, derive.of_split(goal, split)),
        _Batch(values, derive.of_training(seen, values)),
        _Batch(measures, derive.of_measures(sizes, scores, {REPEATED: chance}, problem.target, params)),
    ]


def _split(problem: Problem, parts: Mapping[str, pd.DataFrame], by_time: Mapping[str, Any]) -> pd.DataFrame:
    """Compare the parts: their targets, the groups in both, those with several spellings, too late training rows."""
    rows = pd.concat(parts.values())
    training = np.arange(len(rows)) < len(parts["train"])
    split = pd.DataFrame(index=rows.index)
    if problem.target in rows:
        for name, part in zip(parts, (training, ~training), strict=True):
            split[f"{name} rows"] = rows[problem.target].where(part).array
    if set(problem.groups) <= set(rows.columns):
        group = rows[list(problem.groups)].astype("str")
        names = group[problem.groups[0]].str.cat(group.iloc[:, 1:], sep=" / ")
        codes, distinct = pd.factorize(names)  # -1: missing, which fails another expectation
        counts = [np.bincount(codes[part] + 1, minlength=len(distinct) + 1) for part in (training, ~training)]
        if by_time.get("by") != "time":  # then a customer of last year may come again
            split[BOTH] = names.where(np.logical_and(*counts)[codes + 1]).array
        folded = pd.Series([_folded(str(name)) for name in distinct], dtype="str")
        alike = np.concatenate([[False], folded.duplicated(keep=False)])
        split[ALIKE] = names.where(alike[codes + 1]).array
    if by_time:
        column = record(problem)[by_time["field"]]
        late = column.points(rows[column.name]) >= column.point(by_time["test_from"], SOURCE)
        split[LATER] = rows[column.name].where(late & training).array
    return split


def _folded(name: str) -> str:
    """Normalize a name: without case, blanks, Unicode variants, and characters that nobody sees."""
    shown = (one for one in unicodedata.normalize("NFKC", name) if unicodedata.category(one) not in ("Cc", "Cf"))
    return "".join("".join(shown).casefold().split())


def _run(batches: list[_Batch]) -> Iterator[ExpectationValidationResult]:
    """Run the expectations with Great Expectations; yields the results in their order."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    source = gx.get_context(mode="ephemeral", project_config=config).data_sources.add_pandas("table")
    definition = source.add_dataframe_asset("records").add_batch_definition_whole_dataframe("whole")
    form = {"result_format": "SUMMARY", "partial_unexpected_count": SHOWN}  # COMPLETE is many times slower
    for batch in batches:
        suite = gx.ExpectationSuite(name="slipway", expectations=batch.expectations)
        for number, expectation in enumerate(suite.expectations):
            expectation.id = f"{number:06}"
        results = definition.get_batch({"dataframe": batch.table}).validate(suite, result_format=form).results
        yield from sorted(results, key=lambda result: str(getattr(result.expectation_config, "id", "")))
