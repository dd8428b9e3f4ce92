"""A candidate's run in MLflow: found or made, filled, evaluated by MLflow, and concluded."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.problem.files import SOURCE, TEST
from slipway.tracking import model
from slipway.tracking.connection import artifact_location
from slipway.tracking.record import COMMIT, DIGEST, REPOSITORY, VERDICT, Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MLFLOW_VERDICT = "slipway.mlflow_validation"
RECORDED = "slipway.recorded"  # the record's digest, set when the run holds all of it
AT_ONCE = 100  # parameters or metrics in one request


def find_or_make(client: MlflowClient, record: Record) -> Run:
    """Find the candidate's run, which an interrupted call may have left, or make it."""
    experiment = _experiment(client, record)
    found = client.search_runs(
        [experiment], f"tags.`{DIGEST}` = '{record.bundle.digest}'", order_by=["attributes.start_time"]
    )
    return found[0] if found else client.create_run(experiment, None, record.tags, record.bundle.version)


def _experiment(client: MlflowClient, record: Record) -> str:
    from mlflow import MlflowException

    found = client.get_experiment_by_name(record.name)
    if found is None:
        try:
            return str(client.create_experiment(record.name, artifact_location(record.workspace.root)))
        except MlflowException:
            found = client.get_experiment_by_name(record.name)  # someone else was faster
            if found is None:
                raise
    return str(found.experiment_id)


def holds(run: Run, record: Record) -> bool:
    """Say whether all of the record is in the run."""
    return bool(run.data.tags.get(RECORDED) == record.digest)


def fill(client: MlflowClient, run: Run, record: Record) -> None:
    """Write parameters, metrics and files. What is there stays; a score that changed gets a newer value."""
    from mlflow.entities import Metric, Param

    run_id, old, now = run.info.run_id, run.data, int(time.time() * 1000)
    metrics = [Metric(k, v, now, 0) for k, v in record.metrics.items() if old.metrics.get(k) != v]
    parameters = [Param(k, str(v)) for k, v in record.parameters.items() if k not in old.params]
    for start in range(0, max(len(metrics), len(parameters)), AT_ONCE):
        chosen = slice(start, start + AT_ONCE)
        client.log_batch(run_id, metrics[chosen], parameters[chosen])
    for path, folder in record.files.items():
        client.log_artifact(run_id, str(path), folder)


def log_model(client: MlflowClient, run: Run, record: Record) -> str:
    """Log the bundle as MLflow's model, let MLflow evaluate it, and give the model's id."""
    run_id, experiment = run.info.run_id, run.info.experiment_id
    found = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    logged = found[0] if found else client.create_logged_model(experiment, "model", run_id, record.tags)
    if logged.status != "READY":
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "model"
            required = model.requirements(record.bundle, record.slipway)
            model.save(record.bundle, record.workspace.bundle, out, logged, required)
            client.log_model_artifacts(logged.model_id, str(out))
        client.finalize_logged_model(logged.model_id, "READY")
    if not model.MLFLOW_NAMES.keys() & client.get_run(run_id).data.metrics.keys():
        _evaluate(run_id, logged.model_id, record)
    return str(logged.model_id)


def _evaluate(run_id: str, model_id: str, record: Record) -> None:
    import mlflow
    import pandas as pd

    workspace = record.workspace
    rows = model.held_out_rows(
        record.bundle.contract,
        workspace.target,
        pd.read_parquet(workspace.table / TEST),
        name=record.name,
        digest=json.loads((workspace.table / SOURCE).read_bytes())["data"],
        source={"mlflow.source.name": "data.dvc"} | {k: v for k, v in record.tags.items() if k in (COMMIT, REPOSITORY)},
    )
    with mlflow.start_run(run_id):
        mlflow.log_input(rows, context="held out")
        model.evaluate(model_id, workspace.target, rows)


def conclude(client: MlflowClient, run: Run, record: Record) -> None:
    """Write what came out, and that the run is complete."""
    run_id = run.info.run_id
    scores = client.get_run(run_id).data.metrics
    fault = model.fault(record.workspace.params.gate.thresholds, record.workspace.target, scores)
    for name, value in {VERDICT: record.verdict, MLFLOW_VERDICT: fault or "passed", RECORDED: record.digest}.items():
        client.set_tag(run_id, name, value)
    client.set_terminated(run_id)
