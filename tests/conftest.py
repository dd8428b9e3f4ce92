"""Fixtures that many tests need."""

import os
from pathlib import Path

import pytest

from checkouts import copy_checkout, make_release
from flowers import flower_problem, flowers
from slipway.problem import Problem
from slipway.workspace import Workspace


@pytest.fixture
def problem() -> Problem:
    return flower_problem()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of `problem`."""
    folder = tmp_path / "data"
    folder.mkdir()
    flowers().to_csv(folder / "flowers.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def original(tmp_path_factory) -> Workspace:
    """A checkout of the project whose first model was released; only for copying and reading."""
    return make_release(tmp_path_factory.mktemp("original") / "checkout")


@pytest.fixture
def released(original: Workspace, tmp_path: Path) -> Workspace:
    """A copy of `original` for a test to break."""
    return copy_checkout(original, tmp_path / "checkout")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run in which a test was skipped: there, every tool that a test needs is installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("In CI a skipped test is a failure: see the reasons below.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
