"""The gate: may the candidate serve? PROMOTE, HOLD or REJECT, with every reason and its numbers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from slipway.champion import BUNDLE, Decision, read_decision
from slipway.contract import Array, canonical_json
from slipway.evaluation import metrics
from slipway.evaluation.metrics import LOWER_IS_BETTER, Bootstrap, Score
from slipway.evaluation.test_set import TestSet
from slipway.model.predictor import Predictor
from slipway.problem import SlipwayError
from slipway.problem.files import TEST
from slipway.problem.params import Gate, SliceThresholds
from slipway.workspace import Workspace

Answer = Literal["PROMOTE", "HOLD", "REJECT"]


@dataclass(frozen=True)
class Reason:
    """One check: its name, how it came out, and the numbers. `fail` refuses; `hold` leaves it to a person."""

    check: str
    outcome: Literal["pass", "hold", "fail"]
    detail: str


@dataclass(frozen=True)
class Verdict:
    """The gate's answer.

    candidate, champion: digests of the bundles. table: digest of the test set on which both were scored.
    metrics: the candidate's point estimates. comparison: candidate minus champion, for each score.
    """

    verdict: Answer
    candidate: str
    champion: str | None
    table: str
    metrics: dict[str, float]
    comparison: dict[str, dict[str, float]] = field(default_factory=dict)
    reasons: list[Reason] = field(default_factory=list)


def judge(workspace: Workspace) -> Verdict:
    """Judge the candidate and write the verdict to `build/verdict.json`.

    A check that fails makes the verdict REJECT, one that leaves a doubt HOLD; else it is PROMOTE.
    Raises SlipwayError if there is no candidate, or the champion is not what `champion.dvc` says.
    """
    params = workspace.params
    workspace.verdict.unlink(missing_ok=True)  # whatever happens below, no older verdict is taken for this one
    candidate = Predictor.load(workspace.bundle)
    champion, decision = load_champion(workspace)
    test_set = TestSet(workspace.problem, workspace.table / TEST)
    bootstrap = Bootstrap(params.evaluate.bootstrap, params.evaluate.confidence)
    predictions = candidate.predict(test_set.table)
    statistics = test_set.statistics(predictions)
    scores = metrics.evaluate(test_set.target, statistics, bootstrap)
    reasons = [*check_thresholds(params.gate, scores)]
    if params.gate.slice_thresholds:
        slices = test_set.score_slices(predictions, params.evaluate.slices, bootstrap)
        reasons.append(check_slices(params.gate.slice_thresholds, slices))
    reasons.append(size(params.gate, candidate))
    if params.gate.behaviour:
        reasons += behaviour(workspace.root)
    reason, comparison = challenge(params.gate, test_set, candidate, statistics, champion, bootstrap)
    reasons.append(reason)
    if decision and candidate.version in decision.rolled_back:
        reasons.append(Reason("history", "hold", f"{candidate.version} was released before, and rolled back"))
    verdict = Verdict(
        conclude(reasons),
        candidate.bundle.digest,
        champion.bundle.digest if champion else None,
        workspace.test_set_digest(),
        {name: score.value for name, score in scores.items()},
        {name: score.as_json() for name, score in comparison.items()},
        reasons,
    )
    workspace.verdict.write_bytes(canonical_json(asdict(verdict)))
    return verdict


def load_champion(workspace: Workspace) -> tuple[Predictor | None, Decision | None]:
    """Load what serves now and the decision that released it; None and None if nothing was released yet."""
    decision = read_decision(workspace.root)
    if decision is None:
        return None, None
    if not workspace.champion.exists():
        raise SlipwayError(f"{workspace.champion}: the champion is not here; `dvc pull champion.dvc` fetches it")
    return Predictor.load(workspace.champion / BUNDLE, expected=decision.digest), decision


def conclude(reasons: list[Reason]) -> Answer:
    """Draw the verdict from the reasons."""
    outcomes = {reason.outcome for reason in reasons}
    return "REJECT" if "fail" in outcomes else "HOLD" if "hold" in outcomes else "PROMOTE"


def check_thresholds(gate: Gate, scores: dict[str, Score]) -> Iterator[Reason]:
    """Check each score against its threshold: a minimum, or a maximum where lower is better."""
    for name, limit in gate.thresholds.items():
        check = f"threshold {name}"
        if name not in scores:
            yield Reason(check, "fail", f"{name} cannot be computed for this model on these rows")
            continue
        score = scores[name]
        lower = name in LOWER_IS_BETTER
        good = score.value <= limit if lower else score.value >= limit
        bound = "at most" if lower else "at least"
        detail = f"{score.value:.4g} ({score.low:.4g} to {score.high:.4g}), {bound} {limit:g} is needed"
        yield Reason(check, "pass" if good else "fail", detail)


def check_slices(limits: SliceThresholds, slices: list[dict[str, Any]]) -> Reason:
    """Check the score of every slice that has enough rows. slices: see `TestSet.score_slices`."""
    lower = limits.metric in LOWER_IS_BETTER
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


def size(gate: Gate, candidate: Predictor) -> Reason:
    """Check how large the bundle is."""
    megabytes = sum(len(content) for content in candidate.bundle.files.values()) / 1e6
    limit = gate.max_bundle_megabytes
    detail = f"{megabytes:.3g} MB, at most {limit:g} MB"
    return Reason("bundle size", "pass" if megabytes <= limit else "fail", detail)


def challenge(
    gate: Gate,
    test_set: TestSet,
    candidate: Predictor,
    statistics: Array,
    champion: Predictor | None,
    bootstrap: Bootstrap,
) -> tuple[Reason, dict[str, Score]]:
    """Compare the candidate with the champion on the same test set, if there is one that can be asked.

    statistics: the candidate's, over the test set. Gives the reason, and candidate minus champion by score.
    """
    if champion is None:
        return Reason("champion", "pass", "there is none yet: the checks above decide alone"), {}
    if champion.bundle.digest == candidate.bundle.digest:
        return Reason("champion", "hold", f"the candidate is the champion ({champion.version}): nothing new"), {}
    if champion.classes != candidate.classes:
        detail = f"{champion.version} predicts other classes, so that a person must decide"
        return Reason("champion", "hold", detail), {}
    try:
        other = test_set.statistics(champion.predict(test_set.table))
    except SlipwayError as error:
        detail = f"{champion.version} cannot be asked about these rows, so that a person must decide: {error}"
        return Reason("champion", "hold", detail), {}
    comparison = metrics.compare(test_set.target, statistics, other, bootstrap)
    return against_champion(gate, comparison, champion.version, bootstrap.confidence), comparison


def against_champion(gate: Gate, comparison: dict[str, Score], version: str, confidence: float) -> Reason:
    """Compare candidate and champion by the paired interval of their difference."""
    metric, margin = gate.champion.metric, gate.champion.margin
    if metric not in comparison:
        return Reason("champion", "hold", f"{metric} cannot be computed for both models on these rows")
    score = comparison[metric]
    sign = -1 if metric in LOWER_IS_BETTER else 1
    low, high = sorted((sign * score.low, sign * score.high))
    detail = (
        f"{metric} {score.value:+.4g} against {version} ({score.low:+.4g} to {score.high:+.4g} "
        f"with {confidence:.0%} confidence)"
    )
    if high < 0:
        return Reason("champion", "fail", f"{detail}: worse")
    if low > 0:
        return Reason("champion", "pass", f"{detail}: better")
    if low >= -margin:
        return Reason("champion", "pass", f"{detail}: surely not worse by more than the margin of {margin:g}")
    return Reason("champion", "hold", f"{detail}: it may be worse by more than the margin of {margin:g}")


def behaviour(root: Path) -> list[Reason]:
    """Run the tests in `tests/model`, which load the candidate through the predictor; one reason for each failure."""
    folder = root / "tests" / "model"
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch) / "results.xml"
        command = [sys.executable, "-m", "pytest", "tests/model", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        run = subprocess.run(  # noqa: S603  (our own command)
            [*command, "-o", "addopts=", f"--junitxml={results}"], cwd=root, capture_output=True, text=True, check=False
        )
        if not results.exists():
            last = (run.stdout + run.stderr).strip().splitlines()[-1:] or ["no output"]
            return [Reason("behaviour", "fail", f"the tests in {folder} could not be run: {last[0]}")]
        cases = list(ElementTree.parse(results).iter("testcase"))  # noqa: S314  (just written by pytest)
    failed = [
        (case, fault) for case in cases for fault in (case.find("failure"), case.find("error")) if fault is not None
    ]
    passed = len(cases) - len(failed) - sum(case.find("skipped") is not None for case in cases)
    if failed:
        return [Reason(f"behaviour {case.get('name')}", "fail", _said(fault)) for case, fault in failed]
    if not passed:
        return [Reason("behaviour", "fail", f"no test in {folder} ran; gate.behaviour: false says that none is meant")]
    return [Reason("behaviour", "pass", f"{passed} tests of how the model behaves")]


def _said(fault: ElementTree.Element) -> str:
    """Give a failed test's message; where its file could not even be imported, the last line says why."""
    if fault.tag == "failure":
        return (fault.get("message") or "no message").strip().splitlines()[0]
    return (fault.text or fault.get("message") or "no message").strip().splitlines()[-1].removeprefix("E").strip()
