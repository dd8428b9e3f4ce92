"""Every step in the tables of docs/estimators.md is fitted and compiled, and must be as the page says."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import all_estimators
from threadpoolctl import threadpool_limits

from slipway.compile import compile_estimator
from slipway.problem.params import Train

PAGE = Path(__file__).parents[4] / "docs" / "estimators.md"
NAMES = dict(all_estimators()) | {"np": np}
NUMBERS, CATEGORIES = ["height", "petals", "weight"], ["colour", "bed"]
ONE_HOT = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
GIVEN = {
    "of numbers": lambda step: (
        (make_pipeline(SimpleImputer(strategy="median"), step), NUMBERS),
        (ONE_HOT, CATEGORIES),
    ),
    "of numbers of which some are missing": lambda step: ((step, NUMBERS), (ONE_HOT, CATEGORIES)),
    "of categories": lambda step: ((SimpleImputer(), NUMBERS), (step, CATEGORIES)),
}


def lines():
    """List the rows of the tables: what the step is given, the step, what the page says."""
    given, found = "", []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in ("step", "estimator"):
            given = cells[1]
        elif given in GIVEN and (match := re.fullmatch(r"`(.+\))`", cells[0])):
            found.append((given, match[1], cells[1]))
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("given", "step", "cell"), lines(), ids=lambda item: item.replace("/", ""))
def test_a_step_is_kept_as_the_page_says(case, given, step, cell):
    known = case.arrays["colour"] != "white"
    arrays = {name: values[known] for name, values in case.arrays.items()}
    part = case._replace(arrays=arrays, truth=case.truth[known])
    pipeline = make_pipeline(make_column_transformer(*GIVEN[given](eval(step, dict(NAMES)))), LogisticRegression())
    with threadpool_limits(limits=1):
        fitted = part.fit(pipeline)
    result = compile_estimator(fitted, part.contract, part.arrays, part.kinds, Train(tolerance=1e-6))
    runtime, _, words = cell.partition(": ")
    assert result.runtime == runtime.lower(), result.reason
    assert words in result.reason
