"""How much a metric may differ between slices: the edges, and what the reason says."""

import numpy as np
import pytest
from pydantic import ValidationError

from flowers import flower_problem, flowers
from plants import PARAMS
from slipway.contract import record
from slipway.evaluation.intervals import Bootstrap, Score
from slipway.evaluation.test_set import TestSet
from slipway.gate.checks import check_fairness, compare_slices
from slipway.model.predictor import Predictions
from slipway.problem import SlipwayError
from slipway.problem.params import Fairness
from slipway.stages.prepare import shape
from slipway.workspace import Workspace

LIMITS = {"column": "bed", "metric": "accuracy"}


def found(*values: float) -> dict[str, tuple[Score, int]]:
    return {f"bed={number}": (Score(value, value - 0.1, value + 0.1), 40) for number, value in enumerate(values)}


@pytest.mark.parametrize(
    ("limits", "values", "outcome"),
    [
        ({"max_difference": 0.25}, (0.5, 0.75), "pass"),
        ({"max_difference": 0.24}, (0.5, 0.75), "fail"),
        ({"max_difference": 0.24}, (0.75, 0.6, 0.5), "fail"),
        ({"min_ratio": 0.5}, (0.4, 0.8), "pass"),
        ({"min_ratio": 0.51}, (0.8, 0.4), "fail"),
        ({"min_ratio": 0.5, "max_difference": 0.1}, (0.4, 0.8), "fail"),
        ({"min_ratio": 0.9, "max_difference": 0.5}, (0.4, 0.8), "fail"),
        ({"min_ratio": 1.0}, (0.0, 0.0), "pass"),
        ({"min_ratio": 1.0}, (0.4,), "hold"),
    ],
)
def test_the_largest_and_the_smallest_are_compared(limits, values, outcome):
    reason = compare_slices(Fairness(**LIMITS, **limits), found(*values))
    assert (reason.check, reason.outcome) == ("fairness bed", outcome)


def test_the_reason_names_the_limits_and_each_slices_score_with_its_interval_and_rows():
    reason = compare_slices(Fairness(**LIMITS, max_difference=0.1, min_ratio=0.8), found(0.5, 0.75))
    assert reason.detail == (
        "accuracy: difference 0.25, at most 0.1 is needed; ratio 0.6667, at least 0.8 is needed; "
        "bed=0 0.5 (0.4 to 0.6) on 40 rows, bed=1 0.75 (0.65 to 0.85) on 40 rows"
    )


@pytest.fixture
def test_set(tmp_path) -> TestSet:
    problem = flower_problem()
    shape(record(problem), flowers(300)).to_parquet(tmp_path / "test.parquet")
    return TestSet(problem, tmp_path / "test.parquet")


def judged(test_set, metric: str, **limits):
    """Judge a model that says rose in the south, and the truth elsewhere."""
    south = (test_set.table["bed"] == "south").to_numpy()
    said = np.where(south, 1, test_set.truth)
    predictions = Predictions(said, np.eye(2)[said], ("iris", "rose"))
    return check_fairness(Fairness(column="bed", metric=metric, **limits), test_set, predictions, Bootstrap(100, 0.9))


@pytest.mark.parametrize("metric", ["accuracy", "recall.iris", "selection_rate.rose", "roc_auc", "brier"])
def test_a_model_that_treats_one_slice_otherwise_fails_by_any_metric(test_set, metric):
    reason = judged(test_set, metric, max_difference=0.2, min_rows=10)
    assert reason.outcome == "fail"
    assert "bed=south" in reason.detail


def test_a_selection_rate_is_the_share_of_rows_for_which_the_class_is_predicted(test_set):
    detail = judged(test_set, "selection_rate.rose", max_difference=1, min_rows=10).detail
    rows = test_set.table["bed"] == "north"
    share = (test_set.table["kind"][rows] == "rose").mean()
    assert f"bed=north {share:.4g} (" in detail
    assert "bed=south 1 (1 to 1)" in detail


def test_slices_of_too_few_rows_are_left_out(test_set):
    assert judged(test_set, "accuracy", max_difference=0.2, min_rows=1000).outcome == "hold"


def test_a_check_without_a_limit_is_refused():
    with pytest.raises(ValidationError, match="it needs max_difference, min_ratio or both"):
        Fairness(**LIMITS)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            "{column: bad, metric: accuracy, min_ratio: 0.8}",
            "fairness.column: 'bad' is unknown; did you mean bed",
        ),
        (
            "{column: bed, metric: recall.ros, min_ratio: 0.8}",
            "'recall.ros' is unknown; did you mean recall.rose",
        ),
    ],
)
def test_an_unknown_name_is_refused(tmp_path, entry, words):
    (tmp_path / "pyproject.toml").write_text('[tool.slipway]\nproblem = "plants:kind"\n')
    text = PARAMS.format(thresholds="accuracy: 0.5", metric="accuracy")
    (tmp_path / "params.yaml").write_text(text.rstrip() + f"\n  fairness: [{entry}]\n")
    with pytest.raises(SlipwayError, match=words):
        _ = Workspace(tmp_path).params
