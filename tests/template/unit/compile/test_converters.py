import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from slipway.compile.converters import convert
from slipway.contract import Column, Contract
from slipway.model.runtimes.skops import frame


def test_many_neighbours_are_left_to_scikit_learns_search_tree():
    values = np.arange(10_001.0)
    estimator = KNeighborsClassifier().fit(frame({"a": values}), values > 5)
    with pytest.raises(NotImplementedError, match="compared with all 10,001 training rows"):
        convert(estimator, Contract("Row", (Column("a", "number"),)))


def test_text_that_would_be_read_by_the_machines_locale_is_not_compiled():
    texts = np.array(["One two", "two Three", "one"] * 5, dtype=object)
    estimator = make_pipeline(make_column_transformer((CountVectorizer(), "note")), LogisticRegression())
    estimator.fit(frame({"note": texts}), np.arange(15) % 2)
    with pytest.raises(NotImplementedError, match="the machine's locale"):
        convert(estimator, Contract("Row", (Column("note", "text"),)))
