import numpy as np
import pandas as pd
import pytest

from slipway.contract import Column, Contract, Target
from slipway.expectations.leak import scores

SIZE = 800
CODE = np.random.default_rng(0).integers(0, 3, SIZE)
NOISE = np.random.default_rng(1).normal(0, 0.05, SIZE)
LABELS = np.array(["a", "b", "c"])[CODE]
CLASSES = Target(Column("y", "category", categories=("a", "b", "c")), ("a", "b", "c"))
NUMBER = Target(Column("y", "number"), ())


@pytest.fixture
def rng() -> np.random.Generator:
    """Give each test the same numbers, whichever tests ran before it."""
    return np.random.default_rng(0)


def score(values, kind="number", target=CLASSES, y=LABELS) -> float:
    """The score of one feature, three quarters of the rows being learned from."""
    table = pd.DataFrame({"x": values, "y": y})
    features = Contract("Row", (Column("x", kind, optional=True),))
    cut = len(table) * 3 // 4
    return scores(features, target, table[:cut], table[cut:])["x"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (CODE.astype(float), "number"),
        (CODE, "integer"),
        (CODE + NOISE, "number"),
        (np.where(CODE == 1, np.nan, CODE), "number"),
        (np.array([-np.inf, 0.0, np.inf])[CODE], "number"),
        (CODE * 1.0 + 1e9, "number"),
        (np.array(["p", "q", None], dtype=object)[CODE], "text"),
    ],
)
def test_a_feature_that_is_the_answer_in_disguise_scores_one(values, kind):
    assert score(values, kind) == 1


def test_many_classes_that_follow_on_one_another_are_told_apart(rng):
    code = rng.integers(0, 20, SIZE)
    labels = tuple(f"class {number:02}" for number in range(20))
    target = Target(Column("y", "category", categories=labels), labels)
    assert score(code + rng.normal(0, 0.05, SIZE), target=target, y=np.array(labels)[code]) > 0.98


def test_noise_scores_as_a_guess_does(rng):
    assert score(rng.normal(size=SIZE)) == pytest.approx(1 / 3, abs=0.08)


def test_a_feature_that_merely_helps_scores_between(rng):
    assert 0.4 < score(CODE + rng.normal(0, 1, SIZE)) < 0.8


def test_a_name_for_each_row_is_not_taken_for_the_answer():
    assert score([f"row {i}" for i in range(SIZE)], "text") == pytest.approx(1 / 3, abs=0.01)


def test_a_key_that_comes_back_a_few_times_is_not_learned_by_heart():
    half = SIZE // 2
    table = pd.DataFrame({"x": [f"key {i}" for i in range(half)], "y": LABELS[:half]})
    features = Contract("Row", (Column("x", "text"),))
    assert scores(features, CLASSES, table, table)["x"] == pytest.approx(1 / 3)


def test_a_feature_that_finds_a_rare_class_scores_high_though_most_that_it_finds_are_common(rng):
    rare = rng.random(SIZE) < 0.05
    target = Target(Column("y", "boolean"), (False, True))
    assert score((rare | (rng.random(SIZE) < 0.1)) * 1.0, target=target, y=rare) > 0.9


def test_a_rare_class_does_not_make_every_feature_look_like_the_answer(rng):
    rare = rng.random(SIZE) < 0.03
    target = Target(Column("y", "boolean"), (False, True))
    assert score(rng.normal(size=SIZE), target=target, y=rare) < 0.8
    assert score(rare.astype(float), target=target, y=rare) == 1


def test_the_answer_to_a_regression_is_known_by_its_order_whatever_its_scale(rng):
    y = np.exp(rng.normal(0, 2, SIZE))
    assert score(np.log(y), target=NUMBER, y=y) > 0.99
    assert score(np.where(rng.random(SIZE) < 0.05, np.nan, y), target=NUMBER, y=y) > 0.9
    assert score(np.log(y) + rng.normal(0, 1, SIZE), target=NUMBER, y=y) < 0.9
    assert score(rng.normal(size=SIZE), target=NUMBER, y=y) < 0.1


def test_luck_in_a_small_test_part_is_not_taken_for_the_answer():
    """Each of 40 features is right in 96 of 100 rows; three of them are right in all of their 40 test rows."""
    features = Contract("Row", (Column("x", "number"),))
    found = []
    for seed in range(40):
        of_seed = np.random.default_rng(seed)
        code = of_seed.integers(0, 2, 800)
        table = pd.DataFrame({"x": code + of_seed.normal(0, 0.28, 800), "y": np.array(["a", "b"])[code]})
        found.append(scores(features, CLASSES, table[:760], table[760:])["x"])
    assert 0.96 < max(found) < 0.98


@pytest.mark.parametrize("share", [0, 1])
def test_nothing_is_said_when_a_part_is_empty(share):
    table = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})
    features = Contract("Row", (Column("x", "number"),))
    cut = len(table) * share
    assert scores(features, CLASSES, table[:cut], table[cut:]) == {}


def test_what_is_lacking_or_of_another_kind_is_left_out():
    table = pd.DataFrame({"x": ["many"] * 6, "z": [1.0, 2] * 3, "y": ["a", "b"] * 3})
    features = Contract("Row", tuple(Column(name, "number") for name in ("x", "z", "absent")))
    assert set(scores(features, CLASSES, table, table)) == {"z"}
    assert scores(features, CLASSES, table.drop(columns="y"), table) == {}
    assert scores(features, NUMBER, table, table) == {}
