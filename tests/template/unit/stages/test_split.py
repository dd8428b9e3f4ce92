"""The split by time: which rows are trained on, which are the test set, and what is refused."""

import json
from datetime import datetime

import pandas as pd
import pytest

from flowers import Specimen, flowers
from seasons import season_problem, seen_flowers
from slipway.contract import record
from slipway.problem import SlipwayError
from slipway.problem.params import Prepare
from slipway.stages.prepare import in_test, prepare, shape, split


def parts(table: pd.DataFrame | None = None, problem=None, **params) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a table; give the training rows and the test rows."""
    problem = problem or season_problem()
    table = shape(record(problem), seen_flowers() if table is None else table)
    column = record(problem)[problem.time]
    found = split(problem.groups, column, Prepare(**{"split": "time", **params}), table)
    return table[found.train], table[found.test]


def test_the_newest_rows_are_the_test_set():
    train, test = parts(test_share=0.25)
    assert (len(train), len(test)) == (148, 52)  # row 150 of 200 is of a day whose 4 rows stay together
    assert train["seen"].max() < test["seen"].min()


def test_rows_of_one_time_are_never_on_both_sides():
    train, test = parts(problem=season_problem(time="week"), test_share=0.4)
    assert set(train["week"]) == {0, 1, 2, 3}
    assert set(test["week"]) == {4, 5, 6, 7}


def test_the_test_set_may_start_at_a_given_time():
    train, test = parts(test_from="2024-02-01")
    assert (train["seen"].max(), test["seen"].min()) == ("2024-01-31", "2024-02-01")


class Moment(Specimen):
    at: datetime


def test_of_a_date_time_offsets_count_and_the_gap_is_in_days():
    hours = [f"2024-01-31T{hour:02}:00:00+02:00" for hour in range(24)]
    table = flowers(24).assign(at=hours)
    problem = season_problem(record=Moment, time="at")
    train, test = parts(table, problem, test_from="2024-01-31T12:00:00Z", gap=0.25)
    assert (train["at"].max(), test["at"].min()) == ("2024-01-31T05:00:00Z", "2024-01-31T12:00:00Z")


def test_a_gap_of_days_is_in_neither_part():
    train, test = parts(test_from="2024-02-01", gap=7)
    assert (train["seen"].max(), test["seen"].min()) == ("2024-01-24", "2024-02-01")


def test_of_a_number_the_gap_is_in_its_own_unit():
    train, test = parts(problem=season_problem(time="week"), test_from=5, gap=2)
    assert (train["week"].max(), test["week"].min()) == (2, 5)


def test_by_group_and_time_no_group_is_on_both_sides_and_time_divides_them():
    table = seen_flowers().assign(plant=lambda rows: [f"p{i % 20}" for i in rows.index])
    train, test = parts(table, split="group_and_time", test_share=0.4)
    assert len(train) > 0
    assert len(test) > 0
    assert train["seen"].max() < test["seen"].min()
    chosen = in_test(shape(record(season_problem()), table), ("plant",), 0.4)
    assert set(test["plant"]) <= set(table["plant"][chosen])
    assert not set(train["plant"]) & set(table["plant"][chosen])


@pytest.mark.parametrize("by", ["time", "group_and_time"])
def test_as_the_data_grows_no_training_row_becomes_a_test_row(by):
    table = seen_flowers(400)
    train, _ = parts(table[table.index <= 200], split=by)
    _, test = parts(table, split=by)
    assert len(test)
    assert not set(train["_row"]) & set(test["_row"])


def test_how_the_rows_were_divided_is_written_for_the_bundle(tmp_path):
    (tmp_path / "data").mkdir()
    seen_flowers().to_csv(tmp_path / "data" / "flowers.csv", index=False)
    done = prepare(season_problem(), Prepare(split="time", gap=1), tmp_path / "data", tmp_path / "table")
    assert (done.train, done.test, done.neither) == (144, 52, 4)
    described = {"by": "time", "field": "seen", "train_until": "2024-02-05", "test_from": "2024-02-07"}
    assert json.loads((tmp_path / "table" / "source.json").read_text())["split"] == described


def test_rows_without_a_time_are_named_with_their_cells():
    table = seen_flowers()
    table.loc[7, "seen"] = "yesterday"
    table.loc[3, "seen"] = None
    with pytest.raises(SlipwayError) as caught:
        parts(table)
    said = str(caught.value)
    assert "needs a date as in ISO 8601 (2024-01-31) in seen of every row" in said
    assert "row 7: yesterday" in said
    assert "row 3: nan" in said


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"test_from": "2025-01-01"},
            "200 rows are left to train on and 0 to test on; seen runs from 2024-01-01",
        ),
        ({"gap": 100}, "a gap of 100, 0 rows are left to train on"),
        ({"test_from": 5}, "prepare.test_from: 5.0 is not a date as in ISO 8601"),
    ],
)
def test_a_split_without_rows_on_one_side_or_at_no_time_is_refused(params, words):
    with pytest.raises(SlipwayError, match=words):
        parts(**params)


def test_a_table_without_the_column_of_the_time_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    seen_flowers().drop(columns="seen").to_csv(tmp_path / "data" / "flowers.csv", index=False)
    with pytest.raises(SlipwayError, match=r"needs the column\(s\) seen; load\(\) returned"):
        prepare(season_problem(), Prepare(split="time"), tmp_path / "data", tmp_path / "table")
