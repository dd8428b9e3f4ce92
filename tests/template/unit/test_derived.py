"""Derived features: packed with the model, run from the bundle, and only what can be served."""

import hashlib
import itertools
import json
import shutil

import numpy as np
import pytest
import yaml
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from checkouts import ROOT
from flowers import flower_problem, flowers
from slipway.contract import features as contract_of
from slipway.model.bundle import BundleError, read_bundle
from slipway.model.derived import derive
from slipway.model.predictor import Predictor
from slipway.problem import Function, SlipwayError
from slipway.problem.params import Params
from slipway.stages.prepare import prepare
from slipway.stages.train import train
from slipway.workspace import Workspace

PARAMS = Params.model_validate({"gate": {"thresholds": {"accuracy": 0.5}, "champion": {"metric": "accuracy"}}})
GOOD = """
import numpy as np

def features(columns):
    return {"tall": columns["height"] > 55, "per_petal": columns["height"] / columns["petals"], "bed": columns["bed"]}
"""
numbers = itertools.count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of features; give the function and its file."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(code):
        path = tmp_path / f"features_{next(numbers)}.py"
        path.write_text(code)
        return Function(f"{path.stem}:features"), path

    return write


def trained(folder, function, params=PARAMS, **changes):
    problem = flower_problem(features=function, load=lambda _: flowers(200), **changes)
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "flowers.csv").write_text("made in memory")
    prepare(problem, PARAMS.prepare, folder / "data", folder / "table")
    digest = hashlib.sha256((folder / "table" / "train.parquet").read_bytes()).hexdigest()
    (folder / "passed.json").write_text(json.dumps({"train": digest}))
    return train(problem, params, folder / "table", folder, folder / "bundle")


def test_the_bundle_answers_without_the_project_and_the_manifest_names_what_the_estimator_sees(module, tmp_path):
    function, path = module(GOOD)
    bundle = trained(tmp_path / "run", function)
    path.unlink()
    assert bundle.files["features.py"].decode() == GOOD
    assert bundle.manifest.files["features.py"].sha256 == hashlib.sha256(GOOD.encode()).hexdigest()
    assert dict(bundle.manifest.features.columns) == {"tall": "number", "per_petal": "number", "bed": "text"}
    assert Predictor.load(tmp_path / "run" / "bundle").score(flowers(300, seed=1)) > 0.8


def test_a_decision_threshold_is_chosen_by_what_the_estimator_sees(module, tmp_path):
    def build():
        columns = make_column_transformer((StandardScaler(), ["tall", "per_petal"]))
        return make_pipeline(columns, LogisticRegression())

    gate = {"thresholds": {"accuracy": 0.5}, "champion": {"metric": "accuracy"}}
    train = {"decision": {"positive": "rose", "maximize": "f1"}}
    params = Params.model_validate({"gate": gate, "train": train})
    assert trained(tmp_path, module(GOOD)[0], params, build=build).manifest.decision.positive == "rose"


def test_without_features_the_manifest_does_not_speak_of_them(tmp_path):
    trained(tmp_path, None)
    assert "features" not in json.loads((tmp_path / "bundle" / "manifest.json").read_bytes())


def test_a_bundle_whose_code_was_changed_is_refused_and_the_code_is_not_run(module, tmp_path):
    trained(tmp_path / "run", module(GOOD)[0])
    changed = tmp_path / "run" / "bundle" / "features.py"
    changed.write_text(GOOD + f"\nopen({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(BundleError, match=r"features.py: .* the file was changed"):
        Predictor.load(changed.parent)
    changed.unlink()
    with pytest.raises(BundleError, match=r"features.py: missing"):
        Predictor.load(changed.parent)
    assert not (tmp_path / "ran").exists()


def test_a_bundle_may_be_read_without_running_its_code(module, tmp_path):
    ran = tmp_path / "ran"
    trained(tmp_path / "run", module(GOOD + f"\nopen({str(ran)!r}, 'w')\n")[0])
    ran.unlink()
    read_bundle(tmp_path / "run" / "bundle")
    assert not ran.exists()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import pandas\ndef features(columns): return columns", "imports pandas; a server .* has NumPy"),
        ("from project import schema\ndef features(columns): return columns", "imports project; a server"),
        ("features = lambda columns: columns", "must be a function of a module of its own"),
        ("def features(columns): return columns['tall']", "failed: KeyError: 'tall'"),
        ("def features(columns): return None", "returned a NoneType, not a mapping"),
        ("def features(columns): return {'x': columns['height'][:1]}", r"shape \(1,\); it must hold .* one for each"),
        ("def features(columns): return {'x': columns['height'].astype('M8[s]')}", "x is an array of datetime64"),
        ("def features(columns): return {'x': [None] * len(columns['bed'])}", "values that are no texts"),
        ("def features(columns): return {'_x': columns['bed']}", "without a leading underscore"),
        ("def features(columns): columns['height'] += 1; return columns", "failed: ValueError: .*read-only"),
        (
            "def features(columns): return {'x': columns['height'] - columns['height'].mean()}",
            "gives x of a row other values alone than among other rows",
        ),
        (
            "import numpy as np\ndef features(columns): return {'x': np.random.rand(len(columns['bed']))}",
            "no random numbers",
        ),
    ],
)
def test_what_could_not_be_served_is_refused(module, code, words):
    problem = flower_problem(features=module(code)[0])
    with pytest.raises(SlipwayError, match=words):
        derive(problem, contract_of(problem).arrays(flowers(20)))


def test_a_division_by_zero_is_a_missing_number(module):
    problem = flower_problem(features=module("def features(c): return {'x': c['height'] / (c['petals'] - 3)}")[0])
    arrays = contract_of(problem).arrays(flowers(20))
    derived = derive(problem, arrays)
    assert np.isnan(derived({**arrays, "petals": np.full(20, 3.0)})["x"]).all()


def test_features_that_the_pipeline_does_not_depend_on_are_named_with_the_line_to_add(tmp_path):
    (tmp_path / "src" / "project").mkdir(parents=True)
    (tmp_path / "src" / "project" / "features.py").write_text(GOOD)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    workspace = Workspace(tmp_path)
    code = compile(GOOD, str(tmp_path / "src" / "project" / "features.py"), "exec")
    exec(code, space := {})
    workspace.problem = flower_problem(features=space["features"])
    with pytest.raises(SlipwayError, match=r"train and evaluate would not notice a change of src/project/features.py"):
        workspace.require_dependency()
    pipeline = yaml.safe_load((tmp_path / "dvc.yaml").read_text())
    for stage in ("train", "evaluate"):
        pipeline["stages"][stage]["deps"].append("src/project/features.py")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    workspace.require_dependency()
