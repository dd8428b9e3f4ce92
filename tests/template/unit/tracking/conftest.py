"""Workspaces whose candidate can be recorded: made once, copied for each test."""

import shutil
from pathlib import Path

import pytest

from plants import client_of, make_workspace
from slipway.tracking import track
from slipway.tracking.connection import connect
from slipway.workspace import Workspace


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "WANDB_PROJECT", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Workspace:
    """A candidate of three classes, and MLflow's database without anything in it, which takes seconds to make."""
    workspace = make_workspace(tmp_path_factory.mktemp("template") / "plants")
    with connect(workspace.root) as client:
        client.search_experiments()
    return workspace


@pytest.fixture
def workspace(template, tmp_path) -> Workspace:
    return copy(template, tmp_path / "workspace")


@pytest.fixture(scope="module")
def tracked(template, tmp_path_factory):
    """A workspace that was recorded, for reading only; what `track` gave; a client."""
    workspace = copy(template, tmp_path_factory.mktemp("tracked") / "workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return workspace, track(workspace), client_of(workspace)


def copy(workspace: Workspace, folder: Path) -> Workspace:
    shutil.copytree(workspace.root, folder)
    return Workspace(folder)
