"""The connection to MLflow: which server or database, one process at a time, silent, with errors that name a remedy."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI = "MLFLOW_TRACKING_URI"
DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"  # used where no server is set
# Defaults, which the environment overrides: an unreachable server is reported within seconds, no usage is sent to
# MLflow's makers, no package index is asked.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
}
LOCK_SECONDS = 300


def tracking_uri(root: Path) -> str:
    """Give the server that `MLFLOW_TRACKING_URI` names, else the database in `root`."""
    return os.environ.get(URI) or f"sqlite:///{(root / DATABASE).resolve().as_posix()}"


def artifact_location(root: Path) -> str | None:
    """Give where a new experiment stores files: in `root`, or None where the server decides."""
    local = tracking_uri(root).startswith(("sqlite:", "postgresql", "mysql", "mssql"))
    return (root / ARTIFACTS).resolve().as_uri() if local else None


def experiment(client: MlflowClient, root: Path, name: str) -> str:
    """Give the id of an experiment, which is made if there is none of that name."""
    import mlflow

    if client.get_experiment_by_name(name) is None:
        with suppress(mlflow.MlflowException):  # another process was faster; else the next call fails, too
            client.create_experiment(name, artifact_location(root))
    return str(mlflow.set_experiment(name).experiment_id)


@contextmanager
def connect(root: Path) -> Iterator[MlflowClient]:
    """Open MLflow for the workspace in `root`; a second process waits until the first is done.

    Raises SlipwayError, also for errors inside the block, if MLflow does not answer or refuses.
    """
    uri, named = tracking_uri(root), os.environ.get(URI)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)  # before the import, which reads some of them
    (root / "build").mkdir(parents=True, exist_ok=True)
    import mlflow
    from filelock import FileLock
    from sqlalchemy.exc import SQLAlchemyError

    lock, unread = FileLock(root / "build" / ".tracking.lock", timeout=LOCK_SECONDS), io.StringIO()
    try:
        with lock, redirect_stdout(unread), redirect_stderr(unread):
            mlflow.set_tracking_uri(uri)
            yield mlflow.MlflowClient(uri)
    except (mlflow.MlflowException, SQLAlchemyError, OSError) as error:
        raise SlipwayError(_explain(uri, str(error).strip())) from error
    finally:
        mlflow.set_tracking_uri(named)  # type: ignore[arg-type]  # None unsets the variable, too


def _explain(uri: str, words: str) -> str:
    words = without_password(words.partition("\n")[0])[:300]
    if "out-of-date database schema" in words:  # MLflow says so of a newer database, too
        words = (
            f"the database was written by another version of MLflow than {version('mlflow')}. By an older one: back it "
            "up, then `mlflow db upgrade URI`. By a newer one: install that (`make setup`), or name another database "
            f"in {URI}"
        )
    remedy = "No file of the candidate changed. `slipway track` completes the record later, also after a promotion."
    return f"MLflow at {without_password(uri)}: {words}\n{remedy}"


def without_password(url: str) -> str:
    """Remove user and password from a URL, for logs and tags."""
    return re.sub(r"//[^/@]*@", "//", url)
