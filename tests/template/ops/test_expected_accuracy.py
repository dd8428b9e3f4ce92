"""Accuracy and roc_auc without labels: what they follow, and what they cannot see, in simulations with a known truth.

The formulas are the rules', as test_prometheus_psi.py shows.
"""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from slipway.evaluation.confidence import accuracy_by_confidence, positives_by_probability
from slipway.model.predictor import Predictions
from slipway.model.reference import CONFIDENCE_EDGES, POSITIVE_EDGES
from watched import expected_accuracy, expected_roc_auc

TESTED, LIVE, REPEATS = 300, 1000, 200


def predicted(features: np.ndarray, threshold: float) -> Predictions:
    """A model that is surer than it may be: its slope is half as steep again as the truth's."""
    chance = 1 / (1 + np.exp(-1.5 * features))
    return Predictions((chance >= threshold).astype(int), np.column_stack([1 - chance, chance]), (False, True))


def truth(random: np.random.Generator, features: np.ndarray, slope: float = 1.0) -> np.ndarray:
    return (random.random(len(features)) < 1 / (1 + np.exp(-slope * features))).astype(int)


def accuracy(test: tuple, live: Predictions, happened: np.ndarray) -> tuple[tuple[float, ...], float]:
    """The expected accuracy of live rows with the ends of its band, and the true one. test: predictions and truth."""
    bins = accuracy_by_confidence(test[1], test[0], np.arange(TESTED))
    counts = np.bincount(np.searchsorted(CONFIDENCE_EDGES, live.probabilities.max(axis=1)), minlength=len(bins))
    found = expected_accuracy(counts, *([one[key] for one in bins] for key in ("accuracy", "deviation")))
    return found, (live.values == happened).mean()


def roc_auc(test: tuple, live: Predictions, happened: np.ndarray) -> tuple[tuple[float, ...], float]:
    """The same of roc_auc."""
    bins = positives_by_probability(test[1], test[0], np.arange(TESTED))
    counts = np.bincount(np.searchsorted(POSITIVE_EDGES, live.probabilities[:, 1]), minlength=len(bins))
    found = expected_roc_auc(counts, *([one[key] for one in bins] for key in ("share", "deviation")))
    return found, roc_auc_score(happened, live.probabilities[:, 1])


def windows(score, features, slope: float = 1.0, threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Expected scores with the ends of their bands, and the true ones; each has its own test set and live rows.

    features: draws those of so many live rows. slope: of their truth; of the test set's it is 1.
    """
    random = np.random.default_rng(0)
    found, actual = [], []
    for _ in range(REPEATS):
        tested = random.normal(0, 3, TESTED)
        test = predicted(tested, threshold), truth(random, tested)
        rows = features(random, LIVE)
        expected, happened = score(test, predicted(rows, threshold), truth(random, rows, slope))
        found.append(expected)
        actual.append(happened)
    return np.array(found), np.array(actual)


def share_within(found: np.ndarray, actual: np.ndarray) -> float:
    return float(((found[:, 1] <= actual) & (actual <= found[:, 2])).mean())


@pytest.mark.parametrize("threshold", [0.5, 0.3])
@pytest.mark.parametrize(
    ("place", "spread"), [(0, 3), (0, 1), (1, 0.5), (4, 1)], ids=["as ever", "unsure", "odd", "sure"]
)
def test_a_shift_of_the_features_is_followed_within_the_band(place, spread, threshold):
    found, actual = windows(accuracy, lambda random, rows: random.normal(place, spread, rows), threshold=threshold)
    assert share_within(found, actual) > 0.9, (found.mean(axis=0), actual.mean())
    assert (found[:, 2] - found[:, 1]).mean() < 0.2  # and the band says something


@pytest.mark.parametrize(
    ("place", "spread", "width"), [(0, 3, 0.1), (0, 1, 0.2), (1, 0.5, 0.3)], ids=["as ever", "unsure", "odd"]
)
def test_a_shift_of_the_features_is_followed_by_the_expected_roc_auc(place, spread, width):
    found, actual = windows(roc_auc, lambda random, rows: random.normal(place, spread, rows))
    assert share_within(found, actual) > 0.9, (found.mean(axis=0), actual.mean())
    assert (found[:, 2] - found[:, 1]).mean() < width


def test_the_expected_roc_auc_of_few_negatives_says_that_it_knows_little():
    """Nearly all rows are positive with certainty: some thirty negatives decide, of whom the test set had as few."""
    found, actual = windows(roc_auc, lambda random, rows: random.normal(4, 1, rows))
    assert share_within(found, actual) > 0.9
    assert (found[:, 2] - found[:, 1]).mean() > 0.5


@pytest.mark.parametrize(("score", "worst"), [(accuracy, 0.25), (roc_auc, 0.1)])
def test_a_shift_of_the_concept_is_not_seen(score, worst):
    """The same features, and the opposite truth: nothing that the service sees has changed."""
    found, actual = windows(score, lambda random, rows: random.normal(0, 3, rows), slope=-1.0)
    before, _ = windows(score, lambda random, rows: random.normal(0, 3, rows))
    np.testing.assert_allclose(found, before)
    assert actual.mean() < worst
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


def test_a_bin_of_the_second_class_without_rows_has_the_share_that_its_probability_says():
    predictions = Predictions(np.ones(50, int), np.tile([0.003, 0.997], (50, 1)), (False, True))
    bins = {one["bin"]: one for one in positives_by_probability(np.ones(50, int), predictions, np.arange(50))}
    assert (bins["0.7 to 0.8"]["rows"], bins["0.7 to 0.8"]["share"]) == (0, pytest.approx(0.75))
    assert (bins["below 0.001"]["share"], bins["0.99 to 0.999"]["rows"]) == (pytest.approx(0.0005), 50)
    assert bins["0.7 to 0.8"]["deviation"] > 0.2 > 0.02 > bins["0.99 to 0.999"]["deviation"]


def test_without_probabilities_nothing_is_expected_and_no_roc_auc_of_three_classes():
    rows, classes = np.full(50, 2), ("a", "b", "c")
    for function in (accuracy_by_confidence, positives_by_probability):
        assert function(rows, Predictions(rows, None, classes), np.arange(50)) == []
    assert positives_by_probability(rows, Predictions(rows, np.full((50, 3), 1 / 3), classes), np.arange(50)) == []
