"""The command: the change of params.yaml, the record in MLflow, the report."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from checkouts import copy_checkout, run
from search.meadows import again, make_meadow
from slipway.cli import main
from slipway.report import gather, write_report
from slipway.search import run as search
from slipway.tracking import searches
from slipway.tracking.searches import record_search


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def meadow(tmp_path):
    return make_meadow(tmp_path / "meadow", trials="5")


def call(workspace, *arguments: str):
    return CliRunner().invoke(main, ["--root", str(workspace.root), "search", "--no-track", *arguments])


def test_it_shows_the_change_and_apply_makes_it_with_all_comments_kept(meadow):
    before = (meadow.root / "params.yaml").read_text()
    shown = call(meadow)
    assert shown.exit_code == 0, shown.output
    best = json.loads((meadow.search / "found.json").read_bytes())["arguments"]["slope"]
    for text in ("1/5  log_loss", "-  slope: 0.1 ", f"+  slope: {best:g} ", "`slipway search --apply` writes this"):
        assert text in shown.output
    assert (meadow.root / "params.yaml").read_text() == before
    applied = call(meadow, "--apply")
    assert "trial" not in applied.output.partition("Study")[0]  # all were there
    after = (meadow.root / "params.yaml").read_text()
    changed = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert [[line.split() for line in pair] for pair in changed] == [
        [["slope:", "0.1", "#", "per", "10", "cm"], ["slope:", f"{best:g}", "#", "per", "10", "cm"]]
    ]
    assert "Nothing better than params.yaml was found." in call(meadow).output  # the same study, whose best is in use


def test_changes_that_are_not_committed_are_not_overwritten(meadow):
    text = (again(meadow, "trials: 5", "trials: 2").root / "params.yaml").read_text()
    refused = call(meadow, "--apply")
    assert refused.exit_code == 1
    assert "uncommitted work could be lost: params.yaml; commit or stash it first" in refused.stderr
    assert not meadow.search.exists()  # told before the trials are run
    assert (meadow.root / "params.yaml").read_text() == text


def test_worse_parameters_are_not_proposed(tmp_path):
    workspace = make_meadow(tmp_path / "meadow", "{slope: {float: [50, 100]}}", "2")
    said = call(workspace, "--apply")
    assert "Nothing better than params.yaml was found." in said.output
    assert run(workspace.root, "git", "status", "--porcelain") == ""


def test_without_optuna_the_error_says_how_to_get_it(meadow, monkeypatch):
    monkeypatch.setattr("slipway.cli.search.find_spec", lambda name: None)
    assert "pip install 'slipway[search]'" in call(meadow).stderr


def test_each_trial_is_a_nested_run_of_mlflow_and_recording_again_completes_it(tmp_path):
    workspace = make_meadow(tmp_path / "meadow", "{slope: {float: [0.1, 10]}, depth: {int: [1, 12]}}", "6")
    found, trials = search(workspace, None, joins=False, say=print)
    plot = workspace.search / "search-history.svg"
    plot.write_text("<svg/>")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searches, "STATUS", {})
        with pytest.raises(KeyError):  # before the first trial's run is ended
            record_search(workspace, found.study, found.metric, trials, [plot])
    parent = record_search(workspace, found.study, found.metric, trials, [plot])
    assert record_search(workspace, found.study, found.metric, trials, [plot]) == parent
    client = MlflowClient(f"sqlite:///{workspace.root}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("meadows-search").experiment_id])
    nested = {int(one.data.tags["slipway.trial"]): one for one in runs if one.info.run_id != parent}
    assert len(runs) == 1 + len(trials) == 1 + len(nested)
    for trial in trials:
        one = nested[trial.number]
        assert one.data.tags["mlflow.parentRunId"] == parent
        assert one.info.status == searches.STATUS[trial.state.name]
        assert one.data.params == {name: str(value) for name, value in trial.user_attrs["arguments"].items()}
        if trial.value is not None:
            assert one.data.metrics["log_loss"] == pytest.approx(trial.value)
            history = client.get_metric_history(one.info.run_id, "log_loss")
            assert [score.step for score in history] == [1, 2, 3, 4, 5]
    assert [one.path for one in client.list_artifacts(parent)] == ["search-history.svg"]


def test_the_report_shows_the_search_by_which_the_candidate_was_found(challenged_original, tmp_path):
    workspace = copy_checkout(challenged_original, tmp_path / "checkout")
    workspace.search.mkdir()
    found = {"metric": "log_loss", "value": 0.2466, "before": 0.2625, "trials": {"complete": 9, "pruned": 3}}
    (workspace.search / "search-history.svg").write_text("<svg/>")
    path = workspace.search / "found.json"
    path.write_text(json.dumps(found | {"arguments": {"inverse_regularization": 7.0}}))
    assert "search" not in gather(workspace)["lineage"]
    path.write_text(json.dumps(found | {"arguments": {"inverse_regularization": 1.1}}))
    write_report(workspace)
    told = "log_loss 0.2466 in cross-validation, the best of 12 trials; 0.2625 before"
    assert told in (workspace.root / "build" / "report.md").read_text()
    assert 'alt="search-history"' in (workspace.root / "build" / "report.html").read_text()
