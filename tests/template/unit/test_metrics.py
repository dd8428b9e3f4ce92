from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from flowers import Specimen
from slipway.contract import Contract, Target
from slipway.evaluation import intervals, metrics
from slipway.evaluation.intervals import Bootstrap
from slipway.model.predictor import Predictions
from slipway.problem import SlipwayError

COLUMNS = Contract.from_model(Specimen)
COLOUR, HEIGHT = Target.of(COLUMNS["colour"]), Target.of(COLUMNS["height"])
SCENTED = Target.of(COLUMNS["scented"])
BOOTSTRAP = Bootstrap(samples=400, confidence=0.95)


def classified(rows: int, seed: int = 0, skill: float = 2.0):
    """Make true classes, and predictions that are right as often as `skill` makes them."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    logits = rng.normal(size=(rows, 3)) + skill * np.eye(3)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return truth, Predictions(probabilities.argmax(axis=1), probabilities, COLOUR.classes)


def regressed(rows: int, seed: int = 0, noise: float = 1.0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(50, 5, rows)
    return truth, Predictions(truth + rng.normal(0, noise, rows), None, ())


def alone(truth):
    return np.arange(len(truth))


def point(target, truth, predictions):
    table = metrics.statistics(target, truth, predictions, alone(truth))
    return {name: float(value) for name, value in metrics.scores(target, table.sum(axis=0)).items()}


def test_scores_of_a_classification_are_those_of_scikit_learn():
    truth, predictions = classified(500)
    found, predicted = point(COLOUR, truth, predictions), predictions.values
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(truth, predicted, average="macro"))
    assert found["log_loss"] == pytest.approx(sklearn_metrics.log_loss(truth, predictions.probabilities))
    recall = sklearn_metrics.recall_score(truth, predicted, average=None)
    precision = sklearn_metrics.precision_score(truth, predicted, average=None)
    assert [found[f"recall.{c}"] for c in COLOUR.classes] == pytest.approx(list(recall))
    assert [found[f"precision.{c}"] for c in COLOUR.classes] == pytest.approx(list(precision))
    f1 = sklearn_metrics.f1_score(truth, predicted, average=None)
    assert [found[f"f1.{c}"] for c in COLOUR.classes] == pytest.approx(list(f1))
    assert found["balanced_accuracy"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(truth, predicted))
    assert found["brier"] == pytest.approx(sklearn_metrics.brier_score_loss(truth, predictions.probabilities))


@pytest.mark.parametrize(("rows", "error"), [(200, 1e-12), (20_000, 2e-3)])
def test_ranked_scores_of_two_classes_are_those_of_scikit_learn(rows, error):
    truth, predictions = balanced(rows)
    positive = predictions.probabilities[:, 1].round(2 if rows == 200 else 9)  # with ties
    both = Predictions(predictions.values, np.stack([1 - positive, positive], axis=1), (False, True))
    found = point(SCENTED, truth, both)
    assert found["roc_auc"] == pytest.approx(sklearn_metrics.roc_auc_score(truth, positive), abs=error)
    expected = sklearn_metrics.average_precision_score(truth, positive)
    assert found["average_precision"] == pytest.approx(expected, abs=error)
    assert found["brier"] == pytest.approx(sklearn_metrics.brier_score_loss(truth, positive))


def test_ranked_scores_count_a_row_as_often_as_its_group_was_drawn():
    truth, predictions = balanced(60)
    table = metrics.statistics(SCENTED, truth, predictions, alone(truth))
    drawn = np.random.default_rng(1).integers(0, 4, 60)
    found = metrics.scores(SCENTED, drawn @ table)["roc_auc"]
    positive = predictions.probabilities[:, 1]
    assert found == pytest.approx(sklearn_metrics.roc_auc_score(truth, positive, sample_weight=drawn))


def test_scores_of_a_regression_are_those_of_scikit_learn():
    truth, predictions = regressed(300)
    found = point(HEIGHT, truth, predictions)
    assert found["r2"] == pytest.approx(sklearn_metrics.r2_score(truth, predictions.values))
    assert found["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(truth, predictions.values))
    mape = sklearn_metrics.mean_absolute_percentage_error(truth, predictions.values)
    assert found["mape"] == pytest.approx(mape)
    assert found["rmse"] == pytest.approx(sklearn_metrics.root_mean_squared_error(truth, predictions.values))


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9])
def test_the_pinball_loss_is_scikit_learns_and_only_where_it_is_asked_for(quantile):
    truth, predictions = regressed(300, noise=3)
    name = f"pinball.{quantile}"
    target = replace(HEIGHT, metrics=(name,))
    expected = sklearn_metrics.mean_pinball_loss(truth, predictions.values, alpha=quantile)
    assert point(target, truth, predictions)[name] == pytest.approx(expected)
    assert name not in point(HEIGHT, truth, predictions)


def test_the_pinball_loss_has_intervals_is_compared_and_less_of_it_is_better():
    target = replace(HEIGHT, metrics=("pinball.0.9",))
    truth, good = regressed(200, noise=1)
    low = Predictions(good.values - 5, None, ())
    tables = [metrics.statistics(target, truth, one, alone(truth)) for one in (good, low)]
    score = intervals.evaluate(target, tables[0], BOOTSTRAP)["pinball.0.9"]
    assert score.low < score.value < score.high
    assert intervals.compare(target, *tables, BOOTSTRAP)["pinball.0.9"].high < 0
    assert metrics.lower_is_better("pinball.0.9")
    assert "pinball.0.9" in metrics.names(target)
    assert "pinball.0.9" in metrics.headlines(target)


def test_the_names_of_scores_are_those_that_are_computed():
    assert set(point(COLOUR, *classified(50))) == set(metrics.names(COLOUR))
    assert set(point(HEIGHT, *regressed(50))) == set(metrics.names(HEIGHT))
    assert set(point(SCENTED, *balanced(50))) == set(metrics.names(SCENTED))


def test_calibration_error_is_the_mean_gap_between_each_classs_probability_and_its_share():
    probabilities = np.array([[0.9, 0.1, 0.0]] * 10)
    predictions = Predictions(np.zeros(10, dtype=int), probabilities, COLOUR.classes)
    truth = np.array([0] * 6 + [1] * 4)  # 0.9 for a share of 0.6, 0.1 for 0.4, 0 for 0
    assert point(COLOUR, truth, predictions)["calibration_error"] == pytest.approx((0.3 + 0.3 + 0) / 3)


def balanced(rows: int = 4000, share: float = 0.15):
    """A rare class whose probability is given as if it were as frequent as the other."""
    rng = np.random.default_rng(0)
    truth = (rng.random(rows) < share).astype(int)
    signal = rng.normal(truth, 1)
    odds = np.exp(signal - 0.5)
    positive = odds / (1 + odds)
    return truth, Predictions((positive > 0.5).astype(int), np.stack([1 - positive, positive], axis=1), (False, True))


SCENTED = Target.of(COLUMNS["scented"])


def test_probabilities_that_ignore_how_rare_a_class_is_have_a_large_calibration_error():
    truth, predictions = balanced()
    assert point(SCENTED, truth, predictions)["calibration_error"] > 0.2


def test_the_constant_prediction_is_the_base_rate_or_the_mean():
    truth, _ = balanced()
    best = metrics.constant(SCENTED, truth)
    assert set(best.values) == {0}
    entropy = -np.log(truth.mean()) * truth.mean() - np.log(1 - truth.mean()) * (1 - truth.mean())
    assert point(SCENTED, truth, best)["log_loss"] == pytest.approx(entropy)
    truth, _ = regressed(100)
    assert point(HEIGHT, truth, metrics.constant(HEIGHT, truth))["r2"] == pytest.approx(0, abs=1e-9)


def test_a_model_without_probabilities_has_the_scores_that_need_none():
    truth, predictions = classified(100)
    found = point(COLOUR, truth, Predictions(predictions.values, None, COLOUR.classes))
    assert "accuracy" in found
    assert not {"log_loss", "calibration_error"} & set(found)


def test_a_class_that_does_not_occur_has_no_recall_and_does_not_count_in_macro_f1():
    truth = np.array([0, 0, 1, 1])
    predictions = Predictions(np.array([0, 0, 1, 0]), None, COLOUR.classes)
    table = metrics.statistics(COLOUR, truth, predictions, alone(truth))
    found = intervals.evaluate(COLOUR, table, BOOTSTRAP)
    assert "recall.white" not in found
    assert found["macro_f1"].value == pytest.approx(sklearn_metrics.f1_score(truth, [0, 0, 1, 0], average="macro"))


@pytest.mark.parametrize("seed", range(3))
def test_an_interval_covers_what_a_binomial_proportion_would(seed):
    truth, predictions = classified(400, seed)
    found = intervals.evaluate(COLOUR, metrics.statistics(COLOUR, truth, predictions, alone(truth)), BOOTSTRAP)
    score = found["accuracy"]
    half = 1.96 * np.sqrt(score.value * (1 - score.value) / 400)
    assert score.high - score.low == pytest.approx(2 * half, rel=0.2)


def test_rows_of_one_individual_count_as_one_in_the_interval():
    truth, predictions = classified(100)
    values, probabilities = (np.repeat(array, 4, axis=0) for array in (predictions.values, predictions.probabilities))
    many = Predictions(values, probabilities, COLOUR.classes)
    once = metrics.statistics(COLOUR, truth, predictions, alone(truth))
    again = metrics.statistics(COLOUR, np.repeat(truth, 4), many, np.repeat(alone(truth), 4))
    one, other = (intervals.evaluate(COLOUR, table, BOOTSTRAP)["accuracy"] for table in (once, again))
    assert (other.low, other.high) == pytest.approx((one.low, one.high))


def test_very_many_groups_are_merged_and_the_interval_stays():
    rows = metrics.MAX_GROUPS * 5
    truth, predictions = classified(rows)
    table = metrics.statistics(COLOUR, truth, predictions, alone(truth))
    assert len(table) == metrics.MAX_GROUPS
    score = intervals.evaluate(COLOUR, table, BOOTSTRAP)["accuracy"]
    half = 1.96 * np.sqrt(score.value * (1 - score.value) / rows)
    assert score.high - score.low == pytest.approx(2 * half, rel=0.25)


def test_a_comparison_is_paired_so_that_it_sees_what_two_intervals_do_not():
    truth, champion = classified(400)
    values = champion.values.copy()
    wrong = np.flatnonzero(values != truth)[:12]
    values[wrong] = truth[wrong]  # the candidate is right wherever the champion is, and in 12 rows more
    tables = [
        metrics.statistics(COLOUR, truth, Predictions(v, None, COLOUR.classes), alone(truth))
        for v in (values, champion.values)
    ]
    separate = [intervals.evaluate(COLOUR, table, BOOTSTRAP)["accuracy"] for table in tables]
    paired = intervals.compare(COLOUR, *tables, BOOTSTRAP)["accuracy"]
    assert separate[0].low < separate[1].high  # the intervals overlap
    assert paired.value == pytest.approx(0.03)
    assert paired.low > 0


def test_a_model_compared_with_itself_differs_by_nothing():
    truth, predictions = regressed(100)
    table = metrics.statistics(HEIGHT, truth, predictions, alone(truth))
    score = intervals.compare(HEIGHT, table, table, BOOTSTRAP)["rmse"]
    assert (score.value, score.low, score.high) == (0, 0, 0)


def test_intervals_are_the_same_each_time():
    truth, predictions = regressed(100)
    table = metrics.statistics(HEIGHT, truth, predictions, alone(truth))
    assert intervals.evaluate(HEIGHT, table, BOOTSTRAP) == intervals.evaluate(HEIGHT, table, BOOTSTRAP)


def test_the_calibration_curve_has_each_class_and_each_row_once():
    truth, predictions = classified(200)
    curve = metrics.calibration(COLOUR, truth, predictions.probabilities)
    for name in COLOUR.classes:
        assert sum(item["rows"] for item in curve if item["class"] == name) == 200
    assert all(0 <= item["predicted"] <= 1 and 0 <= item["observed"] <= 1 for item in curve)


def test_the_calibration_curve_of_two_classes_is_that_of_the_positive_one():
    truth, predictions = balanced()
    curve = metrics.calibration(SCENTED, truth, predictions.probabilities)
    assert {item["class"] for item in curve} == {"true"}
    above = [item for item in curve if item["predicted"] > 0.5]
    assert all(item["observed"] < item["predicted"] - 0.1 for item in above[:-1])


def test_an_interval_leaves_out_the_same_share_at_both_ends():
    assert Bootstrap(samples=1, confidence=0.9).interval(np.arange(101.0)) == pytest.approx((5, 95))


def test_ranked_scores_of_many_resamplings_are_those_of_each():
    tables = [metrics.statistics(SCENTED, *balanced(80 + n), alone(np.zeros(80 + n))).sum(axis=0) for n in range(3)]
    together = metrics.scores(SCENTED, np.stack(tables))
    for name in ("roc_auc", "average_precision"):
        assert together[name] == pytest.approx([metrics.scores(SCENTED, table)[name] for table in tables])


def late_loss(truth, predicted, probabilities):
    """A missed first class costs five times a false one."""
    assert probabilities.shape == (len(truth), len(COLOUR.classes))
    return np.where(truth == predicted, 0.0, np.where(truth == COLOUR.classes[0], 5.0, 1.0))


def own(function):
    """The target with a score of the project's own."""
    name = function.__name__
    return replace(COLOUR, metrics=(name,), own={name: function})


def test_a_score_of_the_projects_own_is_the_mean_over_the_rows_with_an_interval():
    truth, predictions = classified(300)
    target = own(late_loss)
    labels = np.array(COLOUR.classes)
    expected = late_loss(labels[truth], labels[predictions.values], predictions.probabilities).mean()
    table = metrics.statistics(target, truth, predictions, alone(truth))
    score = intervals.evaluate(target, table, BOOTSTRAP)["late_loss"]
    assert score.value == pytest.approx(expected)
    assert score.low < score.value < score.high
    assert intervals.compare(target, table, table, BOOTSTRAP)["late_loss"].value == 0
    assert point(target, truth, predictions) == point(COLOUR, truth, predictions) | {"late_loss": score.value}


def test_a_score_of_the_projects_own_can_be_asked_for_and_its_name_says_what_is_better():
    assert "late_loss" in metrics.names(own(late_loss))
    assert "late_loss" in metrics.headlines(own(late_loss))
    assert metrics.lower_is_better("late_loss")
    assert not metrics.lower_is_better("gain_score")
    assert not metrics.lower_is_better("recall.read_error")  # a class


@pytest.mark.parametrize("given", [0.5, [1.0], [np.nan] * 300])
def test_what_is_not_one_number_for_each_row_is_refused(given):
    def gain_score(truth, predicted, probabilities):
        return given

    gain_score.name = "project.metrics:gain_score"
    truth, predictions = classified(300)
    with pytest.raises(SlipwayError, match="gain_score must be one finite number for each of the 300 rows"):
        metrics.statistics(own(gain_score), truth, predictions, alone(truth))


def test_a_bin_that_only_one_of_two_models_predicts_has_no_point_of_the_other():
    a, b = (np.column_stack([1 - np.array(p), p]) for p in ([0.05, 0.25, 0.95], [0.25, 0.25, 0.95]))
    first, second, last = metrics.paired_calibration(SCENTED, np.array([0, 1, 1]), a, b)
    assert (first["from"], first["to"], first["b"]) == (0.0, 0.1, None)
    assert first["a"] == {"predicted": 0.05, "observed": 0.0, "rows": 1}
    assert second["b"] == {"predicted": 0.25, "observed": 0.5, "rows": 2}
    assert last["a"] == last["b"]
