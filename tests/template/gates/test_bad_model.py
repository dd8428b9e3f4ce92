"""A model that is not good enough is refused by the gate, with its numbers, and the champion still serves."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from checkouts import run_stages
from slipway.gate import judge
from slipway.model.bundle import BundleError, write_bundle
from slipway.problem import SlipwayError
from slipway.release import promote
from slipway.workspace import Workspace


def with_model(workspace: Workspace, build) -> Workspace:
    workspace.__dict__["problem"] = replace(workspace.problem, build=lambda **_: build())
    return workspace


def with_params(workspace: Workspace, old: str, new: str) -> Workspace:
    path = workspace.root / "params.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return Workspace(workspace.root)


def failed(verdict) -> dict[str, str]:
    return {reason.check: reason.detail for reason in verdict.reasons if reason.outcome == "fail"}


def pipeline(*numbers, model=None):
    """The project's estimator, over these numbers only (none named: all of them), or with another model at its end."""
    columns = make_column_transformer(
        (StandardScaler(), list(numbers) or make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000) if model is None else model)


def test_labels_that_were_shuffled_teach_nothing_and_the_thresholds_refuse(released):
    path = released.data / "penguins-raw.csv"
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["Sex"] != "NA"]
    labels = np.random.default_rng(0).permutation([row["Sex"] for row in rows])
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "Sex": label} for row, label in zip(rows, labels, strict=True))
    unguarded = replace(released.problem, expectations=list)  # which would refuse the mean mass of either sex
    released.__dict__["problem"] = unguarded
    verdict = run_stages(released)
    assert verdict.verdict == "REJECT"
    assert "at least 0.85 is needed" in failed(verdict)["threshold accuracy"]
    assert "at most 0.5 is needed" in failed(verdict)["threshold log_loss"]


def test_a_model_that_learned_nothing_is_refused_by_threshold_slice_behaviour_and_champion(released):
    verdict = run_stages(with_model(released, lambda: DummyClassifier(strategy="prior")))
    assert verdict.verdict == "REJECT"
    found = failed(verdict)
    assert {"threshold accuracy", "threshold macro_f1", "threshold log_loss", "slices", "champion"} <= set(found)
    assert any(check.startswith("behaviour test_minimum_functionality") for check in found)


def test_a_model_worse_than_the_champion_is_refused_though_it_is_above_every_threshold(released):
    workspace = with_params(released, "inverse_regularization: 1.0", "inverse_regularization: 0.1")
    verdict = run_stages(workspace)
    assert verdict.verdict == "REJECT"
    assert list(failed(verdict)) == ["champion"]
    assert failed(verdict)["champion"].endswith(": worse")
    assert verdict.comparison["log_loss"]["low"] > 0


def test_a_better_model_is_promoted(released):
    verdict = run_stages(with_params(released, "inverse_regularization: 1.0", "inverse_regularization: 10.0"))
    assert verdict.verdict == "PROMOTE"
    assert verdict.comparison["log_loss"]["high"] < 0


def test_another_model_of_which_the_test_set_cannot_say_whether_it_is_better_is_held(released):
    verdict = run_stages(with_model(released, lambda: pipeline(model=RandomForestClassifier(100))))
    assert verdict.verdict == "HOLD"
    held = {reason.check: reason.detail for reason in verdict.reasons if reason.outcome == "hold"}
    assert list(held) == ["champion"]
    assert held["champion"].endswith(": it may be worse by more than the margin of 0.02")


def test_a_model_that_fails_one_slice_only_is_refused_by_that_slice(released):
    def build():
        model = pipeline()

        def fit(table, target):  # one island's birds are all taught as females, wherever they differ
            wrong = np.where((table["island"] == "Torgersen").to_numpy(), 0, target)
            return type(model).fit(model, table, wrong)

        model.fit = fit
        return model

    workspace = with_params(released, "accuracy: 0.85\n    macro_f1: 0.85", "accuracy: 0.8")
    workspace = with_params(workspace, "behaviour: true", "behaviour: false")
    workspace = with_params(workspace, "threshold: 0.8", "threshold: 0.7")
    verdict = run_stages(with_model(workspace, build))
    found = failed(verdict)
    assert verdict.verdict == "REJECT"
    assert "threshold accuracy" not in found
    assert found["slices"] == "accuracy of island=Torgersen 0.4167 on 12 rows; at least 0.7 is needed"


def test_a_model_that_ignores_a_feature_it_should_use_is_refused_by_its_behaviour(released):
    others = ("bill_length_mm", "flipper_length_mm", "body_mass_g")
    verdict = run_stages(with_model(released, lambda: pipeline(*others)))
    assert verdict.verdict == "REJECT"
    direction = "behaviour test_direction_within_a_species_a_larger_bird_is_more_likely_a_male"
    refused = {check for check in failed(verdict) if check.startswith("behaviour")}
    assert refused == {f"{direction}[bill_depth_mm-1.0-{species}]" for species in ("Adelie", "Chinstrap", "Gentoo")}


def test_a_bundle_that_is_too_large_is_refused(released):
    workspace = with_params(released, "max_bundle_megabytes: 50", "max_bundle_megabytes: 0.001")
    assert "at most 0.001 MB" in failed(judge(workspace))["bundle size"]


def test_a_candidate_that_was_tampered_with_gets_no_verdict_and_is_not_promoted(released):
    run_stages(with_model(released, lambda: pipeline("bill_length_mm", "bill_depth_mm")))
    path = released.bundle / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(BundleError, match=r"model.onnx: its SHA-256"):
        judge(released)
    assert not released.verdict.exists()
    with pytest.raises(BundleError, match=r"model.onnx: its SHA-256"):
        promote(released)


def test_a_bundle_whose_golden_rows_do_not_come_out_gets_no_verdict(released):
    manifest = json.loads((released.bundle / "manifest.json").read_bytes())
    files = {name: (released.bundle / name).read_bytes() for name in manifest.pop("files")}
    examples = json.loads(files["examples.json"])
    examples["predictions"][3]["label"] = "male" if examples["predictions"][3]["label"] == "female" else "female"
    manifest.pop("format")
    write_bundle(released.bundle, manifest, {**files, "examples.json": json.dumps(examples).encode()})
    with pytest.raises(BundleError, match="golden row 3 gives"):
        judge(released)


def test_the_champion_as_its_own_challenger_is_held(released):
    verdict = judge(released)
    assert verdict.verdict == "HOLD"
    assert [reason.check for reason in verdict.reasons if reason.outcome == "hold"] == ["champion"]


def test_a_champion_that_is_not_here_is_fetched_rather_than_taken_for_none(released):
    shutil.rmtree(released.champion / "bundle")
    assert judge(released).verdict == "HOLD"
    assert (released.champion / "bundle" / "manifest.json").exists()


def test_a_tampered_champion_stops_the_gate(released):
    model = released.champion / "bundle" / "model.onnx"
    whole = model.read_bytes()
    model.unlink()  # it may be a link to DVC's cache
    model.write_bytes(whole[:-1] + b"\0")
    with pytest.raises(BundleError, match=r"model.onnx: its SHA-256"):
        judge(released)
    model.write_bytes(whole)


def test_behaviour_tests_that_cannot_be_run_refuse(released):
    (released.root / "tests" / "model" / "test_behaviour.py").write_text("import nowhere\n")
    assert "nowhere" in str(failed(judge(released)))


def test_no_behaviour_tests_at_all_refuse_unless_that_is_said(released):
    for path in (released.root / "tests" / "model").glob("test_*.py"):
        path.unlink()
    assert "gate.behaviour: false allows that" in failed(judge(released))["behaviour"]
    assert "behaviour" not in failed(judge(with_params(released, "behaviour: true", "behaviour: false")))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("test_share", "test_shar", r"prepare.test_shar: unknown; did you mean test_share\?"),
        ("seed: 0", "seed: zero", "train.seed: Input should be a valid integer"),
        ("gate:", "gates:", r"gates: unknown; did you mean gate\?"),
        ("inverse_regularization", "inverse_regularisation", "did you mean inverse_regularization"),
        ("inverse_regularization: 1.0", "inverse_regularization: strong", "should be a valid number"),
        ("    accuracy: 0.85", "    acuracy: 0.85", r"gate.thresholds: 'acuracy' is unknown; did you mean accuracy\?"),
        ("[species, island, season]", "[islands]", r"evaluate.slices: 'islands' is unknown; did you mean island\?"),
    ],
)
def test_params_with_a_typo_a_wrong_type_or_an_unknown_key_are_refused_before_anything_runs(released, old, new, words):
    with pytest.raises(SlipwayError, match=words):
        run_stages(with_params(released, old, new))


def test_the_command_says_reject_and_exits_with_1(released):
    model = released.root / "src" / "project" / "model.py"
    model.write_text(model.read_text().replace("LogisticRegression(C=", "LogisticRegression(C=1e-9 * "))
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "run", "--no-track"], cwd=released.root, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Verdict: REJECT" in done.stdout
