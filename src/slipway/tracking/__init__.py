"""MLflow: one run and one registered version for each candidate, and the aliases `challenger` and `champion`.

Registering is the last step of recording, so that a version exists only if its run is complete. Every step
continues that of an interrupted call.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from slipway.contract import canonical_json
from slipway.model.bundle import read_bundle
from slipway.tracking import weights_and_biases
from slipway.tracking.connection import connect, experiment
from slipway.tracking.record import DIGEST, VERDICT, Record
from slipway.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

VALIDATION = "slipway.mlflow_validation"
RECORDED, MIRRORED = "slipway.recorded", "slipway.mirrored"  # the record's digest, once MLflow and W&B hold all of it


class Tracked(NamedTuple):
    """The candidate's run, and its version of the registered model."""

    run_id: str
    version: str


def track(workspace: Workspace, released: str | None = None) -> Tracked:
    """Record the candidate: one run, and one registered version with the alias `challenger`.

    Repeated, it changes nothing, but a verdict or score that changed is recorded anew.
    released: the digest of the bundle that serves, to which the alias `champion` is moved.
    Raises SlipwayError if there is no candidate, or MLflow does not answer.
    """
    record = Record(workspace, read_bundle(workspace.bundle))
    with connect(workspace.root) as client:
        version = _version(client, record.name, record.bundle.digest)
        run = client.get_run(str(version.run_id)) if version else None
        if version is None or run is None or run.data.tags.get(RECORDED) != record.digest:
            run, model_id = _write(client, run, record)
            version = version or _register(client, run, record, model_id)
            client.set_model_version_tag(version.name, str(version.version), VERDICT, record.verdict)
        _point(client, version, "challenger")
        if released and (champion := _version(client, version.name, released)):
            _point(client, champion, "champion")
        if weights_and_biases.wanted() and run.data.tags.get(MIRRORED) != record.digest:
            weights_and_biases.mirror(record)
            client.set_tag(str(version.run_id), MIRRORED, record.digest)
    done = Tracked(str(version.run_id), str(version.version))
    where = {"candidate": record.bundle.digest, "run": done.run_id, "version": done.version}
    workspace.tracked.write_bytes(canonical_json(where))  # a promotion puts the run into its decision
    return done


def read_runs(workspace: Workspace) -> pd.DataFrame:
    """Read the runs of the problem, newest first: parameters, metrics and tags as columns.

    Raises SlipwayError if MLflow does not answer.
    """
    import mlflow

    with connect(workspace.root):
        runs: pd.DataFrame = mlflow.search_runs(
            experiment_names=[workspace.problem.name], order_by=["attributes.start_time DESC"]
        )
        return runs


def update_version(
    workspace: Workspace, digest: str, *, alias: str | None = None, tags: Mapping[str, str] | None = None
) -> str | None:
    """Move an alias to the version that is the bundle `digest`, or set its tags; give its number, if it was recorded.

    Raises SlipwayError if MLflow does not answer.
    """
    with connect(workspace.root) as client:
        version = _version(client, workspace.problem.name, digest)
        if version is None:
            return None
        if alias:
            _point(client, version, alias)
        for name, value in (tags or {}).items():
            client.set_model_version_tag(version.name, str(version.version), name, value)
        return str(version.version)


def _version(client: MlflowClient, name: str, digest: str) -> ModelVersion | None:
    """Find the registered version that is the bundle; of several, the first."""
    found = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST}` = '{digest}'")
    return min(found, key=lambda version: int(version.version), default=None)


def _write(client: MlflowClient, run: Run | None, record: Record) -> tuple[Run, str]:
    """Write the record into its run. Values that are there stay; a score that changed gets a newer value.

    run: the registered one; None to continue that of an interrupted call, or to make one. Gives run and model.
    """
    import mlflow

    from slipway.tracking import model

    where = run.info.experiment_id if run else experiment(client, record.workspace.root, record.name)
    mine = f"tags.`{DIGEST}` = '{record.bundle.digest}'"
    run = run or next(iter(client.search_runs([where], mine, order_by=["start_time"])), None)
    name, tags = (None, None) if run else (record.bundle.version, record.tags)
    with mlflow.start_run(run.info.run_id if run else None, where, name, tags=tags) as active:
        run_id, before = active.info.run_id, active.data
        mlflow.log_params({name: value for name, value in record.parameters.items() if name not in before.params})
        mlflow.log_metrics({name: v for name, v in record.metrics.items() if before.metrics.get(name) != v})
        for path, folder in record.files.items():
            mlflow.log_artifact(str(path), folder)
        logged = client.search_logged_models([where], f"source_run_id = '{run_id}'")
        # An unfinished one may be another machine's, which is about to finish it.
        ready = [str(one.model_id) for one in logged if one.status == "READY"]
        model_id = ready[0] if ready else model.log_model(record)
        if not set(model.SCORES.values()) & before.metrics.keys():
            model.evaluate(record, model_id)
        found = model.validate(record, client.get_run(run_id).data.metrics)
        mlflow.set_tags({VERDICT: record.verdict, VALIDATION: found, RECORDED: record.digest})
    return client.get_run(run_id), model_id


def _register(client: MlflowClient, run: Run, record: Record, model_id: str) -> ModelVersion:
    """Register the model. If another machine registered the same bundle meanwhile, its version stays and ours goes."""
    from mlflow import MlflowException

    with suppress(MlflowException):  # it is registered already; else the next call fails, too
        client.create_registered_model(record.name)
    source, run_id = f"models:/{model_id}", run.info.run_id
    ours = client.create_model_version(record.name, source, run_id, record.tags, model_id=model_id)
    first = _version(client, record.name, record.bundle.digest) or ours
    if first.version != ours.version:
        client.delete_model_version(record.name, str(ours.version))
        if first.run_id != run_id:
            client.delete_run(run_id)
    return first


def _point(client: MlflowClient, version: ModelVersion, alias: str) -> None:
    """Move an alias, unless it points there already."""
    if str(client.get_registered_model(version.name).aliases.get(alias)) != str(version.version):
        client.set_registered_model_alias(version.name, alias, str(version.version))
