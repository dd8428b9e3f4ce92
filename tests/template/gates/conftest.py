"""Whatever a gate refuses, the champion still serves."""

import pytest

from slipway.champion import BUNDLE, read_decision
from slipway.model.predictor import Predictor
from slipway.workspace import Workspace


@pytest.fixture(autouse=True)
def the_champion_still_serves(original: Workspace, released: Workspace):
    yield
    decision = read_decision(released.root)
    assert decision == read_decision(original.root)
    Predictor.load(released.champion / BUNDLE, expected=decision.digest)
