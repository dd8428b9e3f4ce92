import os
import sqlite3

import pytest
from filelock import FileLock

from slipway.problem import SlipwayError
from slipway.tracking import connection
from slipway.tracking.connection import artifact_location, connect, tracking_uri, without_password


def test_by_default_all_is_in_the_workspace(tmp_path):
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert artifact_location(tmp_path) == f"file://{tmp_path}/mlartifacts"


@pytest.mark.parametrize("uri", ["http://mlflow:5000", "https://mlflow.example.org", "databricks"])
def test_a_server_has_its_own_place_for_files(tmp_path, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert (tracking_uri(tmp_path), artifact_location(tmp_path)) == (uri, None)


def test_a_setting_of_the_user_holds_over_ours(template, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    with connect(template.root):
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"


def test_a_second_process_waits_and_then_says_why_it_gives_up(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "LOCK_SECONDS", 0)
    (tmp_path / "build").mkdir()
    with (
        FileLock(tmp_path / "build" / ".tracking.lock"),
        pytest.raises(SlipwayError, match=r"tracking.lock.*could not be acquired"),
        connect(tmp_path),
    ):
        pass


def test_a_database_of_another_version_of_mlflow_is_named_with_both_ways_out(workspace):
    with sqlite3.connect(workspace.root / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    words = r"(?s)mlflow db upgrade.*make setup.*MLFLOW_TRACKING_URI"
    with pytest.raises(SlipwayError, match=words), connect(workspace.root) as client:
        client.search_experiments()


def test_an_error_within_the_block_becomes_words_and_frees_the_lock(template):
    with pytest.raises(SlipwayError, match=r"(?s)MLflow at sqlite:.*disk full.*slipway track"), connect(template.root):
        raise OSError("disk full")
    with connect(template.root) as client:
        assert client.search_experiments()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        # pragma: allowlist nextline secret
        ("https://ada:secret@host/x", "https://host/x"),
        # pragma: allowlist nextline secret
        ("postgresql://ada:secret@host/x", "postgresql://host/x"),
        ("https://host/x@y", "https://host/x@y"),
    ],
)
def test_passwords_are_not_shown(url, shown):
    assert without_password(url) == shown
