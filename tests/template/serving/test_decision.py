"""A bundle with a decision threshold: every protocol gives the labels by it, and the model's own probabilities."""

import json

import pytest

from serving.bundles import flowers
from serving.running import Direct, quiet
from slipway.model.bundle import read_bundle, write_bundle
from slipway.model.manifest import Decision
from slipway.model.predictor import Predictor, decide

COSTS = {"false_positive": 1.0, "false_negative": 50.0}
DECISION = {"positive": False, "threshold": 0.02, "maximize": "cost", "costs": COSTS}


@pytest.fixture(scope="module")
def before(made) -> Predictor:
    """The predictor of the classes false and true without a threshold."""
    return Predictor.load(made["alive"])


@pytest.fixture(scope="module")
def decided(before, made, tmp_path_factory):
    """The bundle with a threshold that makes nearly every label false."""
    golden = before.predict(before.bundle.examples["rows"])
    answers = decide(golden, before.classes, Decision(**DECISION)).as_json()
    manifest = json.loads((made["alive"] / "manifest.json").read_bytes())
    for name in ("files", "format"):
        del manifest[name]
    examples = json.dumps({"rows": before.bundle.examples["rows"], "predictions": answers})
    folder = tmp_path_factory.mktemp("decided") / "bundle"
    write_bundle(folder, manifest | {"decision": DECISION}, {**before.bundle.files, "examples.json": examples.encode()})
    return folder


@pytest.fixture(scope="module")
def service(decided):
    direct = Direct(quiet(decided))
    yield direct
    direct.close()


@pytest.fixture(scope="module")
def rows(decided) -> list[dict]:
    return read_bundle(decided).contract.rows({name: values[:20] for name, values in flowers().items()})


@pytest.fixture(scope="module")
def labels(before, rows) -> list[bool]:
    return [answer["probabilities"]["false"] < 0.02 for answer in before.predict(rows).as_json()]


def test_predict_gives_the_label_by_the_threshold_and_the_probabilities_as_they_are(service, before, rows, labels):
    answers = service.ask("/predict", {"rows": rows}).json()["predictions"]
    expected = before.predict(rows).as_json()
    assert [answer["label"] for answer in answers] == labels
    assert labels != [answer["label"] for answer in expected]
    assert [answer["probabilities"] for answer in answers] == [answer["probabilities"] for answer in expected]


def test_so_do_the_protocols_of_other_servers(service, rows, labels):
    assert service.ask("/invocations", {"dataframe_records": rows}).json()["predictions"] == labels
    kinds = {tensor["name"]: tensor["datatype"] for tensor in service.ask("/v2/models/flowers").json()["inputs"]}
    whole = [(row, label) for row, label in zip(rows, labels, strict=True) if None not in row.values()]
    tensors = [
        {"name": name, "datatype": kind, "shape": [len(whole)], "data": [row[name] for row, _ in whole]}
        for name, kind in kinds.items()
    ]
    outputs = service.ask("/v2/models/flowers/infer", {"inputs": tensors}).json()["outputs"]
    assert outputs[0]["data"] == [str(label).lower() for _, label in whole]


def test_the_model_card_names_it_and_only_where_there_is_one(service, made):
    assert service.ask("/model").json()["decision"] == DECISION
    other = Direct(quiet(made["alive"]))
    assert "decision" not in other.ask("/model").json()
    other.close()
