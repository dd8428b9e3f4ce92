"""The registry of models: one version for each candidate, and the aliases `challenger` and `champion`.

Registering is the last step of recording, so that a version is there only when its run is complete. Every step finds
what an interrupted call left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.contract import canonical_json
from slipway.model.bundle import read_bundle
from slipway.tracking import run as runs
from slipway.tracking import weights_and_biases
from slipway.tracking.connection import connect, tracking_uri, without_password
from slipway.tracking.record import DIGEST, VERDICT, Record
from slipway.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

CANDIDATE, CHAMPION = "challenger", "champion"
MIRRORED = "slipway.mirrored"  # a run's tag: the record's digest, when Weights & Biases has it


@dataclass(frozen=True)
class Tracked:
    """Where the candidate is recorded. new: whether this call registered its version."""

    run_id: str
    model_version: str
    new: bool
    uri: str


def track(workspace: Workspace, released: str | None = None) -> Tracked:
    """Record the candidate: one run, and one registered version with the alias `challenger`.

    What is recorded already stays as it is, but a changed verdict or score is recorded anew; what an interrupted
    call left undone is done.
    released: the digest of the bundle that serves; the alias `champion` is moved to it if it is elsewhere.
    Raises SlipwayError if there is no candidate, or MLflow does not answer. The candidate is not touched.
    """
    record = Record(workspace, read_bundle(workspace.bundle))
    with connect(workspace.root) as client:
        found = _find(client, record.name, record.bundle.digest)
        run = client.get_run(str(found.run_id)) if found else runs.find_or_make(client, record)
        if found and runs.holds(run, record):
            version = found
        else:
            runs.fill(client, run, record)
            model_id = None if found else runs.log_model(client, run, record)
            runs.conclude(client, run, record)
            version = found or _register(client, run, record, str(model_id))
            client.set_model_version_tag(version.name, str(version.version), VERDICT, record.verdict)
        _point(client, version, CANDIDATE)
        if released and (serving := _find(client, version.name, released)):
            _point(client, serving, CHAMPION)
        if weights_and_biases.wanted() and run.data.tags.get(MIRRORED) != record.digest:
            weights_and_biases.mirror(record)
            client.set_tag(str(version.run_id), MIRRORED, record.digest)
    uri = without_password(tracking_uri(workspace.root))
    where = {"candidate": record.bundle.digest, "run": str(version.run_id), "version": str(version.version)}
    workspace.tracked.write_bytes(canonical_json(where))  # for the decision, should the candidate be promoted
    return Tracked(where["run"], where["version"], found is None, uri)


def set_alias(workspace: Workspace, digest: str, alias: str) -> str | None:
    """Point an alias at the registered version that is the bundle `digest`, and give its number.

    None if that bundle was not recorded. Raises SlipwayError if MLflow does not answer.
    """
    with connect(workspace.root) as client:
        version = _find(client, workspace.problem.name, digest)
        if version:
            _point(client, version, alias)
    return str(version.version) if version else None


def set_tags(workspace: Workspace, digest: str, tags: Mapping[str, str]) -> str | None:
    """Set tags of the registered version that is the bundle `digest`, and give its number.

    None if that bundle was not recorded. Raises SlipwayError if MLflow does not answer.
    """
    with connect(workspace.root) as client:
        version = _find(client, workspace.problem.name, digest)
        if version:
            for name, value in tags.items():
                client.set_model_version_tag(version.name, str(version.version), name, value)
    return str(version.version) if version else None


def _find(client: MlflowClient, name: str, digest: str) -> ModelVersion | None:
    """Find the registered version that is the bundle; of several, the first."""
    found = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST}` = '{digest}'")
    return min(found, key=lambda version: int(version.version), default=None)


def _register(client: MlflowClient, run: Run, record: Record, model_id: str) -> ModelVersion:
    """Register the model. The server numbers versions one by one: if another machine's is earlier, ours goes again."""
    from mlflow import MlflowException

    try:
        client.create_registered_model(record.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"models:/{model_id}"
    ours = client.create_model_version(record.name, source, run.info.run_id, record.tags, model_id=model_id)
    first = _find(client, record.name, record.bundle.digest) or ours
    if first.version != ours.version:
        client.delete_model_version(record.name, str(ours.version))
        if first.run_id != run.info.run_id:
            client.delete_run(run.info.run_id)
    return first


def _point(client: MlflowClient, version: ModelVersion, alias: str) -> None:
    """Move an alias, unless it is there already."""
    if str(client.get_registered_model(version.name).aliases.get(alias)) != str(version.version):
        client.set_registered_model_alias(version.name, alias, str(version.version))
