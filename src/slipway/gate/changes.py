"""The gate's checks for changes since the champion's release that affect candidate and champion alike.

The outcome is never worse than HOLD: a person decides, and `slipway promote --force --reason TEXT` records why.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import hypot
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.champion import EVALUATION
from slipway.contract import Contract
from slipway.evaluation import intervals
from slipway.evaluation.drift import Drift, drift
from slipway.evaluation.intervals import Bootstrap, Score
from slipway.evaluation.metrics import lower_is_better
from slipway.evaluation.test_set import TestSet
from slipway.gate.checks import Reason
from slipway.model.bundle import Bundle
from slipway.model.predictor import Predictor
from slipway.problem import Problem
from slipway.problem.files import CLASSES, METRICS, SLICES, TRAIN
from slipway.problem.params import SliceThresholds
from slipway.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


def check_changes(
    workspace: Workspace, test_set: TestSet, champion: Predictor, bootstrap: Bootstrap
) -> Iterator[Reason]:
    """Compare the champion's score, the distributions and the coverage with those at the champion's release."""
    import pandas as pd

    gate, folder = workspace.params.gate, workspace.champion / EVALUATION
    recorded = {name: Score(**score) for name, score in _read(folder / METRICS, {}).items()}
    statistics = test_set.statistics(test_set.predictions(champion))
    scores = intervals.evaluate(test_set.target, statistics, bootstrap)
    metric = gate.champion.metric
    if metric in recorded and metric in scores:
        yield check_record(metric, recorded[metric], scores[metric], champion.version)
    train = pd.read_parquet(workspace.table / TRAIN)
    yield check_drift(drifts(workspace.problem, champion.bundle, train), champion.version)
    minimum = (gate.slice_thresholds or SliceThresholds(metric=metric, threshold=0)).min_rows
    before = _counts(workspace.problem, _read(folder / CLASSES, {}), _read(folder / SLICES, []))
    now_slices = [{"slice": k, "rows": v.sum()} for k, v in test_set.slices(workspace.params.evaluate.slices).items()]
    now = _counts(workspace.problem, test_set.classes(), now_slices)
    yield check_coverage(before, now, minimum, champion.version)


def check_record(metric: str, recorded: Score, now: Score, version: str) -> Reason:
    """Compare the champion's score on the present test set with the one recorded at its release.

    The two test sets are treated as independent samples: the halves of the intervals that face each other are added in
    quadrature.
    """
    if lower_is_better(metric):
        decline, noise = now.value - recorded.value, hypot(recorded.high - recorded.value, now.value - now.low)
    else:
        decline, noise = recorded.value - now.value, hypot(recorded.value - recorded.low, now.high - now.value)
    detail = (
        f"{metric} of {version}: {recorded.value:.4g} ({recorded.low:.4g} to {recorded.high:.4g}) at its release, "
        f"{now.value:.4g} ({now.low:.4g} to {now.high:.4g}) on this test set"
    )
    if decline > noise:
        return Reason("champion's record", "hold", f"{detail}: clearly worse, so features or labels changed")
    return Reason("champion's record", "pass", detail)


def drifts(problem: Problem, champion: Bundle, train: pd.DataFrame) -> list[Drift]:
    """Measure how the features and the target of the training rows moved since the champion's training."""
    groups = train.groupby(list(problem.groups), dropna=False).ngroups
    columns = (*champion.contract.columns, champion.target.column)
    arrays = Contract("Row", columns).arrays(train)
    return [drift(champion.reference, column, arrays[column.name], groups, len(columns)) for column in columns]


def check_drift(found: list[Drift], version: str) -> Reason:
    """Hold if a feature or the target drifted by more than sampling error explains."""
    moved = [column for column in found if column.psi > column.limit]
    if not moved:
        largest = max(found, key=lambda column: column.psi / column.limit)
        detail = f"{largest.name} drifted most since {version}: PSI {largest.psi:.3f}, the limit is {largest.limit:.3f}"
        return Reason("drift", "pass", detail)
    listed = ", ".join(f"{column.name} (PSI {column.psi:.3f}, limit {column.limit:.3f})" for column in moved)
    return Reason(
        "drift", "hold", f"the training rows drifted since {version} by more than sampling error explains: {listed}"
    )


def check_coverage(before: Mapping[str, int], now: Mapping[str, int], minimum: int, version: str) -> Reason:
    """Hold if a slice or class of the champion's test set is missing or now has fewer rows than `minimum`.

    before, now: rows by slice and class.
    """
    judged = {name: rows for name, rows in before.items() if rows >= minimum}
    lost = [
        f"{name} ({rows} rows, now {now.get(name, 0)})" for name, rows in judged.items() if now.get(name, 0) < minimum
    ]
    if lost:
        detail = f"{version} was judged on {', '.join(lost)}; at least {minimum} are needed to judge it again"
        return Reason("coverage", "hold", detail)
    detail = f"the {len(judged)} slices and classes that {version} was judged on have at least {minimum} rows"
    return Reason("coverage", "pass", detail)


def _counts(problem: Problem, classes: Mapping[str, int], slices: list[dict[str, Any]]) -> dict[str, int]:
    of_classes = {f"{problem.target}={name}": rows for name, rows in classes.items()}
    return of_classes | {item["slice"]: int(item["rows"]) for item in slices}


def _read(path: Path, default: Any) -> Any:
    return json.loads(path.read_bytes()) if path.exists() else default
