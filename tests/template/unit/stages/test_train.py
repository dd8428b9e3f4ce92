import hashlib
import json
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from flowers import Specimen, flower_problem, flowers
from flowers import build as build_flowers
from slipway.contract import features
from slipway.fitting import fit
from slipway.model.bundle import read_bundle
from slipway.model.predictor import Predictor
from slipway.problem import SlipwayError
from slipway.problem.params import Params
from slipway.stages.prepare import prepare
from slipway.stages.train import describe, golden_rows, rounded, train

PARAMS = Params.model_validate({"gate": {"thresholds": {"accuracy": 0.5}, "champion": {"metric": "accuracy"}}})


@pytest.fixture
def passed(problem, data, tmp_path):
    """Folders `table` and `validation` as the stages before leave them."""
    prepare(problem, PARAMS.prepare, data, tmp_path / "table")
    (tmp_path / "validation").mkdir()
    digest = hashlib.sha256((tmp_path / "table" / "train.parquet").read_bytes()).hexdigest()
    (tmp_path / "validation" / "passed.json").write_text(json.dumps({"train": digest}))
    return tmp_path


def run(problem, folder, params=PARAMS, out="bundle"):
    return train(problem, params, folder / "table", folder / "validation", folder / out)


def test_the_bundle_says_what_was_learned_and_from_what(problem, passed):
    manifest = run(problem, passed).manifest
    assert (manifest.name, manifest.kind, manifest.classes) == ("flowers", "classification", ["iris", "rose"])
    assert manifest.estimator == "LogisticRegression"
    assert manifest.data == json.loads((passed / "table" / "source.json").read_text())["data"]
    assert "scikit-learn" in manifest.versions


def test_the_bundle_is_the_same_bytes_each_time(problem, passed):
    assert run(problem, passed).digest == run(problem, passed, out="other").digest


def test_another_parameter_is_another_bundle(problem, passed):
    other = PARAMS.model_copy(update={"model": {"strength": 0.5}})
    assert run(problem, passed).digest != run(problem, passed, other, "other").digest


def test_the_bundle_answers_what_the_fitted_estimator_answers(problem, passed):
    run(problem, passed)
    contract = features(problem)
    rows = pd.read_parquet(passed / "table" / "train.parquet")
    estimator = fit(problem, PARAMS, contract.arrays(rows), (rows["kind"] == "rose").astype(int).to_numpy())
    others = contract.arrays(flowers(100, seed=5))
    answers = Predictor.load(passed / "bundle").predict_arrays(others)
    expected = estimator.predict_proba(pd.DataFrame(others))
    np.testing.assert_allclose(answers.probabilities, expected, atol=1e-6)


def test_golden_rows_are_valid_rows_and_not_training_rows(problem, passed):
    contract = features(problem)
    table = flowers(200)
    rows = golden_rows(contract, contract.arrays(table), seed=0)
    model = contract.model()
    for row in rows:
        model.model_validate(row)
    known = {json.dumps(row) for row in contract.rows(contract.arrays(table))}
    assert not known & {json.dumps(row) for row in rows}


def test_the_reference_holds_features_and_predictions_of_the_training_rows(problem, passed):
    reference = run(problem, passed).reference
    assert list(reference["features"]) == list(features(problem).names)
    assert sum(reference["predictions"]["labels"].values()) == pytest.approx(1)
    assert sum(reference["predictions"]["confidence"]["shares"]) == pytest.approx(1)


def test_an_estimator_without_a_seed_is_seeded(passed):
    problem = flower_problem(build=lambda: make_pipeline(build_flowers()[0], RandomForestClassifier(5)))
    assert run(problem, passed).digest == run(problem, passed, out="other").digest


def test_an_estimator_with_its_own_seed_keeps_it(problem):
    problem = flower_problem(build=lambda: make_pipeline(build_flowers()[0], RandomForestClassifier(2, random_state=7)))
    table = flowers(60)
    target = (table["kind"] == "rose").astype(int).to_numpy()
    fitted = fit(problem, PARAMS, features(problem).arrays(table), target)
    assert fitted[-1].random_state == 7


def test_a_booster_has_the_pipelines_number_of_threads_unless_it_has_one(problem):
    table = flowers(60)
    target = (table["kind"] == "rose").astype(int).to_numpy()
    numbers = []
    for own in (None, 2):
        booster = LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=own)
        problem = flower_problem(build=lambda booster=booster: make_pipeline(build_flowers()[0], booster))
        numbers.append(fit(problem, PARAMS, features(problem).arrays(table), target)[-1].n_jobs)
    assert numbers == [PARAMS.train.threads, 2]


def test_the_manifest_tells_the_version_of_the_library_that_fitted(passed):
    booster = LGBMClassifier(n_estimators=2, verbose=-1)
    problem = flower_problem(build=lambda: make_pipeline(build_flowers()[0], booster))
    manifest = run(problem, passed).manifest
    assert manifest.runtime == "onnx"
    assert manifest.versions["lightgbm"] == version("lightgbm")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: "a model", "build\\(\\) returned a str, which has no fit\\(\\) and predict\\(\\)"),
        (lambda: LogisticRegression(), "could not be fitted: .*could not convert string to float"),
        (
            lambda: make_pipeline(build_flowers()[0], LGBMClassifier(monotone_constraints=[1], verbose=-1)),
            "could not be fitted: .*monotone_constraints",
        ),
    ],
)
def test_what_cannot_be_fitted_is_told(passed, build, words):
    with pytest.raises(SlipwayError, match=words):
        run(flower_problem(build=build), passed)


class Weighed(Specimen):
    care: float


def test_the_weights_of_the_rows_reach_the_estimator(problem, passed):
    path = passed / "table" / "train.parquet"
    rows = pd.read_parquet(path)
    rows.assign(care=(rows["kind"] == "rose") * 5 + 1.0).to_parquet(path, index=False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (passed / "validation" / "passed.json").write_text(json.dumps({"train": digest}))
    run(problem, passed)
    run(flower_problem(record=Weighed, weight="care"), passed, out="weighed")
    roses = [(Predictor.load(passed / name).predict(flowers()).values == 1).sum() for name in ("bundle", "weighed")]
    assert roses[1] > roses[0]


def test_a_failed_training_leaves_the_bundle_before(problem, passed):
    digest = run(problem, passed).digest
    with pytest.raises(SlipwayError):
        run(flower_problem(build=lambda: LogisticRegression()), passed)
    assert read_bundle(passed / "bundle").digest == digest


@pytest.mark.parametrize("name", ["table/train.parquet", "validation/passed.json"])
def test_without_the_stages_before_it_says_what_to_run(problem, passed, name):
    (passed / name).unlink()
    with pytest.raises(SlipwayError, match=f"{name}: missing.*slipway run"):
        run(problem, passed)


def test_a_pipeline_is_described_by_its_last_step():
    assert describe(make_pipeline(make_pipeline(LogisticRegression()))) == "LogisticRegression"


def test_golden_answers_have_no_more_digits_than_every_processor_gives():
    answers = [{"label": "rose", "probabilities": {"iris": 1 / 3, "rose": 2 / 3}}, {"value": 12345.678901234}]
    assert rounded(answers) == [
        {"label": "rose", "probabilities": {"iris": 0.333333333, "rose": 0.666666667}},
        {"value": 12345.6789},
    ]
