import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC

import flowers
import project
from slipway.compile import compile_estimator
from slipway.contract import Column, Contract, Target, features, target
from slipway.model.runtimes.skops import frame
from slipway.problem import SlipwayError
from slipway.problem.params import Train

ONE_HOT = (OneHotEncoder(handle_unknown="ignore"), ["colour", "bed"])


def prepared(estimator, *, encoders_first: bool = False):
    """An estimator over scaled numbers and encoded strings; nothing is imputed."""
    parts = [(StandardScaler(), ["height", "petals", "scented"]), ONE_HOT]
    return make_pipeline(make_column_transformer(*reversed(parts) if encoders_first else parts), estimator)


def imputed(estimator):
    """An estimator over all columns, the missing values of which are imputed."""
    strings = make_pipeline(SimpleImputer(missing_values="", strategy="most_frequent"), OneHotEncoder())
    return make_pipeline(
        make_column_transformer(
            (SimpleImputer(strategy="median"), ["height", "petals", "scented", "weight"]),
            (strings, ["colour", "bed"]),
        ),
        estimator,
    )


def compiled(case, estimator, **changes):
    case.fit(estimator)
    return compile_estimator(estimator, case.contract, case.arrays, case.kinds, Train(**changes))


AGREES = r"the largest difference on 6,150 rows is below 1e-\d\d"
SAME = "the labels of 6,150 rows are the same"
CLASSIFIERS = {
    "logistic": (prepared(LogisticRegression()), "onnx", f"compiled; {AGREES}"),
    "encoders first": (prepared(LogisticRegression(), encoders_first=True), "onnx", f"compiled; {AGREES}"),
    "imputed logistic": (imputed(LogisticRegression(max_iter=1000)), "onnx", f"compiled; {AGREES}"),
    "forest": (prepared(RandomForestClassifier(10, random_state=0)), "onnx", f"compiled; {AGREES}"),
    "imputed forest": (imputed(RandomForestClassifier(10, random_state=0)), "onnx", f"compiled; {AGREES}"),
    "boosted": (prepared(GradientBoostingClassifier(n_estimators=10)), "onnx", f"compiled; {AGREES}"),
    "binned": (prepared(HistGradientBoostingClassifier(max_iter=10)), "onnx", f"compiled; {AGREES}"),
    "imputed binned": (imputed(HistGradientBoostingClassifier(max_iter=10)), "onnx", f"compiled; {AGREES}"),
    "neighbours": (prepared(KNeighborsClassifier()), "onnx", f"compiled; {AGREES}"),
    "support vectors": (prepared(SVC()), "onnx", f"compiled; {SAME}"),
    "calibrated": (prepared(CalibratedClassifierCV(SVC(), ensemble=False)), "onnx", f"compiled; {AGREES}"),
    "linear support": (prepared(LinearSVC()), "onnx", f"compiled; {SAME}"),
    "ridge": (prepared(RidgeClassifier()), "onnx", f"compiled; {SAME}"),
    "search": (GridSearchCV(prepared(LogisticRegression()), {}, cv=2), "onnx", f"compiled; {AGREES}"),
    "splits by category": (
        make_pipeline(
            make_column_transformer((OrdinalEncoder(), ["colour"]), remainder="drop"),
            HistGradientBoostingClassifier(max_iter=5, categorical_features=[0], min_samples_leaf=5),
        ),
        "onnx",
        f"compiled; {AGREES}",
    ),
    "own function": (
        make_pipeline(make_column_transformer((FunctionTransformer(np.cbrt), ["height"])), LogisticRegression()),
        "skops",
        f"not compiled to ONNX: the function cbrt; {AGREES}",
    ),
    "unfaithful": (
        prepared(KNeighborsClassifier(weights="distance")),
        "skops",
        r"not compiled to ONNX: as ONNX it would answer otherwise: the probabilities of [\d,]+ of 150 training rows "
        rf"differ, by up to 0\.\d+ where 1e-05 is allowed; {AGREES}",
    ),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_compiles_faithfully_or_says_why_not(case, name):
    estimator, runtime, reason = CLASSIFIERS[name]
    result = compiled(case, estimator)
    assert re.fullmatch(reason, result.reason), result.reason
    assert result.runtime == runtime


REGRESSORS = {
    "ridge": (prepared(Ridge()), "onnx", f"compiled; {AGREES}"),
    "forest": (prepared(RandomForestRegressor(10, random_state=0)), "onnx", f"compiled; {AGREES}"),
    "binned": (prepared(HistGradientBoostingRegressor(max_iter=10)), "onnx", f"compiled; {AGREES}"),
    "poisson": (prepared(HistGradientBoostingRegressor(max_iter=10, loss="poisson")), "onnx", f"compiled; {AGREES}"),
    "support vectors": (
        prepared(SVR()),
        "skops",
        f"not compiled to ONNX: ONNX Runtime: Could not find an implementation for SVMRegressor.*; {AGREES}",
    ),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_compiles_faithfully_or_says_why_not(value, name):
    estimator, runtime, reason = REGRESSORS[name]
    result = compiled(value, estimator)
    assert re.fullmatch(reason, result.reason), result.reason
    assert result.runtime == runtime


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        RandomForestClassifier(10, random_state=0),
        GradientBoostingClassifier(n_estimators=10, loss="exponential"),
        HistGradientBoostingClassifier(max_iter=10),
        SVC(),
    ],
    ids=repr,
)
def test_two_classes_compile(yes_or_no, estimator):
    assert compiled(yes_or_no, prepared(estimator)).runtime == "onnx"


@pytest.mark.parametrize(
    "estimator",
    [make_pipeline(StandardScaler(), LogisticRegression()), HistGradientBoostingClassifier(max_iter=10)],
    ids=repr,
)
def test_an_estimator_may_take_all_columns_as_they_are(case, estimator):
    assert compiled(case.only(["height", "petals", "scented"]), estimator).runtime == "onnx"


@pytest.mark.parametrize("by_name", [True, False])
def test_columns_may_have_names_that_converters_use_themselves(by_name):
    names = ["label", "probabilities", "variable", "Cast", "constant", "X"]
    contract = Contract("Row", tuple(Column(name, "number") for name in names))
    arrays = {name: np.random.default_rng(number).normal(size=60) for number, name in enumerate(names)}
    goal = Target(Column("kind", "boolean"), (False, True))
    scaler = make_column_transformer((StandardScaler(), names)) if by_name else StandardScaler()
    estimator = make_pipeline(scaler, RandomForestClassifier(3, random_state=0))
    estimator.fit(frame(arrays), (arrays["label"] > 0).astype(np.int64))
    assert compile_estimator(estimator, contract, arrays, goal, Train()).runtime == "onnx"


@pytest.mark.usefixtures("penguins")
def test_what_the_project_ships_compiles():
    problem = project.problem
    contract, goal = features(problem), target(problem)
    rng = np.random.default_rng(0)
    arrays = {
        column.name: rng.uniform(column.minimum, column.maximum, 60)
        if column.numeric
        else rng.choice(np.array([*column.categories, *[""] * column.optional], dtype=object), 60)
        for column in contract.columns
    }
    estimator = problem.build().fit(frame(arrays), np.arange(60) % len(goal.classes))
    assert compile_estimator(estimator, contract, arrays, goal, Train()).runtime == "onnx"


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        RandomForestClassifier(5, random_state=0),
        HistGradientBoostingClassifier(max_iter=5),
        KNeighborsClassifier(),
        CalibratedClassifierCV(SVC(), ensemble=False),
        VotingClassifier([("one", LogisticRegression())], voting="soft"),
    ],
    ids=repr,
)
def test_with_compilation_turned_off_usual_estimators_are_stored(case, estimator):
    result = compiled(case, prepared(estimator), compile=False)
    assert result.runtime == "skops"
    assert re.fullmatch(
        f"not compiled to ONNX: train.compile in params.yaml is false; {AGREES}".replace(r"\S+", r"0\.0e\+00"),
        result.reason,
    )


def test_a_search_is_stored_without_the_seconds_that_it_took(case):
    search = GridSearchCV(prepared(LogisticRegression()), {"logisticregression__C": [1, 2]}, cv=2)
    assert compiled(case, search, compile=False).model == compiled(case, search, compile=False).model


def test_a_compiled_model_names_its_operator_sets_in_a_fixed_order(case):
    model = onnx.load_from_string(compiled(case, prepared(LogisticRegression())).model)
    assert [item.domain for item in model.opset_import] == ["", "ai.onnx.ml"]


class Doubled(TransformerMixin, BaseEstimator):
    """A transformer of one's own."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X * 2


def test_a_class_of_ones_own_is_refused_by_name(case):
    part = case.only(["height", "petals"])
    with pytest.raises(SlipwayError, match=r"not trusted: \S*Doubled(.|\n)*build it from the classes of scikit-learn"):
        compiled(part, make_pipeline(Doubled(), LogisticRegression()))


def test_labels_that_are_not_the_most_probable_are_pointed_out(yes_or_no):
    result = compiled(yes_or_no, FixedThresholdClassifier(prepared(LogisticRegression()), threshold=0.99))
    assert re.search(
        r"; labels are the most probable class, not predict\(\)'s, which differs for \d+ of 150 rows$", result.reason
    )


def test_a_class_without_training_rows_is_refused(case):
    learned = case._replace(truth=np.where(case.truth == 1, 0, case.truth))
    with pytest.raises(SlipwayError, match="kind: no training row is iris"):
        compiled(learned, prepared(LogisticRegression()))


def test_a_regressor_is_refused_where_the_target_has_classes(case):
    with pytest.raises(SlipwayError, match="kind has classes: it needs a classifier, not Pipeline"):
        compiled(case, prepared(Ridge()))


def test_an_estimator_that_fails_on_rows_that_the_schema_allows_is_refused(case):
    present = case._replace(
        arrays={**case.arrays, "bed": np.where(case.arrays["bed"] == "", "north", case.arrays["bed"])}
    )
    strict = make_pipeline(make_column_transformer((OneHotEncoder(), ["colour", "bed"])), LogisticRegression())
    with pytest.raises(SlipwayError, match=r"fails on rows that the schema allows: Found unknown categories \[''\]"):
        compiled(present, strict)


DIGESTS = """
import hashlib, sys
junk = [object() for _ in range(int(sys.argv[1]))]  # so that everything else has other addresses
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from lightgbm import LGBMClassifier
from xgboost import XGBClassifier
from flowers import Flower, build, flowers
from slipway.compile import compile_estimator
from slipway.contract import Column, Contract, Target
from slipway.model.runtimes.skops import frame
from slipway.problem.params import Train
contract, table = Contract.from_model(Flower), flowers(100)
arrays, kinds = contract.arrays(table), Target(Column("kind", "category"), ("iris", "rose"))
trees = [
    RandomForestClassifier(5, random_state=0),
    LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1),
    XGBClassifier(n_estimators=5, n_jobs=1),
]
for estimator in (build(), *(make_pipeline(build()[0], item) for item in trees)):
    estimator.fit(frame(arrays), kinds.encode(table["kind"]))
    for allow_onnx in (True, False):
        result = compile_estimator(estimator, contract, arrays, kinds, Train(compile=allow_onnx))
        print(result.runtime, hashlib.sha256(result.model).hexdigest())
"""


def test_two_processes_make_the_same_bytes():
    tests = str(Path(flowers.__file__).parent)
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", DIGESTS, junk],
            env={**os.environ, "PYTHONPATH": tests, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for junk, seed in (("0", "1"), ("12345", "2"))
    ]
    first, second = (run.communicate()[0] for run in runs)
    assert [line.split()[0] for line in first.splitlines()] == ["onnx", "skops"] * 4
    assert first == second
