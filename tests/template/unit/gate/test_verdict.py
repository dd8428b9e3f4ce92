"""The edges of the verdict: each number at which an answer turns, from both sides."""

from types import SimpleNamespace

import numpy as np
import pytest

from flowers import Specimen
from slipway.contract import Column, Contract, Target
from slipway.evaluation import metrics
from slipway.evaluation.intervals import Bootstrap, Score
from slipway.gate import against_champion, challenge, conclude
from slipway.gate.changes import check_record
from slipway.gate.checks import Reason, check_slices, check_thresholds, size
from slipway.model.manifest import Split
from slipway.model.predictor import Predictions
from slipway.problem import SlipwayError
from slipway.problem.params import Champion, Gate, SliceThresholds

TINY = 1e-9
KIND = Target.of(Contract.from_model(Specimen)["kind"])
BOOTSTRAP = Bootstrap(samples=200, confidence=0.95)
PASS, HOLD, FAIL = "pass", "hold", "fail"
BETTER, WITHIN, MAYBE, WORSE = ": better", ": not worse by more than the margin", ": it may be worse", ": worse"


def gate(metric: str = "accuracy", margin: float = 0.02, **changes) -> Gate:
    return Gate(**{"thresholds": {"accuracy": 0.85}, "champion": Champion(metric=metric, margin=margin), **changes})


@pytest.mark.parametrize(
    ("name", "low", "high", "margin", "outcome", "words"),
    [
        ("just better", TINY, 0.05, 0.02, PASS, BETTER),
        ("better, and no margin is given", TINY, 0.05, 0.0, PASS, BETTER),
        ("its lower end is 0", 0.0, 0.05, 0.02, PASS, WITHIN),
        ("its lower end is 0, and no margin is given", 0.0, 0.05, 0.0, PASS, WITHIN),
        ("a tie", 0.0, 0.0, 0.02, PASS, WITHIN),
        ("a tie, and no margin is given", 0.0, 0.0, 0.0, PASS, WITHIN),
        ("just worse at the lower end", -TINY, 0.05, 0.02, PASS, WITHIN),
        ("just worse at the lower end, and no margin is given", -TINY, 0.05, 0.0, HOLD, MAYBE),
        ("at the margin", -0.02, 0.05, 0.02, PASS, WITHIN),
        ("just outside the margin", -0.02 - TINY, 0.05, 0.02, HOLD, MAYBE),
        ("outside a narrow margin", -0.02, 0.05, 0.002, HOLD, MAYBE),
        ("its upper end is 0, within the margin", -0.02, 0.0, 0.02, PASS, WITHIN),
        ("its upper end is 0, outside the margin", -0.03, 0.0, 0.02, HOLD, MAYBE),
        ("just worse", -0.01, -TINY, 0.02, FAIL, WORSE),
        ("much worse", -0.5, -0.4, 0.02, FAIL, WORSE),
        ("no interval", float("nan"), float("nan"), 0.02, HOLD, MAYBE),
    ],
)
@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])  # higher is better, lower is better
def test_against_the_champion(metric, name, low, high, margin, outcome, words):
    ends = (low, high) if metric == "accuracy" else (-high, -low)
    comparison = {metric: Score(sum(ends) / 2, *ends)}
    reason = against_champion(gate(metric, margin), comparison, "abc", 0.95)
    assert (reason.check, reason.outcome) == ("champion", outcome)
    assert words in reason.detail
    assert reason.detail.endswith((words, f"of {margin:g}"))


def test_the_comparison_is_told_with_its_numbers():
    reason = against_champion(gate("log_loss"), {"log_loss": Score(-0.0421, -0.0566, -0.0277)}, "abc", 0.9)
    assert reason.detail == "log_loss -0.0421 against abc (-0.0566 to -0.0277 with 90% confidence): better"


def test_a_metric_that_one_of_the_models_does_not_have_holds():
    reason = against_champion(gate("log_loss"), {"accuracy": Score(0.1, 0.05, 0.15)}, "abc", 0.95)
    assert reason == Reason("champion", HOLD, "log_loss cannot be computed for both models on these rows")


class Model:
    """A predictor that gives stored labels; `probability` is that of the label."""

    def __init__(self, name: str, labels, probability: float | None = 0.9, classes=KIND.classes, split=None) -> None:
        manifest = SimpleNamespace(split=split)
        self.bundle, self.version, self.classes = SimpleNamespace(digest=name, manifest=manifest), name, classes
        values = np.array(labels)
        given = None
        if probability is not None:
            given = np.full((len(values), 2), 1 - probability)
            given[np.arange(len(values)), values] = probability
        self.predictions = Predictions(values, given, classes)

    def predict(self, table) -> Predictions:
        assert table == "the test set"
        return self.predictions


def asked(candidate: Model, champion: Model | None, groups=None, metric: str = "accuracy"):
    """Ask about rows that are all of class 0; by default each row is a group."""
    rows = len(candidate.predictions)
    groups = np.arange(rows) if groups is None else np.array(groups)

    def statistics(predictions):
        return metrics.statistics(KIND, np.zeros(rows, dtype=int), predictions, groups)

    test_set = SimpleNamespace(
        target=KIND,
        time=Column("seen", "date"),
        predictions=lambda model: model.predict("the test set"),
        statistics=statistics,
    )
    table = statistics(candidate.predictions)
    reason, comparison = challenge(gate(metric), test_set, candidate, table, champion, BOOTSTRAP)
    assert reason.check == "champion"
    return reason, comparison


RIGHT, WRONG = [0] * 40, [1] * 20 + [0] * 20


def test_without_a_champion_nothing_is_compared():
    reason, comparison = asked(Model("a", RIGHT), None)
    assert (reason.outcome, comparison) == (PASS, {})
    assert reason.detail == "there is no champion yet: the other checks decide alone"


def test_the_champion_itself_is_nothing_new():
    reason, comparison = asked(Model("a", RIGHT), Model("a", RIGHT))
    assert (reason.outcome, comparison) == (HOLD, {})
    assert "nothing new" in reason.detail


def by_time(until: str, test_from: str, field: str = "seen") -> Split:
    return Split(by="time", field=field, train_until=until, test_from=test_from)


NOW = by_time("2024-03-30", "2024-04-01")


def test_a_champion_that_was_trained_on_older_rows_is_compared():
    champion = Model("b", WRONG, split=by_time("2024-03-31", "2024-04-01"))
    reason, comparison = asked(Model("a", RIGHT, split=NOW), champion)
    assert (reason.outcome, "accuracy" in comparison) == (PASS, True)


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (
            by_time("2024-04-01", "2024-04-02"),
            "b was trained on rows until 2024-04-01 and the test set begins at",
        ),
        (by_time("2023-01-01", "2023-01-02", "week"), "b was trained without a split by seen"),
        (None, "b was trained without a split by seen, so it may know rows of the test set"),
    ],
)
def test_a_champion_that_may_know_test_rows_is_not_compared_and_left_to_a_person(split, words):
    reason, comparison = asked(Model("a", RIGHT, split=NOW), Model("b", WRONG, split=split))
    assert (reason.outcome, comparison) == (HOLD, {})
    assert words in reason.detail


def test_a_champion_of_other_classes_is_left_to_a_person():
    reason, comparison = asked(Model("a", RIGHT), Model("b", RIGHT, classes=("rose", "iris")))
    assert (reason.outcome, comparison) == (HOLD, {})
    assert "b predicts other classes" in reason.detail


def test_a_champion_that_refuses_the_rows_is_left_to_a_person_with_its_words():
    champion = Model("b", RIGHT)

    def refuse(table):
        raise SlipwayError("the table lacks the column(s) height")

    champion.predict = refuse
    reason, comparison = asked(Model("a", RIGHT), champion)
    assert (reason.outcome, comparison) == (HOLD, {})
    assert "the table lacks the column(s) height" in reason.detail


@pytest.mark.parametrize(
    ("candidate", "champion", "outcome", "words"),
    [
        (RIGHT, WRONG, PASS, BETTER),
        (WRONG, RIGHT, FAIL, WORSE),
        (WRONG, WRONG, PASS, WITHIN),
        (WRONG, WRONG[::-1], HOLD, MAYBE),  # as many right, but other ones
    ],
)
@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_candidate_minus_champion_on_the_same_rows(metric, candidate, champion, outcome, words):
    reason, comparison = asked(Model("a", candidate), Model("b", champion), metric=metric)
    assert reason.outcome == outcome
    assert words in reason.detail
    assert " against b (" in reason.detail
    assert comparison["accuracy"].value == pytest.approx(np.mean(champion) - np.mean(candidate))


def test_a_model_without_probabilities_is_not_compared_by_them():
    reason, comparison = asked(Model("a", RIGHT), Model("b", WRONG, probability=None), metric="log_loss")
    assert reason.outcome == HOLD
    assert "log_loss" not in comparison


@pytest.mark.parametrize(("candidate", "champion"), [(RIGHT, WRONG), (WRONG, RIGHT), (WRONG, WRONG)])
def test_one_group_says_nothing_of_chance_and_holds(candidate, champion):
    reason, _ = asked(Model("a", candidate), Model("b", champion), groups=[0] * 40)
    assert reason.outcome == HOLD
    assert reason.detail == "all rows are of one group, so no interval can be computed"


def test_few_groups_are_less_certain_than_as_many_rows():
    champion = [1] * 6 + [0] * 34
    assert asked(Model("a", RIGHT), Model("b", champion))[0].detail.endswith(BETTER)
    few = asked(Model("a", RIGHT), Model("b", champion), groups=np.arange(40) // 10)[0]
    assert WITHIN in few.detail


@pytest.mark.parametrize(
    ("outcomes", "answer"),
    [
        ([], "PROMOTE"),
        ([PASS], "PROMOTE"),
        ([PASS, HOLD], "HOLD"),
        ([HOLD, PASS], "HOLD"),
        ([PASS, FAIL], "REJECT"),
        ([HOLD, FAIL], "REJECT"),
        ([FAIL, HOLD, PASS], "REJECT"),
    ],
)
def test_the_worst_reason_decides(outcomes, answer):
    assert conclude([Reason("check", outcome, "") for outcome in outcomes]) == answer


@pytest.mark.parametrize(
    ("metric", "value", "outcome"),
    [
        ("accuracy", 0.85, PASS),
        ("accuracy", 0.85 - TINY, FAIL),
        ("log_loss", 0.85, PASS),
        ("log_loss", 0.85 + TINY, FAIL),
        ("log_loss", 0.1, PASS),
    ],
)
def test_a_threshold_may_be_met_exactly_and_the_point_estimate_decides(metric, value, outcome):
    limits = gate(thresholds={metric: 0.85})
    (reason,) = check_thresholds(limits, {metric: Score(value, value - 0.1, value + 0.1)})
    assert (reason.check, reason.outcome) == (f"threshold {metric}", outcome)
    assert "at most 0.85" in reason.detail if metric == "log_loss" else "at least 0.85" in reason.detail


def test_each_threshold_has_its_own_reason_with_its_numbers():
    limits = gate(thresholds={"accuracy": 0.85, "recall.rose": 0.5, "log_loss": 0.4})
    scores = {"accuracy": Score(0.9, 0.8, 0.95), "log_loss": Score(0.5, 0.4, 0.6)}
    reasons = list(check_thresholds(limits, scores))
    assert [reason.check for reason in reasons] == [f"threshold {name}" for name in limits.thresholds]
    assert [(reason.outcome, reason.detail) for reason in reasons] == [
        (PASS, "0.9 (0.8 to 0.95), at least 0.85 is needed"),
        (FAIL, "recall.rose cannot be computed for this model on these rows"),
        (FAIL, "0.5 (0.4 to 0.6), at most 0.4 is needed"),
    ]


def slices(*found, metric: str = "accuracy") -> list:
    return [{"slice": name, "rows": rows, "scores": {metric: {"value": value}}} for name, rows, value in found]


@pytest.mark.parametrize(
    ("metric", "found", "outcome", "detail"),
    [
        ("accuracy", ("bed=north", 10, 0.8), PASS, "the worst of 1: bed=north 0.8 on 10 rows; at least 0.8 is needed"),
        ("accuracy", ("bed=north", 10, 0.8 - TINY), FAIL, "bed=north 0.8 on 10 rows; at least 0.8 is needed"),
        ("accuracy", ("bed=north", 9, 0.1), PASS, "no slice has 10 rows"),
        ("log_loss", ("bed=north", 10, 0.8), PASS, "the worst of 1: bed=north 0.8 on 10 rows; at most 0.8 is needed"),
        ("log_loss", ("bed=north", 10, 0.8 + TINY), FAIL, "bed=north 0.8 on 10 rows; at most 0.8 is needed"),
        ("log_loss", ("bed=north", 9, 2.0), PASS, "no slice has 10 rows"),
    ],
)
def test_a_slice_counts_from_its_least_rows_on(metric, found, outcome, detail):
    reason = check_slices(SliceThresholds(metric=metric, threshold=0.8, min_rows=10), slices(found, metric=metric))
    assert (reason.check, reason.outcome) == ("slices", outcome)
    assert reason.detail.endswith(detail)


@pytest.mark.parametrize(("metric", "worst"), [("accuracy", "a 0.81"), ("log_loss", "c 0.9")])
def test_the_worst_slice_is_named_where_all_pass(metric, worst):
    limit = 0.8 if metric == "accuracy" else 0.95
    found = slices(("a", 10, 0.81), ("b", 10, 0.85), ("c", 10, 0.9), metric=metric)
    reason = check_slices(SliceThresholds(metric=metric, threshold=limit), found)
    assert f"the worst of 3: {worst} on 10 rows" in reason.detail


def test_every_slice_that_fails_is_named_and_one_without_the_score_is_left_out():
    found = [*slices(("a", 10, 0.1), ("b", 10, 0.9), ("c", 12, 0.2)), {"slice": "d", "rows": 10, "scores": {}}]
    reason = check_slices(SliceThresholds(metric="accuracy", threshold=0.8), found)
    assert reason.detail == "accuracy of a 0.1 on 10 rows, c 0.2 on 12 rows; at least 0.8 is needed"


def test_the_slice_with_the_lowest_score_is_named_whatever_its_name():
    found = slices(("z", 10, 0.85), ("a", 10, 0.9))
    reason = check_slices(SliceThresholds(metric="accuracy", threshold=0.8), found)
    assert reason.detail == "accuracy, the worst of 2: z 0.85 on 10 rows; at least 0.8 is needed"


@pytest.mark.parametrize(("more", "outcome"), [(0, PASS), (1, FAIL)])
def test_a_bundle_may_have_just_the_megabytes_that_are_allowed(more, outcome):
    files = {"model.onnx": bytes(40_000_000), "manifest.json": bytes(10_000_000 + more)}
    candidate = SimpleNamespace(bundle=SimpleNamespace(files=files))
    reason = size(gate(max_bundle_megabytes=50), candidate)
    assert (reason.check, reason.outcome, reason.detail) == ("bundle size", outcome, "50 MB, at most 50 MB")


@pytest.mark.parametrize(
    ("metric", "recorded", "now", "outcome"),
    [
        # The halves that face each other, 3 and 4, make 5 in quadrature.
        ("accuracy", Score(20, 17, 99), Score(15, -99, 19), PASS),
        ("accuracy", Score(20, 17, 99), Score(15 - TINY, -99, 19 - TINY), HOLD),
        ("rmse", Score(20, -99, 23), Score(25, 21, 99), PASS),
        ("rmse", Score(20, -99, 23), Score(25 + TINY, 21 + TINY, 99), HOLD),
        ("accuracy", Score(20, 20, 20), Score(20, 20, 20), PASS),
    ],
)
def test_the_champions_record_and_its_score_now_are_held_apart_by_their_noise(metric, recorded, now, outcome):
    assert check_record(metric, recorded, now, "abc").outcome == outcome
