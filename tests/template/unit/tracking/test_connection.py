import os
import sqlite3

import pytest

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


def test_the_clients_settings_hold_while_it_is_connected_but_not_over_the_users_own(template, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    with connect(template.root):
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"
    assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ


def test_a_second_process_waits_and_then_says_why_it_gives_up(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "LOCK_SECONDS", 0)
    (tmp_path / "build").mkdir()
    other = sqlite3.connect(tmp_path / "build" / ".tracking.lock", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SlipwayError, match="another process records to MLflow"), connect(tmp_path):
        pass
    other.close()


def test_an_error_within_the_block_becomes_words_and_frees_the_lock(template):
    with pytest.raises(SlipwayError, match=r"(?s)MLflow at sqlite:.*disk full.*slipway track"), connect(template.root):
        raise OSError("disk full")
    with connect(template.root) as client:
        assert client.search_experiments()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ada:secret@host/x", "https://host/x"),
        ("postgresql://ada:secret@host/x", "postgresql://host/x"),
        ("https://host/x@y", "https://host/x@y"),
    ],
)
def test_passwords_are_not_shown(url, shown):
    assert without_password(url) == shown
