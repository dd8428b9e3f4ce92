"""The decision threshold: how it is chosen, and that it moves labels and no probability, everywhere."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from flowers import build as build_flowers
from flowers import flower_problem
from plants import PARAMS, make_workspace, retrain
from seasons import make_workspace as make_seasons
from seasons import seen_flowers
from slipway.contract import features, target
from slipway.fitting import threshold
from slipway.fitting.threshold import choose, measure, out_of_fold
from slipway.model.bundle import BundleError, read_bundle, write_bundle
from slipway.model.manifest import Decision as Chosen
from slipway.model.predictor import Predictor, decide
from slipway.model.runtimes import Output
from slipway.problem import SlipwayError
from slipway.problem.params import Decision, Params
from slipway.workspace import Workspace

F1 = {"positive": "rose", "maximize": "f1"}
COSTS = {"positive": "rose", "maximize": "cost", "costs": {"false_positive": 1, "false_negative": 9}}


def asked(**decision) -> Params:
    gate = {"thresholds": {"accuracy": 0.5}, "champion": {"metric": "accuracy"}}
    return Params.model_validate({"gate": gate, "train": {"decision": decision}})


def test_the_f1_of_each_threshold_is_scikit_learns():
    rng = np.random.default_rng(0)
    actual, probability = rng.random(200) < 0.3, rng.random(200).round(2)
    thresholds = np.array([0.1, 0.25, 0.5, 0.99])
    expected = [f1_score(actual, probability >= at) for at in thresholds]
    np.testing.assert_allclose(measure(Decision(**F1), actual, probability, thresholds), expected)


def test_the_cost_of_each_threshold_is_the_mean_of_what_each_error_costs():
    actual, probability = np.array([True, True, False, False]), np.array([0.9, 0.4, 0.6, 0.1])
    found = measure(Decision(**COSTS), actual, probability, np.array([0.3, 0.5, 0.7, 0.95]))
    np.testing.assert_allclose(found, [1 / 4, 10 / 4, 9 / 4, 18 / 4])


def chosen(monkeypatch, actual, probability, **decision):
    """Choose by given probabilities, as if they came from cross-validation."""
    given = np.column_stack([1 - np.array(probability), probability])
    monkeypatch.setattr(threshold, "out_of_fold", lambda *_: given)
    rows = pd.DataFrame({"kind": np.where(actual, "rose", "iris"), "plant": range(len(actual))})
    problem = flower_problem()
    return choose(problem, asked(**decision), target(problem), {}, rows)[0]


@pytest.mark.parametrize(("decision", "best"), [(F1, 0.35), (COSTS, 0.35), (F1 | {"positive": "iris"}, 0.65)])
def test_the_best_threshold_is_chosen_in_the_middle_between_two_rows(monkeypatch, decision, best):
    found = chosen(monkeypatch, [True] * 3 + [False] * 3, [0.9, 0.8, 0.4, 0.3, 0.2, 0.1], **decision)
    assert (found.positive, found.threshold) == (decision["positive"], pytest.approx(best))


def test_the_dearer_it_is_to_miss_one_the_lower_the_threshold(monkeypatch):
    actual, probability = [True, False, True, False, False], [0.9, 0.6, 0.4, 0.3, 0.1]
    cheap = {"false_positive": 9, "false_negative": 1}
    dear = {"false_positive": 1, "false_negative": 9}
    found = [
        chosen(monkeypatch, actual, probability, positive="rose", maximize="cost", costs=costs).threshold
        for costs in (cheap, dear)
    ]
    assert found == [pytest.approx(0.75), pytest.approx(0.35)]


def test_every_row_is_judged_by_an_estimator_that_has_not_seen_its_group():
    rows = seen_flowers(100)
    fitted = []

    class Recorder(DummyClassifier):
        def fit(self, X, y, sample_weight=None):
            fitted.append(set(X["height"]))
            return super().fit(X, y, sample_weight)

        def predict_proba(self, X):
            groups = set(rows["plant"][rows["height"].isin(X["height"])])
            assert not set(rows["height"][rows["plant"].isin(groups)]) & fitted[-1]
            return super().predict_proba(X)

    rows["height"] = np.arange(len(rows), dtype=float)  # tells rows apart
    problem = flower_problem(build=lambda: Recorder())
    arrays, truth = features(problem).arrays(rows), target(problem).encode(rows["kind"])
    found = out_of_fold(problem, asked(**F1), arrays, truth, pd.factorize(rows["plant"])[0], None)
    assert len(fitted) == 5
    assert not np.isnan(found).any()


@pytest.mark.parametrize(
    ("build", "rows", "words"),
    [
        (
            lambda: make_pipeline(build_flowers()[0], RidgeClassifier()),
            60,
            "gives no probabilities to decide by",
        ),
        (lambda: DummyClassifier(), 3, "cross-validation over groups needs more groups of each class"),
    ],
)
def test_without_probabilities_or_groups_no_threshold_can_be_chosen(build, rows, words):
    problem, table = flower_problem(build=build), seen_flowers(60).iloc[:rows]
    with pytest.raises(SlipwayError, match=words):
        choose(problem, asked(**F1), target(problem), features(problem).arrays(table), table)


def test_it_moves_labels_from_the_threshold_on_and_no_probability():
    probabilities = np.array([[0.7, 0.3], [0.701, 0.299], [0.2, 0.8]])
    decision = Chosen(positive="rose", threshold=0.3, maximize="f1")
    found = decide(Output(np.array([0, 0, 1]), probabilities), ("iris", "rose"), decision)
    assert found.labels == ["rose", "iris", "rose"]
    assert found.probabilities is probabilities
    assert decide(Output(np.array([0, 0, 1]), None), ("iris", "rose"), decision).labels == ["iris", "iris", "rose"]


@pytest.fixture(scope="module")
def decided(tmp_path_factory) -> Workspace:
    """A workspace of plants, of which a dead one is dear to miss."""
    root = tmp_path_factory.mktemp("decided")
    workspace = make_workspace(root, "alive")
    costs = "{positive: false, maximize: cost, costs: {false_positive: 1, false_negative: 20}}"
    text = PARAMS.format(thresholds="accuracy: 0.5", metric="accuracy").replace(
        "train: {}", f"train: {{decision: {costs}}}"
    )
    (root / "params.yaml").write_text(text)
    workspace = Workspace(root)
    retrain(workspace)
    return workspace


def test_the_bundle_holds_the_threshold_and_its_predictor_labels_by_it(decided):
    predictor = Predictor.load(decided.bundle)
    decision = predictor.bundle.manifest.decision
    assert decision.positive is False
    assert decision.threshold < 0.5
    found = predictor.predict(pd.read_parquet(decided.table / "test.parquet"))
    np.testing.assert_array_equal(found.values == 0, found.probabilities[:, 0] >= decision.threshold)
    assert (found.values != found.probabilities.argmax(axis=1)).any()


def test_the_golden_rows_and_the_curve_are_in_the_bundle_and_the_plot_in_the_evaluation(decided):
    bundle = read_bundle(decided.bundle)
    for answer in bundle.examples["predictions"]:
        assert answer["label"] is (answer["probabilities"]["false"] < bundle.manifest.decision.threshold)
    assert len(bundle.reference["decision"]) == 99
    assert "<svg" in (decided.evaluation / "decision.svg").read_text()


@pytest.mark.parametrize(("positive", "at"), [("no", 0.3), (False, 1.5)])
def test_a_threshold_of_no_class_or_no_probability_is_refused(decided, tmp_path, positive, at):
    bundle = read_bundle(decided.bundle)
    manifest = json.loads((decided.bundle / "manifest.json").read_bytes())
    manifest = {name: value for name, value in manifest.items() if name not in ("format", "files")}
    manifest["decision"] |= {"positive": positive, "threshold": at}
    with pytest.raises(BundleError, match=r"manifest\.json"):
        write_bundle(tmp_path / "bundle", manifest, bundle.files)


def test_without_one_the_manifest_says_nothing_of_it(tmp_path):
    workspace = make_workspace(tmp_path, "alive")
    assert "decision" not in json.loads((workspace.bundle / "manifest.json").read_bytes())
    assert "decision" not in read_bundle(workspace.bundle).reference


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ("{positive: yes, maximize: f1}", r"train.decision.positive: True is no class of kind"),
        ("{positive: rosa, maximize: f1}", r"'rosa' is no class of kind; did you mean rose\?"),
        ("{positive: rose, maximize: cost}", r"costs belong to maximize: cost, as costs: \{false_positive: 1"),
        ("{positive: rose, maximize: f1, costs: {false_positive: 1, false_negative: 1}}", "costs belong to maximize"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, decision, words):
    workspace = make_seasons(tmp_path)
    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("train: {}", f"train: {{decision: {decision}}}"))
    with pytest.raises(SlipwayError, match=words):
        _ = workspace.params


@pytest.mark.parametrize(("target", "words"), [("kind", "kind has 3 classes"), ("weight", "weight is a number")])
def test_more_than_two_classes_or_a_number_has_no_threshold(tmp_path, target, words):
    (tmp_path / "pyproject.toml").write_text(f'[tool.slipway]\nproblem = "plants:{target}"\n')
    text = PARAMS.format(thresholds="r2: 0.5", metric="r2")
    (tmp_path / "params.yaml").write_text(
        text.replace("train: {}", "train: {decision: {positive: rose, maximize: f1}}")
    )
    with pytest.raises(SlipwayError, match=f"train.decision: {words}; a threshold needs two classes"):
        _ = Workspace(tmp_path).params
