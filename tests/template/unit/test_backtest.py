"""The backtest: windows of time, each scored by what was fitted on the training rows before it."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from plants import retrain
from seasons import make_workspace, season_problem
from slipway.evaluation.folds import backtest, window_starts
from slipway.problem import SlipwayError
from slipway.stages.evaluate import score_windows
from slipway.stages.prepare import prepare


class Recorder(DummyClassifier):
    """Remembers how many rows each fit had."""

    fitted: list[int] = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None):
        Recorder.fitted.append(len(X))
        return super().fit(X, y, sample_weight)


def prepared(tmp_path, prepare_: str = 'split: time, test_from: "2024-02-10"', windows: int = 3):
    """A workspace of 200 rows over 50 days (the test set are the last 10), and its training rows."""
    workspace = make_workspace(tmp_path, prepare=prepare_, evaluate=f"backtest: {windows}")
    prepare(workspace.problem, workspace.params.prepare, workspace.data, workspace.table)
    return workspace, pd.read_parquet(workspace.table / "train.parquet")


def test_each_window_is_scored_by_what_was_fitted_on_the_rows_before_it(tmp_path, monkeypatch):
    workspace, rows = prepared(tmp_path)
    monkeypatch.setattr(Recorder, "fitted", [])
    found = backtest(season_problem(build=lambda: Recorder()), workspace.params, rows)
    assert [item["from"] for item in found] == ["2024-01-11", "2024-01-21", "2024-01-31"]
    assert [item["until"] for item in found] == ["2024-01-20", "2024-01-30", "2024-02-09"]
    assert [item["trained"] for item in found] == Recorder.fitted == [40, 80, 120]
    assert [item["rows"] for item in found] == [40, 40, 40]


def test_the_gap_is_before_each_window(tmp_path, monkeypatch):
    workspace, rows = prepared(tmp_path, 'split: time, test_from: "2024-02-10", gap: 2', 2)
    found = backtest(season_problem(build=lambda: Recorder()), workspace.params, rows)
    assert [(item["from"], item["trained"]) for item in found] == [("2024-01-13", 40), ("2024-01-26", 92)]


def test_a_windows_scores_are_those_of_its_own_rows_with_intervals(tmp_path):
    workspace, rows = prepared(tmp_path)
    found = backtest(season_problem(build=lambda: DummyClassifier(strategy="prior")), workspace.params, rows)
    at = rows["seen"]  # ISO 8601, which sorts as text
    for item in found:
        inside = rows[(at >= item["from"]) & (at <= item["until"])]
        before = rows[at < item["from"]]
        score = item["scores"]["accuracy"]
        assert score["value"] == pytest.approx((inside["kind"] == before["kind"].mode()[0]).mean())
        assert score["low"] < score["value"] < score["high"]


def test_by_group_and_time_the_groups_of_a_window_are_not_trained_on(tmp_path, monkeypatch):
    workspace, rows = prepared(tmp_path, "split: group_and_time, test_share: 0.1", 2)
    rows["plant"] = [f"p{number % 4}" for number in range(len(rows))]
    with pytest.raises(SlipwayError, match=r"before the window from 2024-01-1\d on no row has the class iris, rose"):
        backtest(season_problem(build=lambda: Recorder()), workspace.params, rows)


def test_windows_have_about_as_many_rows_and_never_divide_a_time():
    assert window_starts(np.repeat([1.0, 2, 3, 4], [3, 5, 2, 2]), 2, "evaluate.backtest") == [2.0, 3.0]


@pytest.mark.parametrize(("at", "windows"), [([1.0, 1, 1, 1], 1), ([1.0, 2, 3], 5), ([1.0, 1, 1, 2], 2)])
def test_more_windows_than_there_are_times_are_refused(at, windows):
    with pytest.raises(SlipwayError, match="windows need more different times than the training rows have"):
        window_starts(np.array(at), windows, "evaluate.backtest")


def test_the_stage_writes_and_draws_the_windows(tmp_path):
    workspace, _ = prepared(tmp_path)
    retrain(workspace)
    score_windows(workspace.problem, workspace.params, workspace.bundle, workspace.table, workspace.evaluation)
    assert len(json.loads((workspace.evaluation / "backtest.json").read_bytes())) == 3
    assert "<svg" in (workspace.evaluation / "backtest.svg").read_text()
