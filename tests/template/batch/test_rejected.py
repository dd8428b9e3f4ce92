"""Rows that the contract refuses: the same as the service refuses, listed with the reason, and never in the way."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batch.conftest import ROWS, read, run, spoiled, store, table
from serving.running import Direct, quiet
from slipway.problem import SlipwayError
from slipway.serving.problems import MAX_ERRORS

INFINITE = (float("inf"), float("-inf"))  # which JSON does not have
WRONG = {
    "site": ["east", "", None, "NORTH"],
    "height": [-0.1, 10.5, float("inf"), None],
    "shade": ["some", ""],
    "leaves": [-1, 100, 2**60, None],
    "potted": [None],
    "acidity": [0.0, 14.0, float("-inf")],
}


def various() -> pa.Table:
    """A table in which every third row has one wrong value, of each kind that a typed column can hold."""
    rows = table().to_pylist()
    wrong = [(name, value) for name, values in WRONG.items() for value in values]
    for number, (name, value) in enumerate(wrong):
        rows[3 * number][name] = value
    return pa.Table.from_pylist(rows, table().schema)


def listed(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_the_service_refuses_the_same_rows_for_the_same_reasons(form, bundle, scorer, tmp_path):
    summary = run(store(various(), tmp_path / f"in.{form}"), tmp_path / f"out.{form}", scorer)
    found = listed(tmp_path / f"out.{form}.rejected")
    service = Direct(quiet(bundle))
    features = [name for name in various().schema.names if name not in ("code", "note")]
    rows: list[dict[str, Any]] = various().select(features).to_pylist()
    asked = [{name: "no number" if value in INFINITE else value for name, value in row.items()} for row in rows]
    errors = service.ask("/predict", {"rows": asked}).json()["errors"]
    service.close()
    assert len(errors) < MAX_ERRORS
    keys = [(str(one["row"]), one["field"]) for one in errors]
    assert [(one["row"], one["field"]) for one in found] == keys
    told = [one["rule"] for one in errors if one["value"] != "no number"]
    assert [one["rule"] for one in found if "inf" not in one["value"]] == told
    assert summary.rejected == len({row for row, _ in keys}) == ROWS - len(read(tmp_path / f"out.{form}"))


def test_the_list_names_file_row_field_rule_and_value(scorer, tmp_path):
    given = store(spoiled(7), tmp_path / "in.csv")
    run(given, tmp_path / "out.csv", scorer)
    (one,) = listed(tmp_path / "out.csv.rejected")
    assert one == {
        "file": str(given),
        "row": "7",
        "field": "height",
        "rule": "less_than_equal",
        "message": "Input should be less than or equal to 10",
        "value": "11.5",
    }
    assert f"{7:05}" not in read(tmp_path / "out.csv")["code"].tolist()


@pytest.mark.parametrize(
    ("column", "text", "rule"),
    [
        ("height", "tall", "float_type"),
        ("height", "1e999", "finite_number"),
        ("height", "", "float_type"),
        ("leaves", "3.5", "int_type"),
        ("potted", "yes", "bool_type"),
        ("site", "east", "literal_error"),
        ("site", "NA", "literal_error"),
    ],
)
def test_a_value_of_a_csv_that_is_not_of_its_columns_kind_is_refused_alone(column, text, rule, scorer, tmp_path):
    content = table().to_pandas().astype(str).replace({"None": "", "nan": ""})
    content.loc[5, column] = text
    content.to_csv(tmp_path / "in.csv", index=False)
    run(tmp_path / "in.csv", tmp_path / "out.csv", scorer)
    (one,) = listed(tmp_path / "out.csv.rejected")
    assert (one["row"], one["field"], one["rule"]) == ("5", column, rule)


@pytest.mark.parametrize("word", ["", "NA", "NaN", "null"])
def test_the_usual_words_for_a_missing_value_are_missing_in_a_csv(word, scorer, tmp_path):
    content = table().to_pandas().astype(str).replace({"None": "", "nan": ""})
    content.loc[5, ["shade", "acidity"]] = word
    content.to_csv(tmp_path / "in.csv", index=False)
    assert run(tmp_path / "in.csv", tmp_path / "out.csv", scorer).rejected == 0


BROKEN = {4: "a,b", 90: ",".join("abcdefghi"), 150: "x", 151: "y", 301: "z", 302: "last"}  # by row of the file


@pytest.mark.parametrize("block", [1 << 9, 1 << 22])
@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_a_row_of_a_csv_with_too_few_or_too_many_values_is_refused_alone(block, suffix, scorer, tmp_path, monkeypatch):
    monkeypatch.setattr("slipway.batch.reading.BLOCK_BYTES", block)
    content = table().to_pandas().drop(columns="note").to_csv(index=False).splitlines()
    for row, text in BROKEN.items():
        content.insert(row + 1, text)
    text = "\n".join([content[0], "", *content[1:]])  # an empty line is no row
    with (gzip.open if suffix == "csv.gz" else open)(tmp_path / f"in.{suffix}", "wt") as file:
        file.write(text)
    for output in ("out.csv", "parts"):
        summary = run(tmp_path / f"in.{suffix}", tmp_path / output, scorer)
        assert (summary.rows, summary.rejected) == (ROWS + len(BROKEN), len(BROKEN))
        assert read(tmp_path / output)["code"].tolist() == table()["code"].to_pylist()
    found = listed(tmp_path / "out.csv.rejected")
    assert {int(one["row"]): one["value"] for one in found} == BROKEN
    assert {(one["field"], one["rule"]) for one in found} == {("", "columns")}
    assert found[1]["message"] == "9 values instead of 7"
    assert [one for part in sorted((tmp_path / "parts.rejected").iterdir()) for one in listed(part)] == found


def test_rows_with_too_few_values_only_give_an_empty_table(scorer, tmp_path):
    (tmp_path / "in.csv").write_text(",".join(table().schema.names) + "\n1,2\n3,4\n")
    summary = run(tmp_path / "in.csv", tmp_path / "out.csv", scorer)
    assert (summary.rows, summary.rejected, len(read(tmp_path / "out.csv"))) == (2, 2, 0)


@pytest.mark.filterwarnings("error")
def test_infinity_for_a_whole_number_is_refused_without_a_warning(scorer, tmp_path):
    content = table()
    position = content.schema.get_field_index("leaves")
    wrong = content.set_column(position, "leaves", pa.array([float("inf"), *content["leaves"].to_pylist()[1:]]))
    assert run(store(wrong, tmp_path / "in.parquet"), tmp_path / "out.parquet", scorer).rejected == 1


def test_nothing_is_listed_where_nothing_is_refused(scorer, tmp_path):
    run(store(table(), tmp_path / "in.csv"), tmp_path / "out.csv", scorer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_each_part_has_its_own_list(scorer, tmp_path):
    run(store(spoiled(3, 250), tmp_path / "in.parquet"), tmp_path / "out", scorer)
    lists = {path.name: [one["row"] for one in listed(path)] for path in (tmp_path / "out.rejected").iterdir()}
    assert lists == {"part-00000.csv": ["3"], "part-00002.csv": ["250"]}


def test_a_table_of_nothing_but_wrong_rows_gives_an_empty_one(scorer, tmp_path):
    summary = run(store(spoiled(*range(ROWS)), tmp_path / "in.parquet"), tmp_path / "out.parquet", scorer)
    assert (summary.rejected, len(read(tmp_path / "out.parquet"))) == (ROWS, 0)


@pytest.mark.parametrize("share", [0, 0.05])
def test_more_refused_rows_than_allowed_end_the_run_without_a_table_but_with_the_list(share, scorer, tmp_path):
    given = store(various(), tmp_path / "in.parquet")
    with pytest.raises(SlipwayError, match=r"refuses 1\d of 300 rows.*out.parquet.rejected names each"):
        run(given, tmp_path / "out.parquet", scorer, max_rejected=share)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "out.parquet.rejected"]
    assert len(listed(tmp_path / "out.parquet.rejected")) > 10


def test_as_many_refused_rows_as_allowed_do_not_end_it(scorer, tmp_path):
    given = store(spoiled(0, 299), tmp_path / "in.parquet")
    assert run(given, tmp_path / "out.parquet", scorer, max_rejected=2 / ROWS).rejected == 2
