"""Accuracy without labels: what it follows, and what it cannot see, in simulations with a known truth.

The formula is the rules', as test_prometheus_psi.py shows.
"""

import numpy as np
import pytest

from slipway.evaluation.confidence import accuracy_by_confidence
from slipway.model.predictor import Predictions
from slipway.model.reference import CONFIDENCE_EDGES
from watched import expected_accuracy

TESTED, LIVE, REPEATS = 300, 1000, 200


def predicted(features: np.ndarray, threshold: float) -> Predictions:
    """A model that is surer than it may be: its slope is half as steep again as the truth's."""
    chance = 1 / (1 + np.exp(-1.5 * features))
    return Predictions((chance >= threshold).astype(int), np.column_stack([1 - chance, chance]), (False, True))


def truth(random: np.random.Generator, features: np.ndarray, slope: float = 1.0) -> np.ndarray:
    return (random.random(len(features)) < 1 / (1 + np.exp(-slope * features))).astype(int)


def windows(features, slope: float = 1.0, threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Expected accuracies with the ends of their bands, and the true ones; each has its own test set and live rows.

    features: draws those of so many live rows. slope: of their truth; of the test set's it is 1.
    """
    random = np.random.default_rng(0)
    found, actual = [], []
    for _ in range(REPEATS):
        tested = random.normal(0, 3, TESTED)
        test = predicted(tested, threshold), truth(random, tested)
        bins = accuracy_by_confidence(test[1], test[0], np.arange(TESTED))
        rows = features(random, LIVE)
        live, happened = predicted(rows, threshold), truth(random, rows, slope)
        counts = np.bincount(np.searchsorted(CONFIDENCE_EDGES, live.probabilities.max(axis=1)), minlength=len(bins))
        found.append(expected_accuracy(counts, *([one[key] for one in bins] for key in ("accuracy", "deviation"))))
        actual.append((live.values == happened).mean())
    return np.array(found), np.array(actual)


def share_within(found: np.ndarray, actual: np.ndarray) -> float:
    return float(((found[:, 1] <= actual) & (actual <= found[:, 2])).mean())


@pytest.mark.parametrize("threshold", [0.5, 0.3])
@pytest.mark.parametrize(
    ("place", "spread"), [(0, 3), (0, 1), (1, 0.5), (4, 1)], ids=["as ever", "unsure", "odd", "sure"]
)
def test_a_shift_of_the_features_is_followed_within_the_band(place, spread, threshold):
    found, actual = windows(lambda random, rows: random.normal(place, spread, rows), threshold=threshold)
    assert share_within(found, actual) > 0.9, (found.mean(axis=0), actual.mean())
    assert (found[:, 2] - found[:, 1]).mean() < 0.2  # and the band says something


def test_a_shift_of_the_concept_is_not_seen():
    """The same features, and the opposite truth: nothing that the service sees has changed."""
    found, actual = windows(lambda random, rows: random.normal(0, 3, rows), slope=-1.0)
    before, _ = windows(lambda random, rows: random.normal(0, 3, rows))
    np.testing.assert_allclose(found, before)
    assert actual.mean() < 0.25
    assert share_within(found, actual) == 0


def test_rows_of_one_group_make_the_accuracy_no_surer():
    random = np.random.default_rng(0)
    features = random.normal(0, 3, 100)
    predictions, happened = predicted(features, 0.5), truth(random, features)
    repeated = Predictions(np.tile(predictions.values, 5), np.tile(predictions.probabilities, (5, 1)), (False, True))
    one = accuracy_by_confidence(happened, predictions, np.arange(100))
    five = accuracy_by_confidence(np.tile(happened, 5), repeated, np.tile(np.arange(100), 5))
    assert [bin["rows"] * 5 for bin in one] == [bin["rows"] for bin in five]
    assert [bin["deviation"] for bin in one] == pytest.approx([bin["deviation"] for bin in five])


def test_a_bin_without_rows_is_as_right_as_it_is_sure_and_says_that_it_knows_little():
    sure = np.full((50, 3), 0.001) + np.array([0, 0, 0.997])
    predictions = Predictions(np.full(50, 2), sure, ("a", "b", "c"))
    bins = {one["bin"]: one for one in accuracy_by_confidence(np.full(50, 2), predictions, np.arange(50))}
    assert (bins["0.7 to 0.8"]["rows"], bins["0.7 to 0.8"]["accuracy"]) == (0, pytest.approx(0.75))
    assert bins["0.7 to 0.8"]["deviation"] > 0.2
    assert bins["0.99 and above"]["deviation"] < 0.02
    assert (
        accuracy_by_confidence(np.full(50, 2), Predictions(np.full(50, 2), None, ("a", "b", "c")), np.arange(50)) == []
    )
