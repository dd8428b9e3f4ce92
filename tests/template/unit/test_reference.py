import numpy as np
import pytest

from flowers import Flower, flowers
from slipway.contract import Contract
from slipway.model import reference
from slipway.model.reference import Bins

CONTRACT = Contract.from_model(Flower)


@pytest.fixture(scope="module")
def arrays():
    return CONTRACT.arrays(flowers(1000))


def test_numbers_are_binned_by_the_training_rows_quantiles(arrays):
    bins = Bins.of(CONTRACT["height"], arrays["height"])
    counts = bins.count(arrays["height"])
    assert len(bins.labels) == 11  # ten and missing
    assert counts.sum() == 1000
    assert counts[-1] == 0
    assert counts[:-1].min() > 80


def test_a_value_on_an_edge_belongs_to_the_bin_above():
    bins = Bins.between("x", (1.0, 2.0))
    assert bins.labels == ("below 1", "1 to 2", "2 and above", "missing")
    assert bins.count(np.array([0.5, 1.0, 1.9, 2.0, 9.0, np.nan])).tolist() == [1, 2, 2, 1]


def test_categories_are_counted_by_name_and_unseen_and_missing_ones_apart():
    bins = Bins.of(CONTRACT["bed"], np.array([], dtype=object))
    values = np.array(["north", "north", "south", "roof", ""], dtype=object)
    assert dict(zip(bins.labels, bins.count(values).tolist(), strict=True)) == {
        "north": 2,
        "south": 1,
        "other": 1,
        "missing": 1,
    }


def test_booleans_have_a_bin_for_each_value():
    bins = Bins.of(CONTRACT["scented"], np.array([0.0, 1.0]))
    assert bins.count(np.array([0.0, 1.0, 1.0, np.nan])).tolist() == [1, 2, 1]


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [7.0, 7.0, 7.0]])
def test_a_column_without_spread_still_has_bins_that_take_every_value(values):
    bins = Bins.of(CONTRACT["height"], np.array(values, dtype=float))
    assert bins.count(np.array([1.0, 7.0, np.nan])).sum() == 3


def test_the_reference_has_each_feature_and_shares_that_sum_to_one(arrays):
    described = reference.describe(CONTRACT, arrays)
    assert list(described) == list(CONTRACT.names)
    for feature in described.values():
        assert sum(feature["shares"]) == pytest.approx(1)
        assert len(feature["shares"]) == len(feature["labels"])


def test_bins_are_read_back_from_the_reference(arrays):
    bins = reference.bins_of({"features": reference.describe(CONTRACT, arrays)})
    for column in CONTRACT.columns:
        assert bins[column.name] == Bins.of(column, arrays[column.name])


def test_the_stability_index_is_nothing_for_equal_shares_and_known_for_a_shift():
    even = np.full(4, 0.25)
    assert reference.population_stability_index(even, even) == 0
    moved = np.array([0.4, 0.25, 0.25, 0.1])
    expected = 0.15 * np.log(1.6) - 0.15 * np.log(0.4)
    assert reference.population_stability_index(even, moved) == pytest.approx(expected)


def test_an_empty_bin_does_not_make_the_stability_index_infinite():
    assert np.isfinite(reference.population_stability_index(np.array([1.0, 0.0]), np.array([0.0, 1.0])))
