import numpy as np
import pytest

from flowers import Flower, Specimen, flower_problem, flowers
from slipway.compile import compile_estimator
from slipway.contract import Contract, canonical_json, target
from slipway.model.bundle import Bundle, BundleError, read_bundle, write_bundle
from slipway.model.predictor import Predictions, Predictor
from slipway.problem import SlipwayError
from slipway.problem.params import Train

ROW = {"colour": "red", "height": 70.0, "petals": 25, "scented": True, "bed": None, "weight": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle of a model of flowers, whose golden row is `ROW`."""
    problem, contract, table = flower_problem(), Contract.from_model(Flower), flowers(200)
    goal, arrays = target(problem), contract.arrays(table)
    estimator = problem.build().fit(table[list(contract.names)].assign(**arrays), goal.encode(table["kind"]))
    compiled = compile_estimator(estimator, contract, arrays, goal, Train())
    where = tmp_path_factory.mktemp("bundle") / "bundle"
    answers = Predictor(_write(where, compiled, {"rows": [ROW], "predictions": [{}]})).predict([ROW]).as_json()
    _write(where, compiled, {"rows": [ROW], "predictions": answers})
    return where


def _write(where, compiled, examples) -> Bundle:
    manifest = {
        "name": "flowers",
        "kind": "classification",
        "row": Contract.from_model(Flower).schema(),
        "target": Contract("Target", (Contract.from_model(Specimen)["kind"],)).schema(),
        "classes": ["iris", "rose"],
        "runtime": compiled.runtime,
        "runtime_reason": compiled.reason,
        "estimator": "LogisticRegression",
        "versions": {},
        "data": "none",
        "params": "0" * 64,
    }
    files = {"model.onnx": compiled.model, "reference.json": b"{}", "examples.json": canonical_json(examples)}
    return write_bundle(where, manifest, files)


@pytest.fixture(scope="module")
def predictor(folder) -> Predictor:
    return Predictor.load(folder)


def test_answers_do_not_depend_on_the_form_of_the_question(predictor):
    table = flowers(30, seed=3)
    rows = predictor.contract.rows(predictor.contract.arrays(table))
    expected = predictor.predict(table).probabilities
    for question in (rows, {name: table[name].tolist() for name in predictor.contract.names}):
        np.testing.assert_array_equal(predictor.predict(question).probabilities, expected)


def test_a_row_gets_the_same_answer_alone_and_among_others(predictor):
    table = flowers(50, seed=3)
    together = predictor.predict(table).probabilities
    alone = [predictor.predict(table.iloc[[i]]).probabilities[0] for i in range(50)]
    np.testing.assert_allclose(together, alone, atol=1e-12)


def test_an_answer_in_json_names_the_label_and_each_classs_probability(predictor):
    answer = predictor.predict([ROW]).as_json()[0]
    assert answer["label"] == "rose"
    assert list(answer["probabilities"]) == ["iris", "rose"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_no_rows_get_no_answers(predictor):
    assert len(predictor.predict([])) == 0
    assert predictor.predict([]).as_json() == []


def test_a_boolean_label_is_a_boolean_in_json_and_its_probabilities_have_json_names():
    predictions = Predictions(np.array([1]), np.array([[0.25, 0.75]]), (False, True))
    assert predictions.as_json() == [{"label": True, "probabilities": {"false": 0.25, "true": 0.75}}]


def test_a_regression_answers_values():
    assert Predictions(np.array([1.5]), None, ()).as_json() == [{"value": 1.5}]


def test_the_score_is_the_share_of_right_labels(predictor):
    table = flowers(100, seed=4)
    labels = np.array(predictor.predict(table).labels)
    assert predictor.score(table, table["kind"]) == pytest.approx((labels == table["kind"].to_numpy()).mean())


def test_a_bundle_that_does_not_reproduce_its_golden_rows_is_refused(folder, tmp_path):
    bundle = read_bundle(folder)
    examples = bundle.examples
    examples["predictions"][0]["probabilities"]["rose"] += 1e-4
    manifest = {k: v for k, v in bundle.manifest.model_dump().items() if k not in ("format", "files")}
    write_bundle(tmp_path / "b", manifest, {**bundle.files, "examples.json": canonical_json(examples)})
    with pytest.raises(BundleError, match="golden row 0 gives"):
        Predictor.load(tmp_path / "b")


def test_another_version_than_expected_is_refused(folder):
    with pytest.raises(BundleError, match="expected is 0000"):
        Predictor.load(folder, expected="0000")


@pytest.mark.parametrize("change", [{"height": float("nan")}, {"colour": "green"}, {"petals": -5}, {"lenght": 3.5}])
def test_a_row_that_the_service_refuses_gets_no_answer(predictor, change):
    with pytest.raises(SlipwayError, match=f"row 0: {next(iter(change))} is "):
        predictor.predict([{**ROW, **change}])


def test_a_table_with_such_a_value_gets_no_answer_and_its_other_columns_are_ignored(predictor):
    table = flowers(3)  # with kind and plant
    predictor.predict(table)
    with pytest.raises(SlipwayError, match="row 1: height is inf"):
        predictor.predict(table.assign(height=[3.5, np.inf, 2.0]))


def test_a_bundle_whose_golden_row_is_not_allowed_is_refused(folder, tmp_path):
    bundle = read_bundle(folder)
    examples = {"rows": [{**ROW, "height": -1.0}], "predictions": bundle.examples["predictions"]}
    manifest = {k: v for k, v in bundle.manifest.model_dump().items() if k not in ("format", "files")}
    write_bundle(tmp_path / "b", manifest, {**bundle.files, "examples.json": canonical_json(examples)})
    with pytest.raises(BundleError, match=r"(?s)golden row 0: .*height is -1.0"):
        Predictor.load(tmp_path / "b")
