import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from slipway.compile.converters import convert
from slipway.contract import Column, Contract
from slipway.model.runtimes.skops import frame


def test_many_neighbours_are_left_to_scikit_learns_search_tree():
    values = np.arange(10_001.0)
    estimator = KNeighborsClassifier().fit(frame({"a": values}), values > 5)
    with pytest.raises(NotImplementedError, match="compared with all 10,001 training rows"):
        convert(estimator, Contract("Row", (Column("a", "number"),)))
