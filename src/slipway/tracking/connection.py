"""The way to MLflow: which server or file, one caller at a time, quietly, and with errors that a person can act on."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI = "MLFLOW_TRACKING_URI"
DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"  # where no server is set
# Whoever sets one of these keeps his own. A server that is down is to be told within seconds; the rest keeps MLflow
# from sending usage to its makers, from asking a package index, and from talking.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
LOCK_SECONDS = 300


def tracking_uri(root: Path) -> str:
    """Name the server that `MLFLOW_TRACKING_URI` sets, else the database in `root`."""
    return os.environ.get(URI) or f"sqlite:///{(root / DATABASE).resolve().as_posix()}"


def artifact_location(root: Path) -> str | None:
    """Say where a new experiment's files go: to `root`, unless a server has a place of its own."""
    local = tracking_uri(root).startswith(("sqlite:", "postgresql", "mysql", "mssql"))
    return (root / ARTIFACTS).resolve().as_uri() if local else None


@contextmanager
def connect(root: Path) -> Iterator[MlflowClient]:
    """Give MLflow's client, set up for the workspace in `root` and no other process of it.

    Raises SlipwayError if MLflow does not answer or refuses, also within the block.
    """
    uri, named = tracking_uri(root), os.environ.get(URI)
    mine = {name: value for name, value in SETTINGS.items() if name not in os.environ}
    with _alone(root / "build"):
        os.environ.update(mine)  # before the import, which reads some of them
        import mlflow
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with _silence():
                mlflow.set_tracking_uri(uri)
                yield mlflow.MlflowClient(uri)
        except (mlflow.MlflowException, SQLAlchemyError, OSError) as error:
            words = without_password(str(error).strip().splitlines()[0])[:300]
            raise SlipwayError(
                f"MLflow at {without_password(uri)}: {words}\n"
                "Nothing else was touched. `slipway track` completes the record later, also after `slipway promote`."
            ) from error
        finally:
            mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # which also unsets the variable
            for name in mine:
                os.environ.pop(name, None)
            if named:
                os.environ[URI] = named


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock that the operating system releases when the process dies: SQLite's, which works everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = sqlite3.connect(folder / ".tracking.lock", timeout=LOCK_SECONDS, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise SlipwayError(f"{folder}: another process records to MLflow and does not end: {error}") from None
    try:
        yield
    finally:
        lock.close()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep back what MLflow and its HTTP client tell on the way; what matters comes as an error."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def without_password(url: str) -> str:
    """Take user and password out of a URL, for logs and tags."""
    return re.sub(r"//[^/@]*@", "//", url)
