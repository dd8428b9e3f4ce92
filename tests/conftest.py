"""What holds for every run of the tests."""

import os
import sys
from pathlib import Path

import pytest

# Tests call slipway, dvc and others of this environment, also where it is not activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run in which a test was skipped: there, every tool that a test needs is installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("In CI a skipped test is a failure: see the reasons below.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
