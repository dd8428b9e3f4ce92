"""Everyday traffic is what the model was trained for, drifted traffic is not, and both are what the service takes."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from pydantic import ValidationError

from ops.engine import ROOT
from serving.bundles import Flower, flowers
from slipway.contract import Contract
from slipway.model.reference import Bins, shares

REQUESTS = 600


@pytest.fixture(scope="module")
def traffic():
    spec = importlib.util.spec_from_file_location("traffic", ROOT / "monitoring/traffic.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def contract():
    return Contract.from_model(Flower)


@pytest.fixture
def source(traffic, contract):
    arrays = flowers()
    return traffic.Source(contract, arrays, [row["site"] for row in contract.rows(arrays)], seed=0)


def stability(contract, rows, name):
    """The population stability index of a column against the rows that the traffic was made from."""
    column, reference = contract[name], flowers()[name]
    bins = Bins.of(column, reference)
    live, then = (np.maximum(shares(bins.count(values)), 1e-4) for values in (contract.arrays(rows)[name], reference))
    return float(((live - then) * np.log(live / then)).sum())


def accepted(row):
    try:
        Flower.model_validate(row, strict=True)
    except ValidationError:
        return False
    return True


def test_everyday_rows_are_the_projects_own_with_their_truths(source, contract):
    drawn = [source.everyday() for _ in range(REQUESTS)]
    rows = [row for part, _ in drawn for row in part]
    assert all(row["site"] == truth for part, truths in drawn for row, truth in zip(part, truths, strict=True))
    assert all(map(accepted, rows))
    assert all(stability(contract, rows, name) < 0.1 for name in contract.names)


def test_drifted_rows_have_drifted_and_are_allowed_but_for_a_few(source, contract):
    rows = [row for _ in range(REQUESTS) for row in source.drifted()[0]]
    taken = [row for row in rows if accepted(row)]
    assert all(stability(contract, taken, name) > 0.2 for name in ("height", "leaves", "site"))
    assert 0 < len(rows) - len(taken) < 0.1 * len(rows)
    assert any(row["site"] == "never heard of" for row in rows)
    assert any(row["height"] > 10 for row in rows)


def test_it_ends_in_time_though_the_service_is_slow(traffic, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(traffic.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(traffic.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    beats = 0
    for _ in traffic._beats(10, rate=5):
        beats += 1
        now[0] += 1  # one request a second is all that the service answers
    assert beats <= 11
    assert now[0] <= 12
