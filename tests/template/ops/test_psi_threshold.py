"""The threshold of drift, which knows the sample size: how often chance alone passes it, in simulations."""

import numpy as np
import pytest

from slipway.model.reference import population_stability_index
from watched import number, psi_threshold


@pytest.mark.parametrize(("bins", "rows"), [(2, 200), (3, 1000), (5, 300), (11, 200), (11, 5000)])
def test_chance_alone_stays_under_the_threshold_without_its_base(bins, rows):
    """In simulated windows without drift, PSI is over the chance part of the threshold about once in a thousand."""
    random = np.random.default_rng(bins * rows)
    trained, repeats = 250, 20_000
    truth = np.arange(1, bins + 1) + bins
    truth = truth / truth.sum()
    expected = random.multinomial(trained, truth, repeats) / trained
    actual = random.multinomial(rows, truth, repeats) / rows
    psi = np.array([population_stability_index(e, a) for e, a in zip(expected, actual, strict=True)])
    chance = psi_threshold(bins, rows, trained) - number("slipway:psi:base")
    assert 0.0002 < (psi > chance).mean() < 0.004
    assert psi.mean() == pytest.approx((bins - 1) * (1 / rows + 1 / trained), rel=0.08)


def test_bins_that_training_rows_left_empty_raise_no_alarm():
    """A rare value that 250 training rows happened not to have costs little beside the base."""
    random = np.random.default_rng(0)
    truth = np.array([0.6, 0.39, 0.01])
    expected = random.multinomial(250, truth, 5000) / 250
    for rows in (200, 1000, 50_000):
        actual = random.multinomial(rows, truth, 5000) / rows
        psi = np.array([population_stability_index(e, a) for e, a in zip(expected, actual, strict=True)])
        assert (psi > psi_threshold(3, rows, 250)).mean() < 0.001


def test_the_chance_part_is_the_chi_square_quantile():
    from scipy.stats import chi2

    for bins in range(2, 40):
        chance = psi_threshold(bins, 2, 2) - number("slipway:psi:base")
        assert chance == pytest.approx(chi2.ppf(0.999, bins - 1), rel=0.035)
