import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from plants import client_of
from slipway.model.bundle import read_bundle
from slipway.tracking import track
from slipway.tracking.model import validate
from slipway.tracking.record import Record
from slipway.workspace import Workspace


def run_of(tracked):
    _, done, client = tracked
    return client.get_run(done.run_id)


def test_the_run_holds_the_parameters_and_the_scores(tracked):
    workspace, _, _ = tracked
    record, data = Record(workspace, read_bundle(workspace.bundle)), run_of(tracked).data
    assert {name: str(value) for name, value in record.parameters.items()}.items() <= data.params.items()
    assert record.metrics.items() <= data.metrics.items()


def test_the_run_holds_the_files(tracked):
    _, done, client = tracked
    listed = {
        item.path
        for folder in (None, "evaluation", "validation")
        for item in client.list_artifacts(done.run_id, folder)
    }
    pictures = {f"evaluation/{name}.svg" for name in ("confusion", "calibration", "importance", "slices")}
    assert pictures | {"evaluation/slices.json", "validation/report.json", "verdict.json", "params.yaml"} <= listed


def test_the_run_holds_what_the_files_held(tracked):
    workspace, done, client = tracked
    slices = "evaluation/slices.json"
    for name, path in {"verdict.json": workspace.verdict, slices: workspace.root / "build" / slices}.items():
        assert Path(client.download_artifacts(done.run_id, name)).read_bytes() == path.read_bytes()


def test_the_run_names_the_data_by_its_dvc_digest_and_keeps_none_of_it(tracked):
    workspace, _, _ = tracked
    (data,) = run_of(tracked).inputs.dataset_inputs
    digest = json.loads((workspace.table / "source.json").read_bytes())["data"]
    assert (data.dataset.name, data.dataset.digest) == ("plants", digest)
    assert [tag.value for tag in data.tags] == ["test set"]
    assert json.loads(data.dataset.source)["tags"]["mlflow.source.name"] == "data.dvc"
    kept = [path for path in (workspace.root / "mlartifacts").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"p17," in path.read_bytes() or path.suffix == ".parquet"]


def test_the_run_says_what_the_gate_and_mlflow_said(tracked):
    tags = run_of(tracked).data.tags
    assert (tags["slipway.verdict"], tags["slipway.mlflow_validation"]) == ("PROMOTE", "passed")


def test_more_scores_than_one_request_may_carry_are_recorded(workspace):
    scores = {f"recall.{i}": {"value": i / 400, "low": 0.0, "high": 1.0} for i in range(400)}
    (workspace.evaluation / "metrics.json").write_text(json.dumps(scores))
    done = track(workspace)
    metrics = client_of(workspace).get_run(done.run_id).data.metrics
    assert metrics["recall.399"] == 399 / 400
    assert sum(name.startswith("recall.") for name in metrics) == 1200


def test_a_score_that_changed_for_the_same_bundle_is_recorded_anew(workspace):
    done = track(workspace)
    path = workspace.evaluation / "metrics.json"
    scores = json.loads(path.read_bytes())
    scores["accuracy"]["low"] = 0.5
    path.write_text(json.dumps(scores))
    assert track(workspace).run_id == done.run_id
    assert client_of(workspace).get_run(done.run_id).data.metrics["accuracy.low"] == 0.5


def test_a_threshold_that_is_not_reached_is_recorded_in_mlflows_words(workspace):
    track(workspace)
    path = workspace.root / "params.yaml"
    path.write_text(path.read_text().replace("macro_f1: 0.6", "macro_f1: 0.999"))
    done = track(Workspace(workspace.root))
    words = client_of(workspace).get_run(done.run_id).data.tags["slipway.mlflow_validation"]
    assert "f1_score" in words
    assert "0.999" in words


SCORES = {"accuracy_score": 0.9, "f1_score": 0.8, "mean_absolute_error": 5.0}


@pytest.mark.parametrize(
    ("classes", "thresholds", "refused"),
    [
        (("a", "b", "c"), {"accuracy": 0.9, "macro_f1": 0.8}, None),
        (("a", "b", "c"), {"accuracy": 0.91}, "accuracy_score"),
        (("a", "b", "c"), {"macro_f1": 0.81}, "f1_score"),
        (("a", "b", "c"), {"log_loss": 0.0, "recall.a": 1.0}, None),  # MLflow computes neither: left to the gate
        (("a", "b"), {"macro_f1": 1.0}, None),  # its F1 is of one class then
        ((), {"mae": 5.0}, None),
        ((), {"mae": 4.9}, "mean_absolute_error"),
    ],
)
def test_mlflow_checks_the_thresholds_that_it_can(classes, thresholds, refused):
    gate = SimpleNamespace(gate=SimpleNamespace(thresholds=thresholds))
    workspace = SimpleNamespace(params=gate, target=SimpleNamespace(classes=classes))
    words = validate(SimpleNamespace(workspace=workspace), SCORES)
    assert words == "passed" if refused is None else refused in words
