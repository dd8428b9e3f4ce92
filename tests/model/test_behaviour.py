"""How the model must behave, whatever its score (Ribeiro et al. 2020, "Beyond Accuracy": CheckList).

Invariance: what must not matter does not. Direction: what must matter does, in the right direction.
Minimum functionality: cases so clear that a wrong answer means the model is broken.
"""

import numpy as np
import pytest

# The mean female and male of each species in Gorman, Williams and Fraser (2014).
TYPICAL = {
    ("Adelie", "female"): (37.3, 17.6, 188.0, 3370.0),
    ("Adelie", "male"): (40.4, 19.1, 192.0, 4040.0),
    ("Chinstrap", "female"): (46.6, 17.6, 192.0, 3530.0),
    ("Chinstrap", "male"): (51.1, 19.3, 200.0, 3940.0),
    ("Gentoo", "female"): (45.6, 14.2, 213.0, 4680.0),
    ("Gentoo", "male"): (49.5, 15.7, 222.0, 5480.0),
}
MEASURES = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
ISLANDS = ("Biscoe", "Dream", "Torgersen", None)
SPECIES = ("Adelie", "Chinstrap", "Gentoo")


def bird(species, sex, island="Dream"):
    return {"species": species, "island": island, **dict(zip(MEASURES, TYPICAL[species, sex], strict=True))}


def male(model, rows):
    """The probability of each row to be a male; shape (rows,)."""
    return model.predict(rows).probabilities[:, model.classes.index("male")]


@pytest.mark.parametrize(("species", "sex"), TYPICAL)
def test_minimum_functionality_a_typical_bird_is_recognized(model, species, sex):
    assert model.predict([bird(species, sex)]).labels == [sex]


@pytest.mark.parametrize(("species", "sex"), TYPICAL)
def test_invariance_the_island_does_not_change_a_typical_birds_sex_nor_does_an_unknown_one(model, species, sex):
    assert model.predict([bird(species, sex, island) for island in ISLANDS]).labels == [sex] * len(ISLANDS)


def test_invariance_the_scales_rounding_does_not_matter(model, test):
    heavier = test.assign(body_mass_g=test["body_mass_g"] + 12.5)  # birds were weighed to 25 g
    same = np.array(model.predict(test).labels) == np.array(model.predict(heavier).labels)
    assert same.mean() >= 0.95


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize(("measure", "step"), [("body_mass_g", 400.0), ("bill_length_mm", 3.0), ("bill_depth_mm", 1.0)])
def test_direction_within_a_species_a_larger_bird_is_more_likely_a_male(model, test, species, measure, step):
    birds = test[test["species"] == species]
    larger = birds.assign(**{measure: birds[measure] + step})
    assert male(model, larger).mean() > male(model, birds).mean() + 0.02


def test_direction_a_bird_of_the_same_size_is_more_likely_a_male_in_a_smaller_species(model, test):
    as_gentoo, as_adelie = (male(model, test.assign(species=species)).mean() for species in ("Gentoo", "Adelie"))
    assert as_adelie > as_gentoo + 0.05
