import importlib
import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC

from slipway.model.runtimes.skops import TRUSTED, frame, load, store
from slipway.problem import SlipwayError

ARRAYS = {"colour": np.array(["blue", "red"] * 10, dtype=object)}


@pytest.fixture(scope="module")
def estimator():
    """It holds a sparse matrix, which skops stores in another way than arrays."""
    encoder = make_column_transformer((OneHotEncoder(), ["colour"]), sparse_threshold=1)
    return make_pipeline(encoder, SVC()).fit(frame(ARRAYS), np.arange(20) % 2)


def test_a_stored_estimator_answers_as_before(estimator):
    answered = load(store(estimator), classes=2, threads=1).run(ARRAYS)
    assert answered.values.tolist() == [0, 1] * 10
    assert answered.probabilities is None


def test_nothing_in_the_file_tells_when_or_where_in_memory_it_was_made(estimator):
    with zipfile.ZipFile(io.BytesIO(store(estimator))) as archive:
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert "__id__" not in archive.read("schema.json").decode()


def test_sets_are_stored_in_order():
    letters = set("abcdefghijklmnopqrstuvwxyz")
    with zipfile.ZipFile(io.BytesIO(store(letters))) as archive:
        stored = [json.loads(item["content"]) for item in json.loads(archive.read("schema.json"))["content"]]
    assert stored == sorted(letters)


def test_a_dictionary_with_keys_like_those_of_the_file_is_kept():
    content = {"__id__": 1, "__loader__": "x", "file": "y", "data": np.arange(3.0)}
    again = skops.io.loads(store(content))
    np.testing.assert_array_equal(again.pop("data"), content.pop("data"))
    assert again == content


def test_a_file_with_a_type_that_is_not_trusted_is_refused_by_name():
    model = store(OneHotEncoder(dtype=print))
    with pytest.raises(SlipwayError, match=r"not trusted: builtins\.print"):
        load(model, classes=2, threads=1)


# CatBoost is not installed for tests (docs/estimators.md).
@pytest.mark.parametrize("name", [name for name in TRUSTED if not name.startswith("catboost.")])
def test_what_is_trusted_exists(name):
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)
