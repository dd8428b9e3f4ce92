"""The gate: decides whether the candidate may serve (PROMOTE, HOLD or REJECT), with every reason and its numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from slipway.champion import BUNDLE, Decision, fetch_champion
from slipway.contract import Array, canonical_json
from slipway.evaluation import intervals
from slipway.evaluation.intervals import Bootstrap, Difference, Score
from slipway.evaluation.test_set import TestSet
from slipway.gate.changes import check_changes
from slipway.gate.checks import (
    Reason,
    against_champion,
    behaviour,
    check_constant,
    check_fairness,
    check_slices,
    check_thresholds,
    size,
)
from slipway.gate.live import check_live, settle
from slipway.model.predictor import Predictor
from slipway.problem import SlipwayError
from slipway.problem.files import TEST
from slipway.problem.params import Gate
from slipway.workspace import Workspace

__all__ = ["Reason", "Verdict", "against_champion", "challenge", "conclude", "judge", "load_champion"]

Answer = Literal["PROMOTE", "HOLD", "REJECT"]


@dataclass(frozen=True)
class Verdict:
    """The gate's answer.

    candidate, champion: digests of the bundles. table: digest of the test set that both were scored on.
    metrics: the candidate's point estimates. comparison: candidate minus champion, for each score; slices: for the
    headline score of each slice. calibration: of both, see `metrics.paired_calibration`; a is the candidate.
    """

    verdict: Answer
    candidate: str
    champion: str | None
    table: str
    metrics: dict[str, float]
    comparison: dict[str, dict[str, float]] = field(default_factory=dict)
    reasons: list[Reason] = field(default_factory=list)
    slices: dict[str, dict[str, float]] = field(default_factory=dict)
    calibration: list[dict[str, Any]] = field(default_factory=list)


def judge(workspace: Workspace, *, live: bool = False) -> Verdict:
    """Judge the candidate and write the verdict to `build/verdict.json`.

    REJECT if a check fails, else HOLD if a check is in doubt, else PROMOTE. live: also by the live rows that champion
    and candidate answered, see `slipway.gate.live`.
    Raises SlipwayError if there is no candidate, or the champion is not the one in `champion.dvc`.
    """
    params = workspace.params
    workspace.verdict.unlink(missing_ok=True)  # if judging fails, no stale verdict stays
    candidate = Predictor.load(workspace.bundle)
    champion, decision = load_champion(workspace)
    test_set = TestSet(workspace.problem, workspace.table / TEST)
    bootstrap = Bootstrap(params.evaluate.bootstrap, params.evaluate.confidence)
    statistics = test_set.statistics(test_set.predictions(candidate))
    scores = intervals.evaluate(test_set.target, statistics, bootstrap)
    reasons = _check_candidate(workspace, test_set, candidate, statistics, scores, bootstrap)
    reason, comparison = challenge(params.gate, test_set, candidate, statistics, champion, bootstrap)
    reasons.append(reason)
    slices, calibration = {}, []
    if champion and comparison:
        reasons += check_changes(workspace, test_set, champion, bootstrap)
        slices = test_set.compare_slices(candidate, champion, params.evaluate.slices, bootstrap)
        calibration = test_set.compare_calibration(candidate, champion)
    if decision and candidate.version in decision.rolled_back:
        reasons.append(Reason("history", "hold", f"{candidate.version} was released before, and rolled back"))
    if live:
        reasons = settle(reasons, check_live(workspace, candidate, champion, bootstrap))
    verdict = Verdict(
        conclude(reasons),
        candidate.bundle.digest,
        champion.bundle.digest if champion else None,
        workspace.test_set_digest(),
        {name: score.value for name, score in scores.items()},
        {name: score.as_json() for name, score in comparison.items()},
        reasons,
        {name: score.as_json() for name, score in slices.items()},
        calibration,
    )
    workspace.verdict.write_bytes(canonical_json(asdict(verdict)))
    return verdict


def _check_candidate(
    workspace: Workspace,
    test_set: TestSet,
    candidate: Predictor,
    statistics: Array,
    scores: dict[str, Score],
    bootstrap: Bootstrap,
) -> list[Reason]:
    """Run the checks that need no champion. statistics, scores: the candidate's, over the test set."""
    gate, sliced, predictions = workspace.params.gate, workspace.params.evaluate.slices, test_set.predictions(candidate)
    reasons = [*check_thresholds(gate, scores)]
    if gate.slice_thresholds:
        reasons.append(check_slices(gate.slice_thresholds, test_set.score_slices(predictions, sliced, bootstrap)))
    reasons += [check_fairness(limits, test_set, predictions, bootstrap) for limits in gate.fairness]
    if gate.beats_constant:
        reasons.append(check_constant(test_set, statistics, scores, bootstrap))
    reasons.append(size(gate, candidate))
    if gate.behaviour:
        reasons += behaviour(workspace.root)
    return reasons


def load_champion(workspace: Workspace) -> tuple[Predictor | None, Decision | None]:
    """Load the champion and the decision that released it; both are None before the first release."""
    decision = fetch_champion(workspace.root)
    if decision is None:
        return None, None
    return Predictor.load(workspace.champion / BUNDLE, expected=decision.digest), decision


def conclude(reasons: list[Reason]) -> Answer:
    """Derive the verdict from the reasons."""
    outcomes = {reason.outcome for reason in reasons}
    return "REJECT" if "fail" in outcomes else "HOLD" if "hold" in outcomes else "PROMOTE"


def challenge(
    gate: Gate,
    test_set: TestSet,
    candidate: Predictor,
    statistics: Array,
    champion: Predictor | None,
    bootstrap: Bootstrap,
) -> tuple[Reason, dict[str, Difference]]:
    """Compare the candidate with the champion on the same test set, if there is a champion that accepts its rows.

    statistics: the candidate's, over the test set. Returns the reason, and candidate minus champion by score.
    """
    if champion is None:
        return Reason("champion", "pass", "there is no champion yet: the other checks decide alone"), {}
    if champion.bundle.digest == candidate.bundle.digest:
        return Reason("champion", "hold", f"the candidate is the champion ({champion.version}): nothing new"), {}
    if champion.classes != candidate.classes:
        detail = f"{champion.version} predicts other classes, so a person must decide"
        return Reason("champion", "hold", detail), {}
    if seen := _seen(test_set, candidate, champion):
        return Reason("champion", "hold", f"not compared, so a person must decide: {seen}"), {}
    try:
        other = test_set.statistics(test_set.predictions(champion))
    except SlipwayError as error:
        detail = f"{champion.version} refuses these rows, so a person must decide: {error}"
        return Reason("champion", "hold", detail), {}
    comparison = intervals.compare(test_set.target, statistics, other, bootstrap)
    if len(statistics) == 1:
        return Reason("champion", "hold", "all rows are of one group, so no interval can be computed"), comparison
    return against_champion(gate, comparison, champion.version, bootstrap.confidence), comparison


def _seen(test_set: TestSet, candidate: Predictor, champion: Predictor) -> str | None:
    """With a split by time, say why the champion may have been trained on rows of the test set; else None."""
    now, before = candidate.bundle.manifest.split, champion.bundle.manifest.split
    if now is None or test_set.time is None:
        return None
    if before is None or before.field != now.field:
        return f"{champion.version} was trained without a split by {now.field}, so it may know rows of the test set"
    first, last = (test_set.time.point(at, now.field) for at in (now.test_from, before.train_until))
    if last < first:
        return None
    return (
        f"{champion.version} was trained on rows until {before.train_until} and the test set begins at "
        f"{now.test_from}; prepare.test_from in params.yaml can be a later time"
    )
