"""HistGradientBoosting's splits by category are the same in ONNX, for a category that it never met as well."""

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from slipway.compile.converters import convert
from slipway.contract import Column, Contract
from slipway.model.runtimes import load_runtime, skops

WORDS = tuple(f"w{number}" for number in range(60))  # more than a word of 32 bits
CONTRACT = Contract(
    "Row",
    (
        Column("x", "number", optional=True),
        Column("word", "category", categories=WORDS, optional=True),
        Column("code", "integer", optional=True),
        Column("y", "number"),
    ),
)
SETTINGS = {"max_iter": 10, "min_samples_leaf": 2, "random_state": 0}


def table(size, seed, words, codes):
    rng = np.random.default_rng(seed)
    arrays = {
        "x": rng.normal(size=size),
        "word": rng.choice(np.array(words, dtype=object), size),
        "code": rng.choice(np.array(codes, dtype=float), size),
        "y": rng.normal(size=size),
    }
    for name, missing in (("x", np.nan), ("word", ""), ("code", np.nan)):
        arrays[name][rng.random(size) < 0.1] = missing
    return arrays


def compare(estimator, names, classes):
    """Fit on some of the categories, and predict with all of them, and with codes beside those that were met."""
    contract = Contract("Row", tuple(column for column in CONTRACT.columns if column.name in names))
    arrays, asked = (
        {name: values for name, values in rows.items() if name in names}
        for rows in (table(800, 0, WORDS[:50], range(0, 90, 2)), table(4000, 1, WORDS, range(-3, 95)))
    )
    noise = np.random.default_rng(2).normal(0, 0.3, 800)
    word = np.array([hash_of(value) for value in arrays.get("word", [""] * 800)])
    truth = word + np.nan_to_num(arrays.get("code", np.zeros(800)) * 7 % 5) + arrays.get("y", np.zeros(800)) + noise
    if classes:
        truth = np.digitize(truth, np.quantile(truth, np.arange(1, classes) / classes))
    with threadpool_limits(limits=1):
        estimator.fit(skops.frame(arrays), truth)
    expected = skops.predict(estimator, asked, classes=classes, threads=1)
    model = convert(estimator, contract).SerializeToString()
    answered = load_runtime("onnx", model, classes=classes, threads=1).run(asked)
    if classes:
        np.testing.assert_allclose(answered.probabilities, expected.probabilities, rtol=0, atol=1e-6)
    np.testing.assert_allclose(answered.values, expected.values, rtol=0, atol=1e-5)
    assert len(np.unique(expected.values if not classes else expected.probabilities)) > 20


def hash_of(word):
    return sum(map(ord, word)) * 37 % 11 / 3


@pytest.mark.parametrize("classes", [2, 3])
def test_a_table_with_categories_of_strings_and_of_numbers_goes_in_as_it_is(classes):
    estimator = HistGradientBoostingClassifier(categorical_features=["word", "code"], **SETTINGS)
    compare(estimator, CONTRACT.names, classes)


@pytest.mark.parametrize("names", [("word",), ("code",), ("x", "code", "y"), ("x", "word", "y")], ids=" ".join)
def test_the_categories_may_be_any_of_the_columns(names):
    categorical = [name for name in names if name in ("word", "code")]
    compare(HistGradientBoostingRegressor(categorical_features=categorical, **SETTINGS), names, 0)


@pytest.mark.parametrize("unknown", [-1, np.nan])
def test_an_encoder_may_number_the_categories_first(unknown):
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=unknown)
    columns = make_column_transformer((encoder, ["word"]), ("passthrough", ["y", "code", "x"]))
    compare(
        make_pipeline(columns, HistGradientBoostingRegressor(categorical_features=[0, 2], **SETTINGS)),
        CONTRACT.names,
        0,
    )
