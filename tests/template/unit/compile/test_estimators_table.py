"""Every line of the tables in docs/estimators.md is fitted and compiled, and must be as the page says."""

import inspect
import re
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import all_estimators, get_tags
from threadpoolctl import threadpool_limits

from slipway.compile import compile_estimator
from slipway.problem.params import Train

PAGE = Path(__file__).parents[4] / "docs" / "estimators.md"
NAMES = dict(all_estimators()) | vars(lightgbm) | vars(xgboost) | {"np": np}
PROBLEMS = {"two classes": "yes_or_no", "three classes": "case", "a number": "value"}
SPEEDS = {"one row": 1, "1,000 rows": 1000}  # the columns with figures, and rows
QUIET = {"n_jobs": 1, "random_state": 0}


def lines():
    """List the cells of the tables: column, estimator, what the page says."""
    head, found = [], []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in ("estimator", "step"):
            head = cells[1:] if cells[0] == "estimator" else []
        elif head and (match := re.fullmatch(r"`(.+\))`", cells[0])):
            found += [(column, match[1], cell) for column, cell in zip(head, cells[1:], strict=True)]
    return found


def estimator_of(expression, trees):
    """Make it, quiet and with so many trees, behind the preprocessing that it needs."""
    estimator = eval(expression, dict(NAMES))
    for part in [estimator, *estimator.get_params().values()]:
        if not inspect.isclass(part) and hasattr(part, "get_params"):
            known = QUIET | {"n_estimators": trees}
            settings = {name: value for name, value in known.items() if name in part.get_params(deep=False)}
            if type(part).__module__.startswith("lightgbm"):
                settings["verbose"] = -1
            if type(part).__name__.startswith("HistGradient"):
                settings["max_iter"] = trees
            part.set_params(**settings)
    if isinstance(estimator.get_params().get("categorical_features"), list):
        return estimator
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return make_pipeline(
        make_column_transformer(
            ("passthrough" if get_tags(estimator).input_tags.allow_nan else numbers, ["height", "petals", "weight"]),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["colour", "bed"]),
        ),
        estimator,
    )


def fitted(problem, expression, trees=5):
    """Fit it on rows with missing values, none of which has one of the colours."""
    known = problem.arrays["colour"] != "white"
    rows = {name: values[known] for name, values in problem.arrays.items()}
    part = problem._replace(arrays=rows, truth=problem.truth[known])
    with threadpool_limits(limits=1):
        return part, part.fit(estimator_of(expression, trees))


def compiled(problem, expression):
    part, estimator = fitted(problem, expression)
    return compile_estimator(estimator, part.contract, part.arrays, part.kinds, Train())


def said(result):
    """Say what the page may say of it: a difference, the same labels, or why it is not ONNX."""
    if result.runtime == "skops":
        return re.search("not compiled to ONNX: (.*); the ", result.reason)[1]
    if "labels of" in result.reason:
        return "same labels"
    return re.search(r"below (\S+?)(;|$)", result.reason)[1]


def test_each_line_of_a_compiled_estimator_has_figures_of_its_speed():
    speeds = {expression: {} for _, expression, _ in lines()}
    for column, expression, cell in lines():
        speeds[expression][column] = cell
    for expression, found in speeds.items():
        first = next(found[column] for column in PROBLEMS if column in found)
        form = r"[\d.]+ \([\d.]+ to [\d.]+\)" if first.startswith("ONNX") else "-"
        assert all(re.fullmatch(form, found[column]) for column in SPEEDS), (expression, found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("column", "expression", "cell"),
    [one for one in lines() if one[0] in PROBLEMS],
    ids=lambda item: item.replace("/", ""),
)
def test_an_estimator_is_kept_as_the_page_says(request, column, expression, cell):
    result = compiled(request.getfixturevalue(PROBLEMS[column]), expression)
    runtime, _, words = cell.partition(": ")
    assert (result.runtime, cell) == (runtime.lower(), cell), said(result)
    if re.fullmatch(r"1e-\d\d", words):
        assert float(said(result)) <= float(words)
    else:
        assert said(result).startswith(words)
