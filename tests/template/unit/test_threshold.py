"""The threshold that the project's test of the score compares with, by the kind of problem."""

import importlib.util
from types import SimpleNamespace

import pytest

from checkouts import ROOT


@pytest.fixture(scope="module")
def threshold(penguins):
    spec = importlib.util.spec_from_file_location("project_conftest", ROOT / "tests/model/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.threshold.__wrapped__


def workspace(classes, **thresholds):
    params = SimpleNamespace(gate=SimpleNamespace(thresholds=thresholds))
    return SimpleNamespace(target=SimpleNamespace(classes=classes), params=params)


def test_it_is_that_of_the_accuracy_or_in_a_regression_of_r2(threshold):
    assert threshold(workspace(("a", "b"), accuracy=0.8, r2=0.5)) == 0.8
    assert threshold(workspace((), accuracy=0.8, r2=0.5)) == 0.5


@pytest.mark.parametrize(("classes", "name"), [(("a", "b"), "accuracy"), ((), "r2")])
def test_where_there_is_none_the_test_says_which_is_missing(threshold, classes, name):
    with pytest.raises(pytest.fail.Exception, match=f"params.yaml: gate.thresholds has no {name}, which test_score.py"):
        threshold(workspace(classes, log_loss=0.5))
