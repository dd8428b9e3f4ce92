"""A released checkout, copied for each test, so that each breaks its own."""

from pathlib import Path

import pytest

from checkouts import copy_checkout, make_release
from slipway.champion import BUNDLE, read_decision
from slipway.predictor import Predictor
from slipway.workspace import Workspace


@pytest.fixture(scope="session")
def original(tmp_path_factory) -> Workspace:
    return make_release(tmp_path_factory.mktemp("original") / "checkout")


@pytest.fixture
def released(original: Workspace, tmp_path: Path):
    """A checkout whose champion must still serve when the test is over."""
    workspace = copy_checkout(original, tmp_path / "checkout")
    yield workspace
    decision = read_decision(workspace.root)
    assert decision == read_decision(original.root)
    Predictor.load(workspace.champion / BUNDLE, expected=decision.digest)
