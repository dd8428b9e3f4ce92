"""Which bundle `slipway serve` serves, and that the champion of the last commit is fetched first."""

import os
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from slipway import cli


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Call the command without a server; what was done is in `did`."""
    did: list[str] = []
    for name in [name for name in os.environ if name.startswith("SLIPWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.setattr("slipway.champion.fetch_champion", lambda root: did.append("fetched"))
    monkeypatch.setattr("slipway.serving.server.bind", lambda settings: [Socket()])
    monkeypatch.setattr("slipway.serving.server.run", lambda settings, sockets: did.append(f"serves {settings.bundle}"))

    def call(*arguments: str):
        done = CliRunner().invoke(cli.main, ["--root", str(tmp_path), "serve", *arguments])
        assert done.exit_code == 0, done.output
        return did, done.output

    with patch.dict(os.environ):  # the command adds its settings
        yield call


class Socket:
    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 8000


def candidate(root: Path) -> Path:
    folder = root / "build/bundle"
    folder.mkdir(parents=True)
    return folder


def test_the_champion_of_the_last_commit_is_fetched_before_it_is_served(serve, tmp_path):
    candidate(tmp_path)
    (tmp_path / "champion.dvc").touch()
    assert serve()[0] == ["fetched", f"serves {tmp_path}/champion/bundle"]


def test_before_the_first_release_the_candidate_is_served_and_that_is_said(serve, tmp_path):
    folder = candidate(tmp_path)
    did, said = serve()
    assert did == [f"serves {folder}"]
    assert "No champion yet: this serves the candidate." in said


def test_a_bundle_that_is_named_is_served_and_nothing_is_fetched(serve, tmp_path):
    (tmp_path / "champion.dvc").touch()
    assert serve("--bundle", str(tmp_path / "other"))[0] == [f"serves {tmp_path}/other"]
