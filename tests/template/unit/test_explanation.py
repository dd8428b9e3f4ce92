"""Shapley values, compared with their definition, with what is known in closed form, and with those of shap."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import numpy as np
import pytest

import shap_values
from slipway.model.explanation import Explanations, explain
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


def test_fields_that_act_in_pairs_have_their_contributions_in_closed_form_however_many() -> None:
    rows, background = numbers(3, 20, 1), numbers(5, 20, 2)

    def pairs(arrays: Any) -> Predictions:
        values = np.array([*arrays.values()])
        return Predictions((values[:10] * values[10:]).sum(axis=0), None, ())

    found = explain(pairs, rows, background, budget=500)
    x, b = np.array([*rows.values()])[:, :, None], np.array([*background.values()])[:, None]
    expected = ((x - b) * (np.roll(x, 10, axis=0) + np.roll(b, 10, axis=0)) / 2).mean(axis=2).T
    np.testing.assert_allclose(found.contributions, expected, atol=1e-9)
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


def beside_shap(name: str) -> tuple[Explanations, np.ndarray]:
    """Explain the rows that shap explained; and what it said."""
    model, values = shap_values.fitted(name), shap_values.features(shap_values.MODELS[name][1])

    def predict(arrays: Any) -> Predictions:
        given = np.column_stack([*arrays.values()])
        if not hasattr(model, "predict_proba"):
            return Predictions(model.predict(given), None, ())
        chances = model.predict_proba(given)
        return Predictions(chances.argmax(axis=1), chances, tuple(model.classes_.tolist()))

    fields = [dict(enumerate(values[part].T)) for part in (shap_values.ROWS, shap_values.BACKGROUND)]
    said = json.loads(shap_values.RECORD.read_text())["values"][name]
    return explain(predict, *fields), np.array(said)


@pytest.mark.parametrize("name", [name for name, (_, fields) in shap_values.MODELS.items() if fields < 11])
def test_contributions_are_those_of_shap(name: str) -> None:
    found, said = beside_shap(name)
    assert found.errors is None
    np.testing.assert_allclose(found.contributions, said, atol=1e-6)


def test_sampled_contributions_are_as_far_from_those_of_shap_as_their_errors_say() -> None:
    found, said = beside_shap("boosted regression of many fields")
    assert found.errors is not None
    np.testing.assert_allclose(found.contributions.sum(axis=1), said.sum(axis=1), atol=1e-9)
    off = np.abs(found.contributions - said)
    assert (off <= 4 * found.errors + 1e-7).all()  # shap sums in float32
    assert (off <= 1.96 * found.errors + 1e-7).mean() > 0.9
