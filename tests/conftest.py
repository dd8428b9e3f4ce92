"""Fixtures that many tests need."""

from pathlib import Path

import pytest

from flowers import flower_problem, flowers
from slipway.problem import Problem


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
