"""How the model must behave, whatever its score."""

import pytest

HOUSE = {"area": 120.0, "rooms": 4, "district": "south", "built": 1965}


def prices(model, *changes):
    return model.predict([{**HOUSE, **change} for change in changes]).values


def test_minimum_functionality_a_usual_house_costs_about_what_such_houses_cost(model):
    assert prices(model, {}) == pytest.approx([450_000], rel=0.1)


def test_invariance_an_unknown_year_does_not_change_the_price_of_a_house_of_the_middle_years(model):
    known, unknown = prices(model, {"built": 1960}, {"built": None})
    assert unknown == pytest.approx(known, rel=0.03)


@pytest.mark.parametrize("more", [{"area": 150.0}, {"rooms": 5}, {"district": "old town"}, {"built": 1995}])
def test_direction_what_is_worth_more_costs_more(model, more):
    less, price = prices(model, {}, more)
    assert price > less
