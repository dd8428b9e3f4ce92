"""How the model must behave, whatever its score (Ribeiro et al. 2020, "Beyond Accuracy": CheckList).

Invariance: what must not matter does not. Direction: what must matter does, in the right direction.
Minimum functionality: cases so clear that a wrong answer means the model is broken.
"""

import numpy as np
import pytest

TYPICAL = {
    # The middle of each species in Gorman, Williams and Fraser (2014).
    "Adelie": {"island": "Torgersen", "bill_length_mm": 38.8, "bill_depth_mm": 18.4, "flipper_length_mm": 190.0,
               "body_mass_g": 3700.0, "sex": "female"},
    "Chinstrap": {"island": "Dream", "bill_length_mm": 48.8, "bill_depth_mm": 18.4, "flipper_length_mm": 196.0,
                  "body_mass_g": 3733.0, "sex": "female"},
    "Gentoo": {"island": "Biscoe", "bill_length_mm": 47.5, "bill_depth_mm": 15.0, "flipper_length_mm": 217.0,
               "body_mass_g": 5076.0, "sex": "male"},
}  # fmt: skip


@pytest.mark.parametrize("species", TYPICAL)
def test_minimum_functionality_a_typical_bird_is_recognized(model, species):
    assert model.predict([TYPICAL[species]]).labels == [species]


@pytest.mark.parametrize("species", TYPICAL)
def test_invariance_an_unknown_sex_does_not_change_a_typical_birds_species(model, species):
    answers = model.predict([{**TYPICAL[species], "sex": sex} for sex in ("female", "male", None)]).labels
    assert answers == [species] * 3


def test_invariance_the_scales_rounding_does_not_matter(model, test_rows):
    heavier = test_rows.assign(body_mass_g=test_rows["body_mass_g"] + 12.5)  # birds were weighed to 25 g
    same = np.array(model.predict(test_rows).labels) == np.array(model.predict(heavier).labels)
    assert same.mean() >= 0.98


@pytest.mark.parametrize(
    ("species", "feature", "step"),
    [
        ("Chinstrap", "bill_length_mm", 6.0),  # of the two alike on Dream, the Chinstrap's bill is the longer
        ("Gentoo", "bill_depth_mm", -3.0),  # the Gentoo's bill is flat
        ("Gentoo", "flipper_length_mm", 15.0),  # the Gentoo is the large one
    ],
)
def test_direction_a_feature_of_a_species_makes_it_more_likely(model, test_rows, species, feature, step):
    column = model.classes.index(species)
    before = model.predict(test_rows).probabilities[:, column].mean()
    after = model.predict(test_rows.assign(**{feature: test_rows[feature] + step})).probabilities[:, column].mean()
    assert after > before + 0.02
