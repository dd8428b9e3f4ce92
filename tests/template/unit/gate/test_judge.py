"""A whole verdict on a small problem: which checks run, what they compare, and what is written down."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

import plants
from checkouts import commit_files, make_repository
from slipway.champion import BUNDLE, EVALUATION
from slipway.gate import judge, load_champion
from slipway.gate.changes import drifts
from slipway.model.bundle import read_bundle
from slipway.problem import SlipwayError
from slipway.workspace import Workspace

ALONE = ["threshold accuracy", "threshold macro_f1", "threshold log_loss", "constant", "bundle size", "champion"]
CHANGES = ["champion's record", "drift", "coverage"]


def pointer(digest: str, rolled_back: tuple[str, ...] = ()) -> str:
    meta = {"digest": digest, "action": "promote", "verdict": "PROMOTE", "reason": "r", "who": "w"}
    return json.dumps({"outs": [], "meta": {**meta, "rolled_back": rolled_back}})


def release(workspace: Workspace) -> str:
    """Make the candidate the champion, as a release leaves it; its digest."""
    digest = read_bundle(workspace.bundle).digest
    shutil.rmtree(workspace.champion, ignore_errors=True)
    shutil.copytree(workspace.bundle, workspace.champion / BUNDLE)
    shutil.copytree(workspace.evaluation, workspace.champion / EVALUATION)
    commit_files(workspace.root, "Promote", {"champion.dvc": pointer(digest)})
    return digest


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A repository with a champion and another candidate, which is hardly less regularized."""
    root = make_repository(tmp_path_factory.mktemp("judged") / "plants")
    (root / ".gitignore").write_text("*\n!champion.dvc\n")
    workspace = plants.make_workspace(root)
    release(workspace)
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("strength: 1.0", "strength: 1.01") + "  behaviour: false\n")
    plants.retrain(Workspace(root))
    return root


@pytest.fixture
def workspace(trained, tmp_path) -> Workspace:
    return Workspace(Path(shutil.copytree(trained, tmp_path / "plants")))


def ask_also(workspace: Workspace, text: str) -> Workspace:
    """Add lines to the section `gate` of params.yaml."""
    path = workspace.root / "params.yaml"
    path.write_text(path.read_text() + text)
    return Workspace(workspace.root)


def outcomes(workspace: Workspace, **how: bool) -> dict[str, str]:
    return {reason.check: reason.outcome for reason in judge(workspace, **how).reasons}


def test_a_verdict_names_what_it_compared_and_is_written_as_it_is_given(workspace):
    verdict = judge(workspace)
    assert (verdict.verdict, [reason.check for reason in verdict.reasons]) == ("PROMOTE", [*ALONE, *CHANGES])
    assert verdict.candidate == read_bundle(workspace.bundle).digest
    assert verdict.champion == read_bundle(workspace.champion / BUNDLE).digest
    assert verdict.table == workspace.test_set_digest()
    assert json.loads(workspace.verdict.read_bytes()) == json.loads(json.dumps(asdict(verdict)))


def test_its_scores_are_those_of_the_evaluation_and_each_difference_has_an_interval(workspace):
    verdict = judge(workspace)
    evaluated = workspace.read(workspace.evaluation / "metrics.json")
    assert verdict.metrics == {name: score["value"] for name, score in evaluated.items()}
    before = workspace.read(workspace.champion / EVALUATION / "metrics.json")
    assert verdict.comparison["log_loss"]["value"] == pytest.approx(
        evaluated["log_loss"]["value"] - before["log_loss"]["value"]
    )
    assert verdict.comparison["log_loss"]["low"] < verdict.comparison["log_loss"]["high"]
    assert set(verdict.slices) == {"bed=north", "bed=south", "bed=missing"}
    assert all({"value", "low", "high"} <= score.keys() for score in verdict.slices.values())


def test_each_interval_has_the_number_of_samples_and_the_confidence_of_the_parameters(workspace):
    evaluated = workspace.read(workspace.evaluation / "metrics.json")["accuracy"]
    found = next(r.detail for r in judge(workspace).reasons if r.check == "threshold accuracy")
    assert f"{evaluated['value']:.4g} ({evaluated['low']:.4g} to {evaluated['high']:.4g})" in found
    assert "with 95% confidence" in next(r.detail for r in judge(workspace).reasons if r.check == "champion")


def test_before_the_first_release_the_other_checks_decide_alone(workspace):
    commit_files(workspace.root, "Another problem", {"champion.dvc": None})
    verdict = judge(workspace)
    assert (verdict.verdict, [reason.check for reason in verdict.reasons]) == ("PROMOTE", ALONE)
    assert (verdict.champion, verdict.comparison, verdict.slices) == (None, {}, {})
    assert load_champion(workspace) == (None, None)


def test_the_champion_itself_is_not_compared_with_itself(workspace):
    release(workspace)
    verdict = judge(workspace)
    assert (verdict.verdict, [reason.check for reason in verdict.reasons]) == ("HOLD", ALONE)
    assert (verdict.comparison, verdict.slices) == ({}, {})


def test_what_was_rolled_back_is_held(workspace):
    version, digest = read_bundle(workspace.bundle).version, read_bundle(workspace.champion / BUNDLE).digest
    commit_files(workspace.root, "Rollback", {"champion.dvc": pointer(digest, (version,))})
    found = judge(workspace).reasons[-1]
    assert (found.check, found.outcome) == ("history", "hold")
    assert found.detail == f"{version} was released before, and rolled back"


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("  slice_thresholds: {metric: macro_f1, threshold: 0.99, min_rows: 1}\n", {"slices": "fail"}),
        ("  slice_thresholds: {metric: accuracy, threshold: 0.1, min_rows: 1}\n", {"slices": "pass"}),
        (
            "  fairness:\n"
            "    - {column: bed, metric: accuracy, max_difference: 0, min_rows: 1}\n"
            "    - {column: potted, metric: accuracy, max_difference: 1, min_rows: 1}\n",
            {"fairness bed": "fail", "fairness potted": "pass"},
        ),
        ("  max_bundle_megabytes: 0.0001\n", {"bundle size": "fail"}),
    ],
)
def test_a_check_that_is_asked_for_is_made(workspace, text, added):
    before = outcomes(workspace)
    found = outcomes(ask_also(workspace, text))
    assert {check: outcome for check, outcome in found.items() if before.get(check) != outcome} == added


def test_a_check_that_is_turned_off_is_not_made(workspace):
    assert "constant" not in outcomes(ask_also(workspace, "  beats_constant: false\n"))


def test_the_tests_of_the_models_behaviour_count_if_they_are_turned_on(workspace):
    (workspace.root / "tests/model").mkdir(parents=True)
    (workspace.root / "tests/model/test_it.py").write_text("def test_it(): assert not 'so'\n")
    path = workspace.root / "params.yaml"
    path.write_text(path.read_text().replace("behaviour: false", "behaviour: true"))
    verdict = judge(Workspace(workspace.root))
    assert (verdict.verdict, verdict.reasons[5].check) == ("REJECT", "behaviour test_it")


def test_live_rows_are_asked_if_they_are_asked_for(workspace):
    assert "live" not in outcomes(workspace)
    found = judge(workspace, live=True).reasons[-1]
    assert (found.check, found.outcome) == ("live", "hold")
    assert "no truth was joined here" in found.detail


def test_if_judging_fails_no_earlier_verdict_stays(workspace):
    workspace.verdict.unlink()
    judge(workspace)
    shutil.rmtree(workspace.bundle)
    with pytest.raises(SlipwayError, match="no bundle is here"):
        judge(workspace)
    assert not workspace.verdict.exists()


def test_a_champion_that_is_not_the_one_of_the_last_commit_is_not_judged_against(pending):
    text = (pending.root / "champion.dvc").read_text()
    digest = read_bundle(pending.champion / BUNDLE).digest
    commit_files(pending.root, "By hand", {"champion.dvc": text.replace(digest, "f" * 64)})
    with pytest.raises(SlipwayError, match=f"this is bundle {digest[:12]}, expected is {'f' * 12}"):
        load_champion(pending)


# --- what changed since the champion's release ---


def test_the_changes_since_the_release_are_told_with_their_numbers(workspace):
    reasons = {reason.check: reason.detail for reason in judge(workspace).reasons}
    before = workspace.read(workspace.champion / EVALUATION / "metrics.json")["accuracy"]
    version = read_bundle(workspace.champion / BUNDLE).version
    score = f"{before['value']:.4g} ({before['low']:.4g} to {before['high']:.4g})"
    assert reasons["champion's record"] == f"accuracy of {version}: {score} at its release, {score} on this test set"
    assert f" drifted most since {version}: PSI 0.000, the limit is " in reasons["drift"]
    judged = f"the 6 slices and classes that {version} was judged on have at least 10 rows"
    assert reasons["coverage"] == judged


def test_a_champion_without_a_record_is_compared_by_the_distributions_alone(workspace):
    shutil.rmtree(workspace.champion / EVALUATION)
    found = {reason.check: reason.detail for reason in judge(workspace).reasons}
    assert [check for check in found if check in CHANGES] == ["drift", "coverage"]
    assert "the 0 slices and classes" in found["coverage"]


def test_a_record_without_the_metric_of_the_comparison_is_none(workspace):
    path = workspace.champion / EVALUATION / "metrics.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({name: score for name, score in content.items() if name != "accuracy"}))
    assert "champion's record" not in outcomes(workspace)


@pytest.mark.parametrize(("minimum", "lost"), [(1, "kind=rose"), (1000, None)])
def test_the_least_rows_of_a_slice_are_those_of_the_slices_thresholds(workspace, minimum, lost):
    limits = f"  slice_thresholds: {{metric: accuracy, threshold: 0, min_rows: {minimum}}}\n"
    path = workspace.table / "test.parquet"
    table = pd.read_parquet(path)
    table[table["kind"] != "rose"].to_parquet(path)
    found = {reason.check: reason for reason in judge(ask_also(workspace, limits)).reasons}["coverage"]
    assert found.outcome == ("hold" if lost else "pass")
    assert (lost or "the 0 slices and classes") in found.detail


def test_a_slice_is_lost_as_a_class_is(workspace):
    path = workspace.table / "test.parquet"
    table = pd.read_parquet(path)
    rows = int((table["bed"] == "north").sum())
    table[table["bed"] != "north"].to_parquet(path)
    found = {reason.check: reason for reason in judge(workspace).reasons}["coverage"]
    assert (found.outcome, f"bed=north ({rows} rows, now 0)" in found.detail) == ("hold", True)


def test_drift_is_measured_of_every_feature_and_the_target_and_limited_by_the_number_of_groups(workspace):
    train = pd.read_parquet(workspace.table / "train.parquet")
    champion = read_bundle(workspace.champion / BUNDLE)
    found = drifts(workspace.problem, champion, train)
    names = ["height", "petals", "thorns", "scented", "potted", "bed", "kind"]
    assert [(one.name, round(one.psi, 9)) for one in found] == [(name, 0) for name in names]
    few, missing = (
        drifts(workspace.problem, champion, train.assign(label=groups))
        for groups in ([f"p{n % 20}" for n in range(len(train))], None)
    )
    for many, twenty, one in zip(found, few, missing, strict=True):
        assert many.limit < twenty.limit < one.limit
