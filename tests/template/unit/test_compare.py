"""Two models side by side: the gate's own numbers, for any two that were released or just built."""

import csv
import json
import shutil

import pandas as pd
import pytest
from click.testing import CliRunner

from slipway.champion import read_decision
from slipway.cli import main
from slipway.comparison import compare, load
from slipway.model.bundle import read_bundle
from slipway.model.predictor import Predictor
from slipway.problem import SlipwayError
from slipway.problem.files import TEST
from slipway.release import promote
from slipway.workspace import Workspace


def call(workspace: Workspace, *arguments: str):
    return CliRunner().invoke(main, ["--root", str(workspace.root), "compare", *arguments])


def versions(workspace: Workspace) -> tuple[str, str]:
    return read_bundle(workspace.bundle).version, read_decision(workspace.root).version


def test_the_differences_are_those_of_the_gates_verdict(challenged_original):
    candidate, champion = versions(challenged_original)
    found = compare(challenged_original, load(challenged_original, candidate), load(challenged_original, champion))
    verdict = challenged_original.read_verdict()
    assert {one.name: one.difference.as_json() for one in found.scores} == verdict["comparison"]
    assert {one.name: one.a for one in found.scores} == pytest.approx(verdict["metrics"])
    assert found.gate in [reason["detail"] for reason in verdict["reasons"]]


def test_each_model_is_asked_once(challenged_original, monkeypatch):
    asked = []
    predict = Predictor.predict
    models = [load(challenged_original, version) for version in versions(challenged_original)]
    monkeypatch.setattr(Predictor, "predict", lambda one, table: asked.append(one.version) or predict(one, table))
    compare(challenged_original, *models)
    assert asked == [model.version for model in models]


def test_the_other_way_round_better_is_worse(challenged_original):
    models = [load(challenged_original, version) for version in versions(challenged_original)]
    there = {one.name: one for one in compare(challenged_original, *models).scores}
    back = {one.name: one for one in compare(challenged_original, *reversed(models)).scores}
    opposite = {"better": "worse", "worse": "better", "equal": "equal", "may be chance": "may be chance"}
    assert {name: opposite[one.words] for name, one in there.items()} == {n: one.words for n, one in back.items()}
    assert "better" in {one.words for one in there.values()}
    for name, one in there.items():
        assert one.difference.value == pytest.approx(one.a - one.b) == pytest.approx(-back[name].difference.value)


def test_each_slice_of_the_parameters_is_compared(challenged_original):
    models = [load(challenged_original, version) for version in versions(challenged_original)]
    found = compare(challenged_original, *models)
    for column in challenged_original.params.evaluate.slices:
        assert sum(rows for name, rows, _ in found.slices if name.startswith(f"{column}=")) == found.rows


def test_the_calibration_of_both_is_shown_side_by_side(challenged_original):
    content = json.loads(call(challenged_original, "--json").output)
    curve = [{"class": one["class"], **one["a"]} for one in content["calibration"] if one["a"]]
    assert curve == [
        {name: value if name == "class" else float(value) for name, value in one.items()}
        for one in csv.DictReader((challenged_original.evaluation / "calibration.csv").open())
    ]
    assert sum(one["b"]["rows"] for one in content["calibration"] if one["b"]) == content["rows"]
    assert content["calibration"] == challenged_original.read_verdict()["calibration"]
    shown = call(challenged_original).output
    assert "Calibration: predicted probability of male" in shown
    assert f"{content['calibration'][0]['b']['observed']:.3f}" in shown


def test_what_differs_is_listed_and_what_does_not_is_not(challenged_original):
    done = call(challenged_original, "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.output)
    assert (content["a"], content["b"]) == versions(challenged_original)
    assert content["differs"]["model.inverse_regularization"] == [1.1, 1.0]
    assert "data" not in content["differs"]
    assert content["scores"][0].keys() == {"name", "a", "b", "difference", "words"}
    shown = call(challenged_original).output
    assert "inverse_regularization" in shown
    assert "The gate's view: log_loss" in shown


def test_an_earlier_champion_is_compared_and_predicts_by_its_version_or_tag_in_a_clone_without_a_cache(challenged):
    candidate, first = versions(challenged)
    promote(challenged)
    shutil.rmtree(challenged.root / ".dvc" / "cache", ignore_errors=True)
    for name in (first[:8], f"model/{first}", "HEAD~1"):
        content = json.loads(call(challenged, "champion", name, "--json").output)
        assert (content["a"], content["b"]) == (candidate, first)
    rows, output = challenged.table / TEST, challenged.root / "predicted.parquet"
    arguments = ["predict", str(rows), str(output), "--version", f"model/{first}"]
    done = CliRunner().invoke(main, ["--root", str(challenged.root), *arguments])
    assert done.exit_code == 0, done.output
    assert set(pd.read_parquet(output)["model_version"]) == {first}


def test_the_same_model_twice_is_an_error(challenged_original):
    done = call(challenged_original, "champion", "champion")
    assert done.exit_code == 1
    assert "there is nothing to compare" in done.stderr


def test_an_unknown_model_is_an_error_with_those_that_are_known(challenged_original):
    done = call(challenged_original, "candidate", "0123abc")
    assert done.exit_code == 1
    assert read_decision(challenged_original.root).version in done.stderr


def test_models_that_cannot_be_compared_say_why(challenged_original, made):
    with pytest.raises(SlipwayError, match=r"cannot be compared: .* predicts other classes"):
        compare(
            challenged_original,
            load(challenged_original, versions(challenged_original)[0]),
            Predictor.load(made["species"]),
        )
