"""What holds for every run of the tests."""

import os

import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run in which a test was skipped: there, every tool that a test needs is installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("In CI a skipped test is a failure: see the reasons below.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
