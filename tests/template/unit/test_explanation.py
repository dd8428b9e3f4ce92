"""Shapley values, compared with their definition and with what is known in closed form."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from slipway.model.explanation import explain
from slipway.model.predictor import Predictions

BACKGROUND = {
    "size": np.array([1.0, 4.0, np.nan, 2.5]),
    "colour": np.array(["red", "", "blue", "red"], dtype=object),
    "day": np.array([19000.0, 19400.0, 19800.0, np.nan]),
    "note": np.array(["by the river", "", "\0", "größer"], dtype=object),
}
ROWS = {
    "size": np.array([3.0, np.nan]),
    "colour": np.array(["blue", ""], dtype=object),
    "day": np.array([20000.0, 19400.0]),
    "note": np.array(["over the hill\0", "by the river"], dtype=object),
}


def entangled(arrays: Any) -> np.ndarray:
    """A number in which every field acts together with the others, and a missing one in its own way."""
    size, day = np.nan_to_num(arrays["size"], nan=7.0), np.nan_to_num(arrays["day"], nan=0.0) / 1e4
    letters = np.array([len(text) for text in arrays["note"]], dtype=float)
    return size * (arrays["colour"] == "blue") + day * letters + size * day * (arrays["colour"] == "")


def regression(arrays: Any) -> Predictions:
    return Predictions(entangled(arrays), None, ())


def classification(arrays: Any) -> Predictions:
    first, second = 1 / (1 + np.exp(-entangled(arrays) / 9)), np.full(len(arrays["size"]), 0.3)
    probabilities = np.column_stack([first, second, 2 - first - second]) / 2
    return Predictions(probabilities.argmax(axis=1), probabilities, ("a", "b", "c"))


def labels_only(arrays: Any) -> Predictions:
    return Predictions(classification(arrays).values, None, ("a", "b", "c"))


def explained(predictions: Predictions, to: int) -> float:
    """The number that is explained, of predictions for one row with each background row."""
    if not predictions.classes:
        return float(predictions.values.mean())
    chances = predictions.probabilities
    return float((predictions.values == to).mean() if chances is None else chances[:, to].mean())


def by_definition(predict: Any, row: dict[str, Any], background: dict[str, Any], to: int) -> list[float]:
    """Let the fields join in every order, one after the other; the mean of what each changes."""
    names, size = list(row), len(background["size"])
    orders = list(permutations(names))
    totals = dict.fromkeys(names, 0.0)
    for order in orders:
        mixed = dict(background)
        before = explained(predict(mixed), to)
        for name in order:
            mixed[name] = np.repeat(row[name], size)
            after = explained(predict(mixed), to)
            totals[name] += after - before
            before = after
    return [total / len(orders) for total in totals.values()]


@pytest.mark.parametrize("predict", [regression, classification, labels_only])
def test_contributions_are_those_of_the_definition_and_add_up(predict: Any) -> None:
    found = explain(predict, ROWS, BACKGROUND)
    assert found.errors is None
    for row in range(2):
        one = {name: values[row : row + 1] for name, values in ROWS.items()}
        to = found.predictions.values[row]
        expected = by_definition(predict, one, BACKGROUND, to)
        np.testing.assert_allclose(found.contributions[row], expected, atol=1e-12)
        assert found.bases[row] == pytest.approx(explained(predict(BACKGROUND), to))
        assert found.bases[row] + found.contributions[row].sum() == pytest.approx(explained(predict(one), to))


def numbers(rows: int, fields: int, seed: int) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed).normal(size=(fields, rows))
    return {f"f{n}": values[n] for n in range(fields)}


@pytest.mark.parametrize("fields", [1, 3, 40])
def test_a_linear_regression_has_its_contributions_in_closed_form_few_fields_or_many(fields: int) -> None:
    weights, rows, background = np.arange(1.0, fields + 1), numbers(3, fields, 1), numbers(5, fields, 2)
    found = explain(lambda a: Predictions(weights @ np.array([*a.values()]), None, ()), rows, background, budget=500)
    means = np.array([values.mean() for values in background.values()])
    expected = weights * (np.array([*rows.values()]).T - means)
    np.testing.assert_allclose(found.contributions, expected, atol=1e-9)
    assert (found.errors is None) == (fields < 40)
    if found.errors is not None:
        np.testing.assert_allclose(found.errors, 0, atol=1e-9)


def test_sampled_contributions_add_up_and_are_within_their_errors() -> None:
    def product(arrays: Any) -> Predictions:
        chance = 1 / (1 + np.exp(-(arrays["f0"] * arrays["f1"] + arrays["f2"] * arrays["f3"] * arrays["f4"])))
        return Predictions((chance > 0.5).astype(int), np.column_stack([1 - chance, chance]), (False, True))

    rows, background = numbers(50, 8, 1), numbers(6, 8, 2)
    exact, sampled = explain(product, rows, background), explain(product, rows, background, budget=1000)
    assert exact.errors is None
    assert sampled.errors is not None
    np.testing.assert_allclose(sampled.contributions.sum(axis=1), exact.contributions.sum(axis=1), atol=1e-12)
    off = np.abs(sampled.contributions - exact.contributions) / np.maximum(sampled.errors, 1e-9)
    assert 0.9 < (off[:, :5] < 1.96).mean() < 0.99  # 95 % of a normal distribution
    assert not sampled.contributions[:, 5:].any()  # what is not looked at contributes nothing
    again = explain(product, rows, background, budget=1000)
    np.testing.assert_array_equal(again.contributions, sampled.contributions)
