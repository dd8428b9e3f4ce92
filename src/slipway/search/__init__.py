"""Search for better arguments of the project's `build`: Optuna's trials, cross-validated within the training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState

from slipway.contract import canonical_json
from slipway.evaluation.metrics import lower_is_better
from slipway.problem import SlipwayError
from slipway.search.objective import ARGUMENTS, ERROR, Objective
from slipway.search.storage import opened
from slipway.workspace import Workspace

JOURNAL, LOCK = "journal.log", "search.lock"


class Found(NamedTuple):
    """The result of a study. trials: the number in each state. before: the score with the present `params.yaml`.

    arguments, value: the best ones, and their score. importance: the share of each argument in the differences between
    the trials, the largest first.
    """

    study: str
    metric: str
    trials: dict[str, int]
    arguments: dict[str, Any]
    value: float
    before: float
    importance: dict[str, float]


def run(
    at: Workspace, where: str | None, *, joins: bool, say: Callable[[str], None]
) -> tuple[Found, list[FrozenTrial]] | None:
    """Run trials until the study has as many as `search.trials`, or the time is over; give the result and all trials.

    where: the storage, by default a journal in `build/search`. joins: as one of several workers, whose seeds differ;
    gives nothing. say: told of each trial.
    Raises SlipwayError if another search runs here, no trial was completed, or the storage does not answer.
    """
    objective = Objective(at)
    if not joins:
        at.search.mkdir(parents=True, exist_ok=True)
    alone = nullcontext() if joins else FileLock(at.search / LOCK, timeout=0)
    try:
        with alone, opened(where or str(at.search / JOURNAL)) as storage:
            study = _study(objective, storage, seeded=not joins)
            if len(_ended(study)) < objective.search.trials:
                seconds = objective.search.minutes and objective.search.minutes * 60
                told = _told(objective, say)
                study.optimize(objective, timeout=seconds, callbacks=[told], catch=(Exception,))
            return None if joins else _found(study, objective)
    except Timeout:
        raise SlipwayError("another search runs here; `slipway search --join` takes part in it") from None


def _study(objective: Objective, storage: optuna.storages.BaseStorage, *, seeded: bool) -> optuna.Study:
    study = optuna.create_study(
        study_name=objective.study,
        storage=storage,
        pruner=optuna.pruners.MedianPruner() if objective.search.pruning else optuna.pruners.NopPruner(),
        direction="minimize" if lower_is_better(objective.metric) else "maximize",
        load_if_exists=True,
    )
    # With the number of trials in the seed, a search that is continued does not repeat its draws.
    study.sampler = optuna.samplers.TPESampler(seed=objective.seed + len(study.trials) if seeded else None)
    return study


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    """Give the trials that ended by themselves; those whose worker was killed are run again."""
    return [one for one in study.trials if one.state.is_finished() and (one.state != TrialState.FAIL or _error(one))]


def _error(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get(ERROR, ""))


def _told(objective: Objective, say: Callable[[str], None]) -> Callable[[optuna.Study, FrozenTrial], None]:
    """Tell of each trial, and stop after the last."""

    def told(study: optuna.Study, trial: FrozenTrial) -> None:
        done, wanted = len(_ended(study)), objective.search.trials
        say(f"{done}/{wanted}  {_line(trial, objective.metric)}")
        if done >= wanted:
            study.stop()

    return told


def _line(trial: FrozenTrial, metric: str) -> str:
    arguments = ", ".join(f"{name} {value}" for name, value in trial.user_attrs.get(ARGUMENTS, {}).items())
    if trial.state == TrialState.FAIL:
        return f"failed: {_error(trial)}  {arguments}"
    last = max(trial.intermediate_values)  # the number of folds
    ended = f"pruned after {last} folds: " if trial.state == TrialState.PRUNED else ""
    return f"{ended}{metric} {trial.intermediate_values[last]:.4g}  {arguments}"


def _found(study: optuna.Study, objective: Objective) -> tuple[Found, list[FrozenTrial]]:
    trials = _ended(study)
    counts = Counter(one.state.name.lower() for one in trials)
    if not counts["complete"]:
        why = next(filter(None, map(_error, trials)), "search.minutes were over before the first")
        raise SlipwayError(f"none of {len(trials)} trials was completed: {why}")
    key = canonical_json(objective.present).decode()
    if key not in study.user_attrs:
        study.set_user_attr(key, objective.score(objective.present))
    try:
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()  # Watanabe et al. 2023
        importance = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):  # too few trials, or all alike
        importance = {}
    best, before = study.best_trial, study.user_attrs[key]
    arguments, value = best.user_attrs[ARGUMENTS], float(best.value or 0)
    return Found(study.study_name, objective.metric, dict(counts), arguments, value, before, importance), trials
