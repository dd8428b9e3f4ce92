import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow import MlflowException

from plants import client_of, make_workspace, retrain
from slipway.model.bundle import BundleError, read_bundle, write_bundle
from slipway.model.predictor import Predictor
from slipway.problem.files import TEST
from slipway.tracking import track, update_version
from slipway.tracking.model import signature, signed_table
from slipway.tracking.pyfunc_model import BundleModel
from slipway.workspace import Workspace

pytestmark = pytest.mark.xdist_group("models")  # its fixtures are made once


def load(workspace: Workspace, alias: str = "challenger"):
    mlflow.set_tracking_uri(f"sqlite:///{workspace.root / 'mlflow.db'}")
    try:
        return mlflow.pyfunc.load_model(f"models:/plants@{alias}")
    finally:
        mlflow.set_tracking_uri(None)


def folder_of(workspace: Workspace) -> Path:
    """Where the logged model's files are."""
    return next((workspace.root / "mlartifacts").rglob("MLmodel")).parent


def held_out(workspace: Workspace) -> pd.DataFrame:
    return signed_table(workspace.features, pd.read_parquet(workspace.table / TEST))


@pytest.fixture(scope="module", params=["kind", "alive", "weight", "skops"])
def each(request, template, tmp_path_factory):
    """A recorded workspace of each kind of model."""
    root = tmp_path_factory.mktemp("each") / "workspace"
    workspace = make_workspace(root, "kind" if request.param == "skops" else request.param)
    if request.param == "skops":
        (root / "params.yaml").open("a").write("train: {compile: false}\n")
        workspace = Workspace(root)
        retrain(workspace)
    (root / "mlflow.db").write_bytes((template.root / "mlflow.db").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        done = track(workspace)
    return workspace, client_of(workspace).get_run(done.run_id)


def test_the_champion_answers_as_the_service_does(each):
    workspace, _ = each
    update_version(workspace, read_bundle(workspace.bundle).digest, alias="champion")
    rows = held_out(workspace)
    rows.index = rows.index[::-1]
    answers = load(workspace, "champion").predict(rows)
    served = pd.json_normalize(Predictor.load(workspace.bundle).predict(rows).as_json())
    pd.testing.assert_frame_equal(answers, served.set_index(rows.index), check_exact=True)


def test_the_answers_are_what_the_signature_says(each):
    workspace, _ = each
    model = load(workspace)
    kinds = {"label": str(workspace.target.classes and type(workspace.target.classes[0]).__name__)}
    answers = model.predict(held_out(workspace))
    promised = model.metadata.get_output_schema()
    assert promised.input_names() == list(answers)
    types = {"string": "str", "double": "float64", "boolean": "bool"}
    assert [types[kind.type.name] for kind in promised] == [str(dtype) for dtype in answers.dtypes], kinds


def test_mlflows_evaluation_agrees_with_ours(each):
    workspace, run = each
    metrics = run.data.metrics
    pairs = {
        "kind": {"accuracy_score": "accuracy", "f1_score": "macro_f1"},
        "alive": {"accuracy_score": "accuracy", "precision_score": "precision.true", "recall_score": "recall.true"},
        "weight": {
            "r2_score": "r2",
            "mean_absolute_error": "mae",
            "root_mean_squared_error": "rmse",
            "mean_absolute_percentage_error": "mape",
        },
    }[workspace.problem.target]
    for theirs, ours in pairs.items():
        assert metrics[theirs] == pytest.approx(metrics[ours], rel=1e-9), theirs
    assert metrics["example_count"] == len(held_out(workspace))


def test_nothing_is_pickled(each):
    workspace, _ = each
    names = [path for path in (workspace.root / "mlartifacts").rglob("*") if path.is_file()]
    assert len(names) > 20
    assert not [path for path in names if path.suffix in (".pkl", ".pickle", ".joblib", ".cloudpickle")]
    assert not [path for path in names if path.read_bytes()[:1] == b"\x80"]  # how every binary pickle begins
    flavor = yaml.safe_load((folder_of(workspace) / "MLmodel").read_text())["flavors"]
    assert list(flavor) == ["python_function"]
    assert "python_model" not in flavor["python_function"]


def test_only_what_the_model_needs_is_required(each):
    workspace, _ = each
    required = (folder_of(workspace) / "requirements.txt").read_text().split()
    runtime = read_bundle(workspace.bundle).manifest.runtime
    expected = {"onnx": ["onnxruntime"], "skops": ["scikit-learn", "skops"]}[runtime]
    assert [line.split("==")[0] for line in required] == ["mlflow", "numpy", "pandas", "pydantic", *expected]


def test_the_input_example_is_the_contracts(tracked):
    workspace, _, _ = tracked
    example = json.loads((folder_of(workspace) / "input_example.json").read_text())
    contract = read_bundle(workspace.bundle).contract
    assert dict(zip(example["columns"], example["data"][0], strict=True)) == contract.example


def test_the_signature_is_derived_from_the_contract(tracked):
    workspace, _, _ = tracked
    inputs = signature(read_bundle(workspace.bundle)).inputs
    assert {column.name: (column.type.name, column.required) for column in inputs} == {
        "height": ("double", True),
        "petals": ("long", True),
        "thorns": ("double", False),  # a missing whole number is NaN, which MLflow's long refuses
        "scented": ("boolean", True),
        "potted": ("boolean", False),
        "bed": ("string", False),
    }


def test_optional_columns_may_be_missing_or_empty(tracked):
    workspace, _, _ = tracked
    model, rows = load(workspace), held_out(workspace).head(3)
    optional = ["thorns", "potted", "bed"]
    without = model.predict(rows.drop(columns=optional))
    empty = model.predict(signed_table(workspace.features, rows.assign(**dict.fromkeys(optional))))
    pd.testing.assert_frame_equal(without, empty)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop(columns="height"), "input column 'height' is required|missing inputs \\['height'\\]"),
        (lambda rows: rows.assign(height="tall"), "Incompatible input types for column height"),
        (lambda rows: rows.assign(petals=1.5), "Incompatible input types for column petals"),
    ],
)
def test_rows_that_the_signature_does_not_allow_are_refused(tracked, change, words):
    workspace, _, _ = tracked
    with pytest.raises(MlflowException, match=words):
        load(workspace).predict(change(held_out(workspace)))


@pytest.fixture
def stored(tracked, tmp_path) -> Path:
    """A copy of the logged model's folder."""
    return Path(shutil.copytree(folder_of(tracked[0]), tmp_path / "model"))


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "reference.json", "examples.json"])
def test_a_model_with_a_changed_file_is_not_loaded(stored, name):
    path = stored / "artifacts" / "bundle" / name
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.raises(BundleError, match=re.escape(name)):
        mlflow.pyfunc.load_model(str(stored))


def test_a_model_whose_bundle_was_replaced_by_another_is_not_loaded(stored):
    folder = stored / "artifacts" / "bundle"
    bundle = read_bundle(folder)
    other = {**bundle.manifest.model_dump(exclude={"format", "files"}), "estimator": "another"}
    write_bundle(folder, other, bundle.files)
    with pytest.raises(BundleError, match=f"expected is {bundle.version}"):
        mlflow.pyfunc.load_model(str(stored))


def test_the_model_is_verified_again_by_whoever_loads_it_and_needs_no_training_library(tracked, tmp_path):
    workspace, _, _ = tracked
    code = (
        "import sys, mlflow, pandas\n"
        "model = mlflow.pyfunc.load_model('models:/plants@challenger')\n"
        "print(model.predict(pandas.DataFrame([model.input_example.iloc[0].to_dict()])).label[0])\n"
        "print([name for name in ('plants', 'project', 'sklearn', 'skl2onnx') if name in sys.modules])\n"
    )
    uri = f"sqlite:///{workspace.root / 'mlflow.db'}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["iris", "[]"]


def test_the_code_beside_the_model_is_the_code_that_is_tested(tracked):
    workspace, _, _ = tracked
    source = Path(sys.modules[BundleModel.__module__].__file__).read_bytes()
    assert (folder_of(workspace) / "pyfunc_model.py").read_bytes() == source
