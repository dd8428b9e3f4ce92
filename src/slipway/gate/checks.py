"""The gate's checks of the candidate alone: thresholds, slices, fairness, the constant prediction, size, behaviour."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from slipway.contract import Array
from slipway.evaluation import intervals, metrics
from slipway.evaluation.intervals import Bootstrap, Score
from slipway.evaluation.metrics import lower_is_better
from slipway.evaluation.test_set import TestSet
from slipway.model.predictor import Predictions, Predictor
from slipway.problem.params import Fairness, Gate, SliceThresholds


@dataclass(frozen=True)
class Reason:
    """The result of one check: its name, outcome and numbers. `fail` rejects the candidate; `hold` asks a person."""

    check: str
    outcome: Literal["pass", "hold", "fail"]
    detail: str


def check_thresholds(gate: Gate, scores: dict[str, Score]) -> Iterator[Reason]:
    """Check each score against its threshold: a minimum, or a maximum where lower is better."""
    for name, limit in gate.thresholds.items():
        check = f"threshold {name}"
        if name not in scores:
            yield Reason(check, "fail", f"{name} cannot be computed for this model on these rows")
            continue
        score = scores[name]
        lower = lower_is_better(name)
        good = score.value <= limit if lower else score.value >= limit
        bound = "at most" if lower else "at least"
        detail = f"{score.value:.4g} ({score.low:.4g} to {score.high:.4g}), {bound} {limit:g} is needed"
        yield Reason(check, "pass" if good else "fail", detail)


def check_slices(limits: SliceThresholds, slices: list[dict[str, Any]]) -> Reason:
    """Check the score of every slice that has enough rows. slices: see `TestSet.score_slices`."""
    lower = lower_is_better(limits.metric)
    large = [s for s in slices if s["rows"] >= limits.min_rows and limits.metric in s["scores"]]
    value = {s["slice"]: s["scores"][limits.metric]["value"] for s in large}
    rows = {s["slice"]: s["rows"] for s in large}
    below = [name for name in value if (value[name] > limits.threshold if lower else value[name] < limits.threshold)]
    bound = "at most" if lower else "at least"
    if below:
        worst = ", ".join(f"{name} {value[name]:.4g} on {rows[name]} rows" for name in below)
        return Reason("slices", "fail", f"{limits.metric} of {worst}; {bound} {limits.threshold:g} is needed")
    if not large:
        return Reason("slices", "pass", f"no slice has {limits.min_rows} rows")
    lowest = (max if lower else min)(value, key=lambda name: value[name])
    found = f"the worst of {len(large)}: {lowest} {value[lowest]:.4g} on {rows[lowest]} rows"
    return Reason("slices", "pass", f"{limits.metric}, {found}; {bound} {limits.threshold:g} is needed")


def check_fairness(limits: Fairness, test_set: TestSet, predictions: Predictions, bootstrap: Bootstrap) -> Reason:
    """Compare a metric between the slices of a column that have enough rows; names each slice's score.

    Difference and ratio are as in Fairlearn's MetricFrame: largest less smallest value, and smallest by largest. With
    `selection_rate` this is demographic parity, with `recall` equal opportunity (Hardt, Price, Srebro 2016).
    """
    compute = metrics.selection_rates if limits.metric.startswith("selection_rate.") else metrics.scores
    found: dict[str, tuple[Score, int]] = {}
    for name, where in test_set.slices([limits.column]).items():
        rows = int(where.sum())
        table = test_set.statistics(predictions, where, ranked=True)
        scores = intervals.evaluate(test_set.target, table, bootstrap, compute)
        if rows >= limits.min_rows and limits.metric in scores:
            found[name] = (scores[limits.metric], rows)
    return compare_slices(limits, found)


def compare_slices(limits: Fairness, found: dict[str, tuple[Score, int]]) -> Reason:
    """Judge the scores of slices. found: score and rows by slice."""
    check = f"fairness {limits.column}"
    if len(found) < 2:
        detail = f"{len(found)} slices have {limits.min_rows} rows and a value of {limits.metric}; two are needed"
        return Reason(check, "hold", detail)
    values = [score.value for score, _ in found.values()]
    difference = max(values) - min(values)
    ratio = min(values) / max(values) if max(values) else 1.0
    listed = ", ".join(
        f"{name} {score.value:.4g} ({score.low:.4g} to {score.high:.4g}) on {rows} rows"
        for name, (score, rows) in found.items()
    )
    said, good = [], True
    if limits.max_difference is not None:
        said.append(f"difference {difference:.4g}, at most {limits.max_difference:g} is needed")
        good &= difference <= limits.max_difference
    if limits.min_ratio is not None:
        said.append(f"ratio {ratio:.4g}, at least {limits.min_ratio:g} is needed")
        good &= ratio >= limits.min_ratio
    return Reason(check, "pass" if good else "fail", f"{limits.metric}: {'; '.join(said)}; {listed}")


def check_constant(test_set: TestSet, statistics: Array, scores: Mapping[str, Score], bootstrap: Bootstrap) -> Reason:
    """Compare the candidate with the best constant prediction: the shares of the classes, or the mean, of the test set.

    statistics, scores: the candidate's. By log_loss; macro_f1 for a classifier without probabilities; rmse.
    """
    metric = next(name for name in ("log_loss", "macro_f1", "rmse") if name in scores)
    other = test_set.statistics(metrics.constant(test_set.target, test_set.truth))
    difference = intervals.compare(test_set.target, statistics, other, bootstrap)[metric]
    low, high = intervals.gain(metric, difference)
    detail = f"{metric} {difference.a:.4g}, {difference.b:.4g} of the best constant prediction"
    if len(statistics) == 1:
        return Reason("constant", "hold", f"{detail}; all rows are of one group, so it may be chance")
    if low > 0:
        return Reason("constant", "pass", f"{detail}: better")
    if high < 0:
        return Reason("constant", "fail", f"{detail}: worse; gate.beats_constant: false accepts it")
    interval = f"{difference.low:+.4g} to {difference.high:+.4g}"
    return Reason("constant", "hold", f"{detail}: the difference of {interval} may be chance")


def against_champion(gate: Gate, comparison: Mapping[str, Score], version: str, confidence: float) -> Reason:
    """Compare candidate and champion by the paired interval of their difference in `gate.champion.metric`."""
    metric, margin = gate.champion.metric, gate.champion.margin
    if metric not in comparison:
        return Reason("champion", "hold", f"{metric} cannot be computed for both models on these rows")
    score = comparison[metric]
    low, high = intervals.gain(metric, score)
    detail = (
        f"{metric} {score.value:+.4g} against {version} ({score.low:+.4g} to {score.high:+.4g} "
        f"with {confidence:.0%} confidence)"
    )
    if high < 0:
        return Reason("champion", "fail", f"{detail}: worse")
    if low > 0:
        return Reason("champion", "pass", f"{detail}: better")
    if low >= -margin:
        return Reason("champion", "pass", f"{detail}: not worse by more than the margin of {margin:g}")
    return Reason("champion", "hold", f"{detail}: it may be worse by more than the margin of {margin:g}")


def size(gate: Gate, candidate: Predictor) -> Reason:
    """Check the size of the bundle."""
    megabytes = sum(len(content) for content in candidate.bundle.files.values()) / 1e6
    limit = gate.max_bundle_megabytes
    detail = f"{megabytes:.3g} MB, at most {limit:g} MB"
    return Reason("bundle size", "pass" if megabytes <= limit else "fail", detail)


def behaviour(root: Path) -> list[Reason]:
    """Run the tests in `tests/model`, which load the candidate through the predictor; one reason for each failure."""
    folder = root / "tests" / "model"
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch) / "results.xml"
        command = [sys.executable, "-m", "pytest", "tests/model", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        run = subprocess.run(  # noqa: S603  (a fixed command)
            [*command, "-o", "addopts=", f"--junitxml={results}"], cwd=root, capture_output=True, text=True, check=False
        )
        if not results.exists():
            last = (run.stdout + run.stderr).strip().splitlines()[-1:] or ["no output"]
            return [Reason("behaviour", "fail", f"the tests in {folder} could not be run: {last[0]}")]
        cases = list(ElementTree.parse(results).iter("testcase"))  # noqa: S314  (just written by pytest)
    failed = [
        (case, error) for case in cases for error in (case.find("failure"), case.find("error")) if error is not None
    ]
    passed = len(cases) - len(failed) - sum(case.find("skipped") is not None for case in cases)
    if failed:
        return [Reason(f"behaviour {case.get('name')}", "fail", _message(error)) for case, error in failed]
    if not passed:
        return [Reason("behaviour", "fail", f"no test in {folder} ran; gate.behaviour: false allows that")]
    return [Reason("behaviour", "pass", f"{passed} tests of the model's behaviour passed")]


def _message(error: ElementTree.Element) -> str:
    """Give a failed test's message; of a test with an error in its setup, the last line of the error."""
    if error.tag == "failure":
        return (error.get("message") or "no message").strip().splitlines()[0]
    raised = [line for line in (error.text or "").splitlines() if line.startswith("E ")]
    return (raised or [error.get("message") or "no message"])[-1].removeprefix("E").strip()
