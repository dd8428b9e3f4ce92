"""A search in MLflow: a run in an experiment of its own, with a nested run for each trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.tracking.connection import connect, experiment
from slipway.tracking.record import metric_name
from slipway.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from optuna.trial import FrozenTrial

SEARCH, TRIAL, PARENT = "slipway.search", "slipway.trial", "mlflow.parentRunId"  # tags
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
MOST = 50_000  # runs that MLflow lists at once


def record_search(
    workspace: Workspace, study: str, metric: str, trials: Sequence[FrozenTrial], files: Sequence[Path]
) -> str:
    """Record the trials that are not recorded yet, and the files; give the run's id. Repeated, it adds nothing.

    Raises SlipwayError if MLflow does not answer.
    """
    with connect(workspace.root) as client:
        where = experiment(client, workspace.root, f"{workspace.problem.name}-search")
        run = next(iter(client.search_runs([where], f"tags.`{SEARCH}` = '{study}'")), None)
        parent = str((run or client.create_run(where, tags={SEARCH: study}, run_name=study)).info.run_id)
        known = client.search_runs([where], f"tags.`{PARENT}` = '{parent}'", max_results=MOST)
        runs = {one.data.tags[TRIAL]: one for one in known}
        for trial in trials:
            _write(client, where, parent, runs.get(str(trial.number)), trial, metric_name(metric))
        for path in files:
            client.log_artifact(parent, str(path))
        client.set_terminated(parent)
    return parent


def _write(client: MlflowClient, where: str, parent: str, run: Any, trial: FrozenTrial, metric: str) -> None:
    """Write a trial's run, or complete that of an interrupted call. The metric's steps are means over so many folds."""
    from mlflow.entities import Metric, Param

    times = (trial.datetime_start, trial.datetime_complete)
    began, ended = (int(at.timestamp() * 1000) if at else 0 for at in times)  # milliseconds
    tags = {PARENT: parent, TRIAL: str(trial.number), **trial.user_attrs}
    arguments = tags.pop("arguments", {})
    run = run or client.create_run(where, began, tags, f"trial {trial.number}")
    if run.info.status == "RUNNING":
        scores = [Metric(metric, value, ended, step) for step, value in sorted(trial.intermediate_values.items())]
        params = [Param(name, str(value)) for name, value in arguments.items()]
        client.log_batch(run.info.run_id, scores, params)
        client.set_terminated(run.info.run_id, STATUS[trial.state.name], ended)
