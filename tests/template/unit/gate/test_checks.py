from types import SimpleNamespace

import numpy as np
import pytest

from flowers import Specimen
from slipway.contract import Contract, Target
from slipway.evaluation import intervals, metrics
from slipway.evaluation.intervals import Bootstrap
from slipway.gate.checks import Reason, behaviour, check_constant
from slipway.model.predictor import Predictions

COLUMNS = Contract.from_model(Specimen)
SCENTED, HEIGHT = Target.of(COLUMNS["scented"]), Target.of(COLUMNS["height"])
BOOTSTRAP = Bootstrap(samples=400, confidence=0.95)


def against_constant(target, truth, predictions, groups=None):
    groups = np.arange(len(truth)) if groups is None else groups

    def statistics(predictions):
        return metrics.statistics(target, truth, predictions, groups)

    test_set = SimpleNamespace(target=target, truth=truth, statistics=statistics)
    table = statistics(predictions)
    reason = check_constant(test_set, table, intervals.evaluate(target, table, BOOTSTRAP), BOOTSTRAP)
    assert reason.check == "constant"
    return reason


def rare(rows: int, weight: float, share: float = 0.15) -> tuple:
    """A rare class; `weight`: how many times its odds are given, as `class_weight` does."""
    rng = np.random.default_rng(0)
    truth = (rng.random(rows) < share).astype(int)
    odds = weight * share / (1 - share) * np.exp(rng.normal(truth, 1) - 0.5)
    positive = odds / (1 + odds)
    return truth, Predictions((positive > 0.5).astype(int), np.stack([1 - positive, positive], axis=1), (False, True))


def test_a_calibrated_classifier_that_learned_something_beats_the_base_rate():
    reason = against_constant(SCENTED, *rare(2000, weight=1))
    assert (reason.outcome, reason.detail.endswith("of the best constant prediction: better")) == ("pass", True)


def test_probabilities_worse_than_the_base_rate_are_refused_with_both_scores():
    reason = against_constant(SCENTED, *rare(2000, weight=85 / 15))
    assert reason.outcome == "fail"
    assert "log_loss 0.5" in reason.detail
    assert ", 0.43" in reason.detail
    assert "gate.beats_constant: false" in reason.detail


def test_the_constant_prediction_itself_is_neither_better_nor_worse():
    truth, _ = rare(200, weight=1)
    reason = against_constant(SCENTED, truth, metrics.constant(SCENTED, truth))
    assert (reason.outcome, reason.detail.endswith("the difference of +0 to +0 may be chance")) == ("hold", True)


def test_few_rows_leave_it_open():
    truth, predictions = rare(2000, weight=1)
    some = slice(0, 12)
    few = Predictions(predictions.values[some], predictions.probabilities[some], (False, True))
    assert against_constant(SCENTED, truth[some], few).outcome == "hold"


@pytest.mark.parametrize("weight", [1, 85 / 15])
def test_one_group_leaves_it_open_however_many_rows_it_has(weight):
    truth, predictions = rare(2000, weight=weight)
    reason = against_constant(SCENTED, truth, predictions, groups=np.zeros(2000, dtype=int))
    assert (reason.outcome, "one group" in reason.detail) == ("hold", True)


def test_a_classifier_without_probabilities_is_compared_by_macro_f1():
    truth, predictions = rare(2000, weight=85 / 15)
    reason = against_constant(SCENTED, truth, Predictions(predictions.values, None, (False, True)))
    assert (reason.outcome, reason.detail.startswith("macro_f1")) == ("pass", True)


@pytest.mark.parametrize(("noise", "outcome"), [(1, "pass"), (9, "fail")])
def test_a_regression_is_compared_with_the_mean(noise, outcome):
    rng = np.random.default_rng(0)
    truth = rng.normal(50, 5, 300)
    reason = against_constant(HEIGHT, truth, Predictions(truth + rng.normal(0, noise, 300), None, ()))
    assert (reason.outcome, reason.detail.startswith("rmse")) == (outcome, True)


def behave(root, **files: str) -> list[Reason]:
    """Ask about a project with these modules of behaviour tests."""
    folder = root / "tests" / "model"
    folder.mkdir(parents=True)
    for name, code in files.items():
        (folder / f"{name}.py").write_text(code)
    return behaviour(root)


TWO_PASS = "import pytest\ndef test_a(): pass\ndef test_b(): pass\n@pytest.mark.skip\ndef test_c(): pass\n"
THREE_FAIL = """
import pytest
@pytest.fixture
def broken():
    print("E  not this")
    pytest.fail('no accuracy')
def test_message(): assert 1 == 2, 'two\\nlines'
def test_setup(broken): pass
def test_good(): pass
def test_twice():
    raise KeyError
@pytest.fixture
def silent():
    pytest.fail("", pytrace=False)
def test_silent(silent): pass
"""


def test_the_behaviour_tests_that_passed_are_counted_and_nothing_is_left_behind(tmp_path):
    """Options of the project, such as one that picks tests, do not count here."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -k nothing\n")
    assert behave(tmp_path, test_it=TWO_PASS) == [
        Reason("behaviour", "pass", "2 tests of the model's behaviour passed")
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pytest.ini", "tests"]


def test_each_behaviour_test_that_fails_or_cannot_start_says_why_in_one_line(tmp_path):
    assert behave(tmp_path, test_it=THREE_FAIL) == [
        Reason("behaviour test_message", "fail", "AssertionError: two"),
        Reason("behaviour test_setup", "fail", "Failed: no accuracy"),
        Reason("behaviour test_twice", "fail", "KeyError"),
        Reason("behaviour test_silent", "fail", 'failed on setup with "Failed"'),
    ]


def test_a_module_of_behaviour_tests_that_cannot_be_imported_fails(tmp_path):
    (reason,) = behave(tmp_path, test_it="import nowhere")
    assert (reason.check, reason.outcome) == ("behaviour tests.model.test_it", "fail")
    assert reason.detail == "ModuleNotFoundError: No module named 'nowhere'"


@pytest.mark.parametrize("code", [None, "import pytest\n@pytest.mark.skip\ndef test_a(): pass\n"])
def test_without_a_behaviour_test_that_ran_the_candidate_is_refused_with_the_way_out(tmp_path, code):
    detail = f"no test in {tmp_path}/tests/model ran; gate.behaviour: false allows that"
    assert behave(tmp_path, **({"test_it": code} if code else {})) == [Reason("behaviour", "fail", detail)]


def test_behaviour_tests_that_cannot_be_run_at_all_give_pytests_last_line(tmp_path):
    (reason,) = behave(tmp_path, conftest="import nowhere")
    assert (reason.check, reason.outcome) == ("behaviour", "fail")
    words = f"the tests in {tmp_path}/tests/model could not be run: E   ModuleNotFoundError: No module named 'nowhere'"
    assert reason.detail == words
