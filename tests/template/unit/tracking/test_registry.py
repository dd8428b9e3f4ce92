import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from plants import client_of, retrain, write_verdict
from slipway.model.bundle import BundleError, read_bundle
from slipway.problem import SlipwayError
from slipway.tracking import track, update_version
from slipway.workspace import Workspace

TESTS = Path(__file__).parents[2]


def runs(workspace) -> list:
    client = client_of(workspace)
    experiment = client.get_experiment_by_name("plants")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def versions(workspace) -> list[int]:
    return sorted(int(version.version) for version in client_of(workspace).search_model_versions("name = 'plants'"))


def models(workspace) -> list:
    client = client_of(workspace)
    return list(client.search_logged_models([client.get_experiment_by_name("plants").experiment_id]))


def aliases(workspace) -> dict[str, int]:
    found = client_of(workspace).get_registered_model("plants").aliases
    return {alias: int(version) for alias, version in found.items()}


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def retrained(workspace: Workspace, strength: float) -> str:
    """Train another candidate; its digest."""
    path = workspace.root / "params.yaml"
    path.write_text(path.read_text().replace("strength: 1.0", f"strength: {strength}"))
    return retrain(Workspace(workspace.root))


def test_a_candidate_becomes_one_run_and_one_version_called_challenger(tracked):
    workspace, done, _ = tracked
    assert done.version == "1"
    assert [(run.info.run_id, run.info.status) for run in runs(workspace)] == [(done.run_id, "FINISHED")]
    assert aliases(workspace) == {"challenger": 1}


def test_the_version_names_its_bundle_and_its_run(tracked):
    workspace, done, client = tracked
    version = client.get_model_version("plants", "1")
    bundle = read_bundle(workspace.bundle)
    assert version.run_id == done.run_id
    assert {k: version.tags[k] for k in ("slipway.digest", "slipway.version", "slipway.verdict")} == {
        "slipway.digest": bundle.digest,
        "slipway.version": bundle.version,
        "slipway.verdict": "PROMOTE",
    }


def test_recording_twice_changes_nothing_at_all(workspace):
    first = track(workspace)
    before = list(sqlite3.connect(workspace.root / "mlflow.db").iterdump()), contents(workspace.root / "mlartifacts")
    again = track(workspace)
    after = list(sqlite3.connect(workspace.root / "mlflow.db").iterdump()), contents(workspace.root / "mlartifacts")
    assert after == before
    assert again == first


def test_a_changed_verdict_replaces_the_old_one_in_the_same_run_and_version(workspace):
    done = track(workspace)
    write_verdict(workspace, read_bundle(workspace.bundle).digest, "HOLD")
    assert track(workspace).run_id == done.run_id
    client = client_of(workspace)
    assert client.get_run(done.run_id).data.tags["slipway.verdict"] == "HOLD"
    assert client.get_model_version("plants", "1").tags["slipway.verdict"] == "HOLD"
    stored = client.download_artifacts(done.run_id, "verdict.json")
    assert Path(stored).read_bytes() == workspace.verdict.read_bytes()
    assert (len(runs(workspace)), versions(workspace)) == (1, [1])


def test_where_it_was_recorded_is_left_for_the_decision(tracked):
    workspace, done, _ = tracked
    left = json.loads(workspace.tracked.read_bytes())
    assert left == {
        "candidate": read_bundle(workspace.bundle).digest,
        "run": done.run_id,
        "version": done.version,
    }


def test_a_new_candidate_is_a_new_version_and_takes_the_alias(workspace):
    track(workspace)
    retrained(workspace, 0.5)
    assert track(Workspace(workspace.root)).version == "2"
    assert (len(runs(workspace)), versions(workspace), aliases(workspace)) == (2, [1, 2], {"challenger": 2})


def test_an_earlier_candidate_is_recognized_again(workspace):
    first = track(workspace)
    build = workspace.root / "build"
    shutil.copytree(build, workspace.root / "old")
    retrained(workspace, 0.5)
    track(Workspace(workspace.root))
    shutil.rmtree(build)
    (workspace.root / "old").rename(build)
    assert track(workspace).run_id == first.run_id
    assert (versions(workspace), aliases(workspace)) == ([1, 2], {"challenger": 1})


STEPS = [
    "create_run",
    "log_batch",
    "log_artifact",
    "log_model_artifacts",
    "finalize_logged_model",
    "set_terminated",
    "create_model_version",
    "set_registered_model_alias",
]


@pytest.mark.parametrize("step", STEPS)
def test_a_call_killed_after_any_step_is_completed_by_the_next(workspace, monkeypatch, step):
    real = getattr(MlflowClient, step)

    def interrupted(*args, **kwargs):
        real(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            track(workspace)
    done = track(workspace)
    assert [(run.info.run_id, run.info.status) for run in runs(workspace)] == [(done.run_id, "FINISHED")]
    assert [str(model.status) for model in models(workspace)].count("READY") == 1
    assert (versions(workspace), aliases(workspace)) == ([1], {"challenger": 1})
    run = client_of(workspace).get_run(done.run_id)
    assert run.data.metrics["accuracy"] == run.data.metrics["accuracy_score"]
    assert run.data.tags["slipway.verdict"] == "PROMOTE"


def test_two_calls_at_once_make_one_version(workspace):
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(track, [workspace, Workspace(workspace.root)]))
    assert done[0] == done[1]
    assert (len(runs(workspace)), versions(workspace)) == (1, [1])


def test_of_two_machines_the_one_that_registers_first_wins(workspace, tmp_path, monkeypatch):
    other = Workspace(shutil.copytree(workspace.root, tmp_path / "other"))  # with a lock of its own
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace.root / 'mlflow.db'}")
    real, winner = MlflowClient.create_run, []

    def create_run(client, *args, **kwargs):
        made = real(client, *args, **kwargs)
        if not winner:  # we have looked, and found nothing; now the other machine does the same, and is faster
            winner.append(None)
            with monkeypatch.context() as patch:
                patch.setattr(MlflowClient, "search_runs", lambda *args, **kwargs: [])
                winner[0] = track(other)
        return made

    monkeypatch.setattr(MlflowClient, "create_run", create_run)
    loser = track(workspace)
    assert loser.run_id == winner[0].run_id
    assert ([run.info.run_id for run in runs(workspace)], versions(workspace)) == ([winner[0].run_id], [1])
    assert aliases(workspace) == {"challenger": 1}


def test_the_champion_is_moved_to_what_serves(workspace):
    first = read_bundle(workspace.bundle).digest
    track(workspace)
    second = retrained(workspace, 0.5)
    track(Workspace(workspace.root), released=first)
    assert aliases(workspace) == {"champion": 1, "challenger": 2}
    track(Workspace(workspace.root), released=second)
    assert aliases(workspace) == {"champion": 2, "challenger": 2}


def test_a_champion_that_was_never_recorded_leaves_the_alias(workspace):
    track(workspace, released="f" * 64)
    assert aliases(workspace) == {"challenger": 1}


def test_an_alias_is_moved_to_the_version_that_is_that_bundle(workspace):
    track(workspace)
    assert update_version(workspace, read_bundle(workspace.bundle).digest, alias="champion") == "1"
    assert aliases(workspace) == {"champion": 1, "challenger": 1}


def test_the_alias_stays_if_the_bundle_was_not_recorded(workspace):
    assert update_version(workspace, "f" * 64, alias="champion") is None
    track(workspace)
    assert update_version(workspace, "f" * 64, alias="champion") is None
    assert aliases(workspace) == {"challenger": 1}


@pytest.fixture
def closed_port(monkeypatch) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # pragma: allowlist nextline secret
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@127.0.0.1:{port}")
    return port


def test_a_server_that_is_down_is_named_and_the_candidate_stays(workspace, closed_port, capfd):
    before = contents(workspace.root)
    with pytest.raises(
        SlipwayError, match=f"MLflow at http://127.0.0.1:{closed_port}: (.|\n)*`slipway track`"
    ) as caught:
        track(workspace)
    assert "secret" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # the error says it all
    assert contents(workspace.root) == before
    with pytest.raises(SlipwayError, match="`slipway track`"):
        update_version(workspace, "f" * 64, alias="champion")


def test_a_server_that_was_down_gets_the_record_later(workspace, closed_port, monkeypatch):
    with pytest.raises(SlipwayError):
        track(workspace)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert track(workspace).version == "1"


def test_settings_of_the_user_and_the_tracking_uri_are_left_as_they_were(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    track(workspace)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert mlflow.active_run() is None


def test_without_a_candidate_there_is_nothing_to_record(workspace):
    shutil.rmtree(workspace.bundle)
    with pytest.raises(BundleError, match="no bundle is here"):
        track(workspace)
    assert runs(workspace) == []


def test_a_candidate_that_was_not_evaluated_is_not_recorded(workspace):
    (workspace.evaluation / "metrics.json").unlink()
    with pytest.raises(SlipwayError, match=r"metrics\.json: missing; .*slipway run"):
        track(workspace)
    assert runs(workspace) == []


def test_the_command_prints_one_line(workspace):
    (workspace.root / "mlflow.db").unlink()  # so that MLflow makes its database, of which it would tell
    done = subprocess.run(
        [sys.executable, "-c", "from slipway.cli import main; main()", "track"],
        cwd=workspace.root,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1), done
    assert "plants version 1" in done.stdout


def test_tags_are_set_on_the_version_that_is_that_bundle(workspace):
    done = track(workspace)
    digest = read_bundle(workspace.bundle).digest
    assert update_version(workspace, digest, tags={"slipway.live.retrain": "true"}) == done.version
    assert client_of(workspace).get_model_version("plants", "1").tags["slipway.live.retrain"] == "true"
    assert update_version(workspace, "f" * 64, tags={"slipway.live.retrain": "true"}) is None
