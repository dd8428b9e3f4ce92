"""The search: what it finds, what it reads, and what it does with parameters that are wrong or cannot be fitted."""

from __future__ import annotations

import sys

import numpy as np
import optuna
import pandas as pd
import pytest
from filelock import FileLock
from optuna.trial import TrialState

from postgres import PASSWORD
from search.meadows import SLOPE, again, make_meadow
from seasons import make_workspace, season_problem
from slipway.evaluation.folds import TrainingRows
from slipway.problem import SlipwayError
from slipway.search import run
from slipway.search.objective import Objective
from slipway.search.storage import BEAT, GRACE, opened
from slipway.stages.prepare import prepare

OPENED: list[str] = []
WITH_DEPTH = "{slope: {float: [0.1, 10]}, depth: {int: [1, 12]}}"


def search(workspace, where=None, **options):
    """Run the search; what it found, its trials, and what it told."""
    told: list[str] = []
    done = run(workspace, where, joins=False, say=told.append, **options)
    assert done is not None
    return *done, told


def drawn(trials) -> list[dict]:
    return [one.user_attrs["arguments"] for one in trials]


def test_it_finds_better_parameters_and_the_same_ones_for_the_same_seed(tmp_path):
    found, trials, told = search(make_meadow(tmp_path / "one"))
    assert 1 < found.arguments["slope"] < 4  # the classes' distributions say 2.1
    assert found.value == min(one.value for one in trials if one.value is not None) < found.before
    assert found.trials["complete"] + found.trials.get("pruned", 0) == len(trials) == len(told) == 8
    assert told[0].startswith("1/8  log_loss ")
    assert found.importance == {"slope": 1.0}
    assert drawn(search(make_meadow(tmp_path / "two"))[1]) == drawn(trials)


def test_it_reads_the_training_rows_and_never_the_test_set(tmp_path):
    workspace = make_meadow(tmp_path / "meadow")
    sys.addaudithook(lambda event, about: OPENED.append(str(about[0])) if event == "open" else None)
    OPENED.clear()
    search(workspace)
    names = " ".join(OPENED)
    assert "train.parquet" in names
    assert "test.parquet" not in names
    assert str(workspace.data) not in names
    for path in (workspace.table / "test.parquet", *workspace.data.iterdir()):
        path.unlink()
    assert search(again(workspace, "trials: 8", "trials: 9"))[0].trials  # nor does anything else read them


def test_a_group_is_never_on_both_sides_and_every_row_is_predicted_once(tmp_path):
    workspace = make_meadow(tmp_path / "meadow")
    rows = pd.read_parquet(workspace.table / "train.parquet")
    folds = list(TrainingRows(workspace.problem, rows).folds(workspace.params, 4, "search.folds"))
    assert (np.sum([fold.inside for fold in folds], axis=0) == 1).all()
    for fold in folds:
        assert not set(rows["plant"][fold.before]) & set(rows["plant"][fold.inside])


def test_with_a_split_by_time_each_fold_is_later_than_what_is_fitted_on(tmp_path):
    workspace = make_workspace(tmp_path / "seasons")
    prepare(workspace.problem, workspace.params.prepare, workspace.data, workspace.table)
    rows = pd.read_parquet(workspace.table / "train.parquet")
    for fold in TrainingRows(season_problem(), rows).folds(workspace.params, 4, "search.folds"):
        assert rows["seen"][fold.before].max() < rows["seen"][fold.inside].min()


def test_more_folds_than_groups_are_an_error(tmp_path):
    workspace = make_meadow(tmp_path / "meadow", trials="8\n  folds: 50", data=40)
    with pytest.raises(SlipwayError, match=r"search\.folds: 50 folds of 1\d groups"):
        search(workspace)


def test_parameters_that_cannot_be_fitted_fail_their_trial_and_the_search_goes_on(tmp_path):
    found, trials, told = search(make_meadow(tmp_path / "meadow", WITH_DEPTH, "12"))
    failed = [one for one in trials if one.state == TrialState.FAIL]
    assert found.trials["fail"] == len(failed) > 0
    assert all(one.params["depth"] > 8 for one in failed)
    assert found.arguments["depth"] <= 8
    assert len(trials) == 12
    assert any(
        "failed: SlipwayError: the estimator of build() could not be fitted: the meadow is" in line for line in told
    )


def test_if_every_trial_fails_the_error_says_why(tmp_path):
    workspace = make_meadow(tmp_path / "meadow", "{depth: {int: [9, 12]}}", "3")
    with pytest.raises(SlipwayError, match=r"none of 3 trials was completed: .* the meadow is not so deep"):
        search(workspace)


def test_pruning_ends_bad_trials_early_and_can_be_turned_off(tmp_path):
    found, trials, _ = search(make_meadow(tmp_path / "one", trials="20"))
    folds = [len(one.intermediate_values) for one in trials if one.state == TrialState.PRUNED]
    assert len(folds) == found.trials["pruned"] > 0
    assert max(folds) < 5
    assert search(make_meadow(tmp_path / "two", trials="20\n  pruning: false"))[0].trials == {"complete": 20}


def test_a_search_goes_on_where_it_ended_with_other_draws_and_other_data_begin_another(tmp_path):
    workspace = make_meadow(tmp_path / "meadow", trials="3")
    first, _, _ = search(workspace)
    more, trials, told = search(again(workspace, "trials: 3", "trials: 6"))
    assert (more.study, len(trials), len(told)) == (first.study, 6, 3)
    assert len({one["slope"] for one in drawn(trials)}) == 6
    assert search(again(workspace, "train: {}", "train: {seed: 1}"))[0].study != first.study


def test_after_the_time_no_trial_begins(tmp_path):
    with pytest.raises(SlipwayError, match="were over before the first"):
        search(make_meadow(tmp_path / "meadow", trials="8\n  minutes: 1.0e-9"))


def test_a_journals_trial_without_a_heartbeat_is_run_again_by_another_worker(tmp_path):
    workspace, where = make_meadow(tmp_path / "meadow"), str(tmp_path / "journal")
    with opened(where) as storage:
        study = optuna.create_study(storage=storage, study_name=Objective(workspace).study)
        lost = study.ask()
        slope = lost.suggest_float("slope", 0.01, 100, log=True)
        storage.set_trial_system_attr(lost._trial_id, BEAT, lost.datetime_start.timestamp() - GRACE)
    _, trials, _ = search(workspace, where)
    assert len(trials) == 8
    assert [one.system_attrs.get("failed_trial") for one in trials].count(lost.number) == 1
    assert trials[0].params["slope"] == slope


def test_a_second_search_in_one_checkout_is_told_to_join(tmp_path):
    workspace = make_meadow(tmp_path / "meadow", trials="2")
    workspace.search.mkdir()
    with FileLock(workspace.search / "search.lock"):
        with pytest.raises(SlipwayError, match="`slipway search --join` takes part in it"):
            search(workspace)
        told: list[str] = []
        assert run(workspace, None, joins=True, say=told.append) is None
    assert len(told) == 2
    assert search(workspace)[2] == []  # all trials were the other worker's


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{slop: {float: [1, 2]}}", r"search\.arguments:\n  slop: unknown; did you mean slope\?"),
        ("{slope: {float: [2, 1]}}", "begins at 2 and ends at 1; the lower end comes first"),
        ("{slope: {float: [1]}}", "at least 2 items"),
        ("{slope: {float: [0, 1], log: true}}", "needs a range of numbers above 0"),
        ("{slope: {float: [1, 2], int: [1, 2]}}", "one of float"),
        ("{slope: {float: [1, 2], step: 2}}", "step belongs to an int"),
        ("{slope: {flot: [1, 2]}}", r"slope\.flot: unknown; did you mean float\?"),
        ("{depth: {float: [1.5, 2.5]}}", r"search\.arguments:\n  depth: Input should be a valid integer"),
        ("{slope: {choice: [1.0, steep]}}", r"search\.arguments:\n  slope: Input should be a valid number"),
        ("{}", "at least 1 item"),
        (f"{SLOPE}\n  metric: logloss", "search.metric: 'logloss' is unknown; did you mean log_loss"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused_before_it_begins(arguments, words, tmp_path):
    with pytest.raises(SlipwayError, match=words):
        search(again(make_meadow(tmp_path / "meadow"), SLOPE, arguments))


def test_without_the_section_the_error_shows_one(tmp_path):
    workspace = make_meadow(tmp_path / "meadow")
    path = workspace.root / "params.yaml"
    path.write_text(path.read_text().partition("search:")[0])
    with pytest.raises(SlipwayError, match=r"for example\nsearch:\n  arguments: .*\n    slope: {float:"):
        search(type(workspace)(workspace.root))


def test_rows_that_did_not_pass_validation_are_not_searched_on(tmp_path):
    workspace = make_meadow(tmp_path / "meadow")
    (workspace.validation / "passed.json").write_text('{"train": "0"}')
    with pytest.raises(SlipwayError, match="is not the table that passed validation"):
        search(workspace)


def test_a_storage_that_cannot_be_used_is_an_error_without_its_password(tmp_path):
    workspace = make_meadow(tmp_path / "meadow")
    with pytest.raises(SlipwayError, match=r"postgresql://127\.0\.0\.1:1/x: .*refused") as refused:
        search(workspace, f"postgresql://ada:{PASSWORD}@127.0.0.1:1/x")
    assert PASSWORD not in str(refused.value)
    with pytest.raises(SlipwayError, match="No finished trial is lost"):
        search(workspace, str(tmp_path))  # a folder
