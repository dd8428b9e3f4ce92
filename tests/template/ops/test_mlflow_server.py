"""The record on a real MLflow server that keeps the files itself, seen from two clones of one project."""

import os
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from plants import make_workspace
from slipway.model.bundle import read_bundle
from slipway.model.predictor import Predictor
from slipway.problem import SlipwayError
from slipway.problem.files import TEST
from slipway.tracking import track, update_version
from slipway.tracking.model import signed_table
from slipway.workspace import Workspace

TESTS = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server in a process of its own; the process and its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    options = {
        "--backend-store-uri": f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination": f"{tmp_path}/files",
        "--host": "127.0.0.1",
        "--port": port,
        "--workers": "1",
    }
    process = subprocess.Popen(
        [BIN / "mlflow", "server", *(word for option in options.items() for word in option)],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    log = []
    for line in process.stdout:
        log.append(line)
        if "Application startup complete" in line:
            break
    else:
        pytest.fail("the server did not start:\n" + "".join(log))
    reader = ThreadPoolExecutor(1)
    reader.submit(process.stdout.read)  # a full pipe would stop the server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    yield process
    stop(process)
    reader.shutdown()


def stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.killpg(process.pid, 15)  # its workers are processes, too
    process.wait()


def record(folder: Path) -> str:
    """Run `slipway track` there; what it printed, without the seconds."""
    command = [BIN / "slipway", "track"]
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    return re.sub(r" +[0-9.]+ s$", "", done.stdout.strip())


def test_a_server_keeps_one_version_for_all_clones_and_serves_the_champion(server, tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path / "one")
    shutil.copytree(workspace.root, tmp_path / "two")
    with ThreadPoolExecutor(2) as pool:
        printed = set(pool.map(record, [workspace.root, tmp_path / "two"]))
    assert len(printed) == 1
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    (version,) = client.search_model_versions("name = 'plants'")
    (run,) = client.search_runs([client.get_experiment_by_name("plants").experiment_id])
    assert (version.run_id, run.info.status) == (run.info.run_id, "FINISHED")
    assert not (workspace.root / "mlartifacts").exists()
    assert list((tmp_path / "files").rglob("model.onnx"))

    update_version(workspace, read_bundle(workspace.bundle).digest, alias="champion")
    rows = signed_table(workspace.features, pd.read_parquet(workspace.table / TEST))
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    answers = mlflow.pyfunc.load_model("models:/plants@champion").predict(rows)
    mlflow.set_tracking_uri(None)
    served = pd.json_normalize(Predictor.load(workspace.bundle).predict(rows).as_json())
    pd.testing.assert_frame_equal(answers, served, check_exact=True)

    stop(server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)  # which MLflow took away with its own setting
    with pytest.raises(SlipwayError, match="`slipway track` completes the record later"):
        track(Workspace(workspace.root))
