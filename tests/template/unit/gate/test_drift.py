import numpy as np
import pytest

from flowers import Flower, Specimen, flowers
from slipway.contract import Contract
from slipway.evaluation.drift import drift
from slipway.model import reference

COLUMNS = Contract.from_model(Specimen)
CONTRACT = Contract.from_model(Flower)


def described(rows: int, seed: int = 0) -> dict:
    table = flowers(rows, seed)
    target = Contract("Target", (COLUMNS["kind"],))
    return {
        "groups": rows,
        "features": reference.describe(CONTRACT, CONTRACT.arrays(table)),
        "target": reference.describe(target, target.arrays(table))["kind"],
    }


def drifts(before: dict, table) -> list:
    arrays = COLUMNS.arrays(table)
    return [drift(before, COLUMNS[name], arrays[name], len(table), 7) for name in (*CONTRACT.names, "kind")]


@pytest.mark.parametrize("rows", [30, 100, 1000])
def test_other_rows_of_the_same_distribution_have_not_moved(rows):
    for seed in range(1, 21):
        found = drifts(described(rows, seed=100 + seed), flowers(rows, seed))
        assert [one for one in found if one.psi > one.limit] == []


@pytest.mark.parametrize("rows", [200, 1000])
def test_another_unit_in_a_third_of_the_rows_is_a_move(rows):
    table = flowers(rows, seed=1)
    table.loc[: rows // 3, "height"] /= 2.54
    assert [one.name for one in drifts(described(rows), table) if one.psi > one.limit] == ["height"]


def test_a_class_that_became_rare_is_a_move_of_the_target():
    table = flowers(400, seed=1)
    table = table[(table["kind"] == "iris") | (np.arange(400) % 8 == 0)]
    assert "kind" in [one.name for one in drifts(described(400), table) if one.psi > one.limit]


def test_a_small_move_of_very_many_rows_is_none():
    table = flowers(20_000, seed=1)
    moved = drifts(described(20_000), table.assign(height=table["height"] + 1))
    assert [one for one in moved if one.psi > one.limit] == []


def test_few_groups_allow_more_than_many_rows_would():
    table = flowers(200, seed=1)
    values = COLUMNS.arrays(table)["height"]
    few, many = (drift(described(200), COLUMNS["height"], values, groups, 7).limit for groups in (20, 200))
    assert few > many


def with_shares(*shares: float) -> dict:
    """A reference of 20 groups with these shares of blue, red and white; no row was missing or of another colour."""
    before = described(100) | {"groups": 20}
    before["features"]["colour"]["shares"] = [*shares, 0.0, 0.0]
    return before


@pytest.mark.parametrize(
    ("shares", "quantile"),
    [
        ((0.5, 0.5, 0.0), 6.6349),  # 0.99 of chi-squared with 1 degree of freedom: a bin that was empty is none
        ((0.25, 0.25, 0.5), 9.2103),  # with 2
        ((1.0, 0.0, 0.0), 6.6349),  # at least 1
    ],
)
def test_the_limit_is_what_sampling_error_explains(shares, quantile):
    found = drift(with_shares(*shares), COLUMNS["colour"], COLUMNS.arrays(flowers(40))["colour"], 40, 1)
    assert found.limit == pytest.approx(quantile * (1 / 20 + 1 / 40), rel=1e-4)


def test_a_bin_that_is_empty_counts_as_half_a_group():
    values = np.array(["red", "white"] * 20, dtype=object)
    found = drift(with_shares(0.5, 0.5, 0.0), COLUMNS["colour"], values, 40, 1)
    # Half of the rows left one bin and came into another; half of one of 20 groups is 0.025.
    assert found.psi == pytest.approx(2 * (0.5 - 0.025) * np.log(0.5 / 0.025))
