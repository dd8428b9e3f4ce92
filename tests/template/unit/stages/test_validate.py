"""Each fault is fed to the stage as prepare would leave it, and the refusal is read: its words, values and rows."""

import hashlib
import json
import os
import re
import subprocess
import sys
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, Field

from flowers import flower_problem, flowers
from seasons import season_problem, seen_flowers
from slipway.cli.learn import show_failures
from slipway.contract import record
from slipway.expectations.outcome import Outcome
from slipway.problem import SlipwayError
from slipway.problem.params import Prepare, Validate
from slipway.stages.prepare import in_test, prepare, shape
from slipway.stages.validate import ValidationReport, validate
from trips import trip_problem, trips

PARAMS = Validate(max_missing=0.5)


def write(folder, table: pd.DataFrame, problem, test=None) -> None:
    folder.mkdir(exist_ok=True)
    table = shape(record(problem), table)
    test = in_test(table, ("plant",), 0.25) if test is None else test
    table[~test].to_parquet(folder / "train.parquet", index=False)
    table[test].to_parquet(folder / "test.parquet", index=False)


@pytest.fixture
def check(tmp_path):
    """Validate a table; give the report. What was written is in `tmp_path / "validation"`."""

    def run(table: pd.DataFrame | None, *, test=None, params=PARAMS, **changes) -> ValidationReport:
        problem = flower_problem(**changes)
        if table is not None:
            write(tmp_path / "table", table, problem, test)
        return validate(problem, params, tmp_path / "table", tmp_path / "validation")

    return run


def with_cell(column: str, value, row: int = 7) -> pd.DataFrame:
    table = flowers().astype({column: object})
    table.loc[row, column] = value
    return table


CELLS = {
    "text for a number": ("height", "tall", "height is a number", "tall"),
    "an infinity": ("weight", np.inf, "weight is a number", "inf"),
    "a fraction for a whole number": ("petals", 2.5, "petals is a whole number", "2.5"),
    "text for a boolean": ("scented", "maybe", "scented is true or false", "maybe"),
    "too small": ("height", -1.0, "height is at least 0 and below 200 cm", -1.0),
    "at a bound that is not allowed": ("height", 200.0, "height is at least 0 and below 200 cm", 200.0),
    "too large": ("petals", 51, "petals is above 0 and at most 50", 51),
    "an unknown category": ("colour", "green", "colour is one of blue, red, white", "green"),
    "an unknown label": ("kind", "tulip", "kind is one of iris, rose", "tulip"),
    "a null in a number": ("height", None, "height is never missing", None),
    "a null in a category": ("colour", None, "colour is never missing", None),
    "a blank text": ("plant", "  ", "plant is not blank", "  "),
}


@pytest.mark.parametrize("fault", CELLS)
def test_one_wrong_cell_is_refused_with_its_value_and_row(check, fault):
    column, value, expectation, shown = CELLS[fault]
    (failure,) = check(with_cell(column, value)).failures
    assert (failure.expectation, failure.column) == (expectation, column)
    assert (failure.values, failure.rows) == ((shown,), (7,))
    assert (failure.count, failure.share) == (1, 0.005)


def test_the_first_of_many_are_told_in_the_sources_order(check):
    test = flowers()["plant"].isin([f"p{number}" for number in range(1, 100, 4)])
    failure, *_ = check(flowers().assign(colour="green"), test=test).failures
    assert failure.expectation == "colour is one of blue, red, white"
    assert (failure.rows, failure.count, failure.share) == ((1, 2, 3, 4, 5), 200, 1)


TABLES = {
    "a column missing": (flowers().drop(columns="petals"), "lacks petals"),
    "a column renamed": (flowers().rename(columns={"petals": "Petals"}), "lacks petals; unknown: Petals"),
    "a column extra": (flowers().assign(smell="sweet"), "unknown: smell"),
}


@pytest.mark.parametrize("fault", TABLES)
def test_other_columns_than_declared_are_named(check, fault):
    table, found = TABLES[fault]
    (failure,) = check(table).failures
    assert (failure.expectation, failure.found) == (
        "the columns are those that the schema declares, and no others",
        found,
    )


def test_data_that_is_as_declared_passes(check, tmp_path):
    report = check(flowers())
    assert report.failures == []
    assert report.passed
    assert sum(report.rows.values()) == 200
    digests = json.loads((tmp_path / "validation" / "passed.json").read_bytes())
    assert digests == {
        part: hashlib.sha256((tmp_path / "table" / f"{part}.parquet").read_bytes()).hexdigest()
        for part in ("train", "test")
    }


def test_a_whole_number_or_boolean_may_be_missing_where_it_is_optional(check):
    class Sparse(BaseModel):
        petals: Annotated[int | None, Field(ge=0)] = None
        scented: bool | None = None

    class Record(Sparse):
        kind: Literal["blue", "red", "white"]
        plant: str

    table = flowers().rename(columns={"kind": "_", "colour": "kind"})[["petals", "scented", "kind", "plant"]]
    table = table.astype({"petals": object, "scented": object})
    table.loc[:3, ["petals", "scented"]] = None
    table["plant"] = [f"p{number}" for number in table.index]
    assert check(table, row=Sparse, record=Record).failures == []


def test_an_optional_field_may_be_missing_as_often_as_allowed_and_no_more(check):
    share = flowers()["bed"].isna().mean()
    assert check(flowers(), params=Validate(max_missing=share)).passed
    (failure,) = check(flowers(), params=Validate(max_missing=share - 0.005)).failures
    assert failure.expectation == f"bed is missing in at most {share - 0.005:.6g} of the records"
    assert failure.count == flowers()["bed"].isna().sum()


def test_a_field_may_have_a_limit_of_missing_values_of_its_own(check):
    failures = check(flowers(), params=Validate(max_missing=0, max_missing_of={"bed": 0.5})).failures
    assert [failure.column for failure in failures] == ["weight"]
    (failure,) = check(flowers(), params=Validate(max_missing=0.5, max_missing_of={"bed": 0})).failures
    assert failure.expectation == "bed is missing in at most 0 of the records"


def test_a_record_that_occurs_twice_is_refused_with_the_rows_of_both(check):
    table = flowers()
    table.loc[201] = table.loc[9]
    (failure,) = check(table.infer_objects()).failures
    assert (failure.expectation, failure.rows) == ("no record occurs twice", (9, 201))


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_that_is_missing_from_a_part_is_named(check, part):
    table = flowers()
    test = in_test(table, ("plant",), 0.25)
    gone = (table["kind"] == "rose") & (test if part == "test" else ~test)
    (failure,) = check(table[~gone]).failures
    assert (failure.expectation, failure.found) == (f"every kind is among {part} rows: iris, rose", "lacks rose")


def test_a_boolean_class_that_is_missing_is_named(check):
    class Row(BaseModel):
        height: float

    class Record(Row):
        scented: bool
        plant: str

    table = flowers()[["height", "scented", "plant"]].assign(scented=True)
    failures = check(table, row=Row, record=Record, target="scented").failures
    assert [failure.found for failure in failures] == ["lacks False"] * 2


def test_an_individual_on_both_sides_is_named(check):
    test = in_test(flowers(), ("plant",), 0.25)
    test.loc[4] = not test.loc[4]  # rows 3 and 4 are plant p1
    (failure,) = check(flowers(), test=test).failures
    assert failure.expectation == "no group is in both the training rows and the test set"
    assert (failure.values, failure.rows) == (("p1", "p1"), (3, 4))


def test_an_individual_named_by_two_fields_is_on_both_sides_only_if_both_agree(check):
    table = flowers().assign(petals=[5, 7] * 100)
    test = table["petals"] == 7
    failures = check(table, test=test, group=("plant", "petals")).failures
    assert [f.column for f in failures] == ["petals"]  # it is the same in all training rows
    failures = check(table.assign(petals=7), test=test, group=("plant", "petals")).failures
    assert failures[0].values[0] == "p0 / 7"


def seen_check(tmp_path, by: str, table: pd.DataFrame, change=lambda train, test: None) -> list[Outcome]:
    """Validate a split by time; `change` may spoil the parts before."""
    problem, data = season_problem(), tmp_path / "data"
    data.mkdir()
    table.to_csv(data / "flowers.csv", index=False)
    prepare(problem, Prepare(split=by, test_from="2024-02-01"), data, tmp_path / "table")
    files = [tmp_path / "table" / name for name in ("train.parquet", "test.parquet")]
    parts = [pd.read_parquet(file) for file in files]
    change(*parts)
    for part, file in zip(parts, files, strict=True):
        part.to_parquet(file, index=False)
    return validate(problem, PARAMS, tmp_path / "table", tmp_path / "validation").failures


def test_a_description_of_the_split_that_is_half_written_is_named_with_the_way_out(check, tmp_path):
    write(tmp_path / "table", flowers(), flower_problem())
    (tmp_path / "table" / "source.json").write_text('{"split": {')
    with pytest.raises(SlipwayError, match=r"source\.json: not JSON; `slipway prepare` writes it"):
        check(None)


def test_with_a_split_by_time_a_group_may_come_again(tmp_path):
    assert seen_check(tmp_path, "time", seen_flowers().assign(plant="p1")) == []


def test_with_a_split_by_group_and_time_a_group_on_both_sides_is_named(tmp_path):
    def meet(train, test):
        train.loc[0, "plant"] = test["plant"][0]

    failures = seen_check(tmp_path, "group_and_time", seen_flowers(), meet)
    assert {failure.expectation for failure in failures} == {"no group is in both the training rows and the test set"}


def test_with_a_split_by_time_a_training_row_from_the_time_of_the_test_set_is_named(tmp_path):
    def delay(train, test):
        train.loc[0, "seen"] = "2024-02-01"

    (failure,) = seen_check(tmp_path, "time", seen_flowers(), delay)
    assert failure.expectation == "every training row is from before the test set"
    assert failure.values == ("2024-02-01",)


@pytest.mark.parametrize("name", ["P0", "p\u200b0", "\ufeffp0", "p\u00ad0", "p\u200e0"])
def test_a_group_under_two_spellings_is_named(check, name):
    """Also where they differ by what nobody sees: a blank without width, the mark that begins a file, a soft hyphen."""
    table = flowers()
    table.loc[1, "plant"] = name  # row 2 is plant p0
    (failure,) = check(table).failures
    assert failure.expectation.startswith("no two groups differ in case, blanks or Unicode form alone")
    assert sorted(zip(failure.rows, failure.values, strict=True)) == [(1, name), (2, "p0")]


@pytest.mark.parametrize("name", ["p0 ", " p0", "p0\n", "p0\t1", "p\x000", "p0\u00a0"])
def test_a_group_with_blanks_at_its_ends_or_control_characters_is_named(check, name):
    table = flowers()
    table.loc[[1, 2], "plant"] = name
    (failure,) = check(table).failures
    assert failure.expectation == "plant has no blanks at its ends and no control characters"
    assert failure.rows == (1, 2)


def test_a_feature_of_one_value_among_the_training_rows_is_refused(check):
    table = flowers()
    test = in_test(table, ("plant",), 0.25)
    table["height"] = table["height"].where(test, 40.0)
    (failure,) = check(table).failures
    assert (failure.expectation, failure.found) == ("height has more than one value among the training rows", "1")


def test_missing_is_a_value_beside_another(check):
    table = flowers().assign(weight=[0.5, None] * 100)
    assert check(table).failures == []


def test_a_declared_category_that_never_occurs_is_refused(check):
    table = flowers()
    (failure,) = check(table.assign(bed=table["bed"].replace("north", None)), params=Validate(max_missing=1)).failures
    assert failure.expectation.startswith("each declared bed occurs")
    assert failure.found == "lacks north"


def test_test_rows_that_are_copies_of_training_rows_under_another_name_are_refused(check):
    table = flowers()
    test = in_test(table, ("plant",), 0.25)
    features = ["colour", "height", "petals", "scented", "bed", "weight"]
    copied = table.index[test][:20]
    table.loc[copied, features] = table.loc[table.index[~test][:20], features].to_numpy()
    (failure,) = check(table.infer_objects(), test=test).failures
    assert failure.expectation.startswith("at most 5.00% of the test rows have the features of a training row")
    assert float(failure.found) == pytest.approx(20 / test.sum(), rel=1e-4)


def test_training_rows_that_are_also_test_rows_are_refused(check, tmp_path):
    check(flowers())
    (tmp_path / "table" / "test.parquet").write_bytes((tmp_path / "table" / "train.parquet").read_bytes())
    words = {failure.expectation for failure in check(None).failures}
    assert words == {"no record occurs twice", "no group is in both the training rows and the test set"} | {
        words for words in words if "of the test rows have the features of a training row" in words
    }
    assert not (tmp_path / "validation" / "passed.json").exists()


def test_a_feature_that_tells_the_target_alone_is_refused_with_its_score(check):
    (failure,) = check(flowers().assign(weight=(flowers()["kind"] == "rose") * 1.0)).failures
    assert failure.expectation == "weight alone does not tell kind: it predicts it with a score of at most 0.98"
    assert (failure.column, failure.found) == ("weight", "1")


@pytest.mark.parametrize(("empty", "words"), [(True, "there are test rows"), (False, "there are training rows")])
def test_an_empty_part_is_refused(check, empty, words):
    nowhere = pd.Series(not empty, index=flowers().index)
    assert words in [failure.expectation for failure in check(flowers(), test=nowhere).failures]


def test_tables_without_rows_are_refused(check):
    failures = check(flowers(0), test=pd.Series([], dtype=bool)).failures
    found = [failure.found for failure in failures]
    assert found[-10:] == ["lacks iris, rose"] * 2 + ["0"] * 8


def test_tables_without_columns_are_refused(check, tmp_path):
    (tmp_path / "table").mkdir()
    for part in ("train", "test"):
        pd.DataFrame().to_parquet(tmp_path / "table" / f"{part}.parquet")
    assert check(None).failures[0].found.startswith("lacks bed, colour")


@pytest.mark.parametrize(("content", "words"), [(None, "`slipway prepare` writes it"), (b"", "as Parquet")])
def test_tables_that_cannot_be_read_are_refused_by_name(check, tmp_path, content, words):
    check(flowers())
    path = tmp_path / "table" / "test.parquet"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SlipwayError, match=rf"test.parquet: .*{words}"):
        check(None)
    assert not (tmp_path / "validation" / "passed.json").exists()


def own():
    import great_expectations.expectations as gxe

    class ExpectTheImpossible(gxe.ExpectColumnMeanToBeBetween):
        def _validate(self, *_, **__):
            raise RuntimeError("no such thing")

    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1000, description="there are many"),
        gxe.ExpectColumnMeanToBeBetween(column="height", max_value=10),
        gxe.ExpectColumnValuesToNotBeNull(column="nectar", description="nectar is known"),
        ExpectTheImpossible(column="height", min_value=0, description="it is impossible"),
    ]


def test_the_projects_own_expectations_are_run_over_all_records_and_their_errors_told(check):
    mean = f"{flowers()['height'].mean():.6g}"
    assert [(failure.expectation, failure.found) for failure in check(flowers(), expectations=own).failures] == [
        ("there are many", "200"),
        ("expect column mean to be between: column=height, max_value=10.0", mean),
        ("nectar is known", 'error: The column "nectar" in BatchData does not exist.'),
        ("it is impossible", "error: no such thing"),
    ]


def whole():
    import great_expectations.expectations as gxe

    def divergence(column, **partition):
        return gxe.ExpectColumnKLDivergenceToBeLessThan(column=column, partition_object=partition, threshold=0.01)

    return [
        divergence("colour", values=["blue", "red", "white"], weights=[0.8, 0.1, 0.1]),
        divergence("colour", values=["blue", "red"], weights=[0.5, 0.5]),
        divergence("height", bins=[0, 50, 200], weights=[0.9, 0.1]),
        gxe.ExpectTableColumnsToMatchOrderedList(column_list=["height", "colour"]),
    ]


def test_a_failed_expectation_about_the_whole_shows_what_was_found(check):
    found = [failure.found for failure in check(flowers(), expectations=whole).failures]
    shares = flowers()["colour"].value_counts(normalize=True)
    colours = ", ".join(f"{name} {shares[name]:.3g}" for name in ("blue", "red", "white"))
    low = (flowers()["height"] < 50).mean()
    assert re.fullmatch(rf"0\.\d+: {colours}", found[0])
    assert found[1] == f"infinite: {colours}"
    assert re.fullmatch(rf"0\.\d+: 0 to 50 {low:.3g}, 50 to 200 {1 - low:.3g}", found[2])
    assert found[3].startswith("colour in place of height; height in place of colour; petals in place of None")


def test_the_report_holds_every_expectation_with_rows_and_values(check, tmp_path):
    report = check(with_cell("height", -1.0))
    content = json.loads((tmp_path / "validation" / "report.json").read_bytes())
    assert content["passed"] is False
    assert len(content["expectations"]) == len(report.outcomes)
    (failed,) = [item for item in content["expectations"] if not item["passed"]]
    assert (failed["rows"], failed["values"], failed["column"]) == ([7], [-1.0], "height")


def test_data_docs_show_every_expectation_and_where_it_fails(check, tmp_path):
    report = check(with_cell("height", -1.0))
    page = (tmp_path / "validation" / "data-docs" / "index.html").read_text("utf-8")
    assert [outcome.expectation for outcome in report.outcomes if outcome.expectation not in page] == []
    assert "-1.0 in row 7" in page
    assert page.count("fa-times") == 1 + page.count(".fa-times")


def showy():
    """Expectations whose form in Data Docs is a picture, a list of values, or an error."""
    import great_expectations.expectations as gxe

    expected = {"values": ["blue", "red", "white"], "weights": [0.3, 0.3, 0.4]}
    return [
        *own(),
        gxe.ExpectColumnKLDivergenceToBeLessThan(column="colour", partition_object=expected, threshold=0.01),
        gxe.ExpectColumnMostCommonValueToBeInSet(column="plant", value_set=["<i>"], description="a < b & c"),
        gxe.ExpectColumnDistinctValuesToBeInSet(column="colour", value_set=["red"]),
    ]


def test_data_docs_fetch_nothing_and_run_nothing_that_stands_in_the_data(check, tmp_path):
    table = with_cell("colour", '<img src="x" onerror="alert(1)">').assign(**{"<img src=y>": 1})
    check(table, expectations=showy)
    page = (tmp_path / "validation" / "data-docs" / "index.html").read_text("utf-8")
    assert page.count("&lt;img src=&quot;x&quot; onerror=&quot;alert(1)&quot;&gt;") >= 2
    assert "a &lt; b &amp; c" in page
    assert [word for word in ("http:", "https:", "<script", "<img", "<link", "Traceback") if word in page] == []
    assert "default-src 'none'" in page


def test_data_docs_are_the_same_each_time(check, tmp_path):
    pages = []
    for _ in range(2):
        check(with_cell("height", -1.0), expectations=showy)
        pages.append((tmp_path / "validation" / "data-docs" / "index.html").read_bytes())
    assert pages[0] == pages[1]


def test_another_process_writes_the_same_bytes_even_if_nobody_is_at_home(check, tmp_path):
    check(with_cell("height", -1.0).assign(smell="sweet", taste="bitter"))
    code = (
        "import pwd; pwd.getpwuid = {}.__getitem__;"
        "from pathlib import Path; from flowers import flower_problem; from slipway.problem.params import Validate;"
        "from slipway.stages.validate import validate;"
        "validate(flower_problem(), Validate(max_missing=0.5), Path('table'), Path('again'))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path), "TZ": "Asia/Tokyo"}
    environment.pop("HOME", None)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    for name in ("report.json", "data-docs/index.html"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "validation" / name).read_bytes()


def test_the_terminals_table_tells_what_where_and_how_much(check, capsys):
    show_failures(check(with_cell("colour", "[red]pale[/red]")))
    text = capsys.readouterr().out
    assert "1 of 44 expectations fail" in text
    for word in ("colour is one of blue, red, white", "[red]pale[/red]", "0.50%", "7"):
        assert word in text


FAULTS = {
    "unreadable": (
        [("day", "17.5.2024"), ("day", "2024-02-30"), ("start", "2024-05-17T12:00"), ("zone", 3)],
        {
            "day is a date as in ISO 8601 (2024-01-31)": (["17.5.2024", "2024-02-30 (no such day)"], (0, 1)),
            "start is a date-time with its offset from UTC": (["2024-05-17T12:00"], (2,)),
            "zone is one of 1, 2, 5": (["3"], (3,)),
        },
    ),
    "out of bounds": (
        [("day", "2019-12-31"), ("start", "2024-01-01T00:30+01:00")],
        {
            "day is from 2020-01-01 and before 2030-01-01": (["2019-12-31 00:00:00"], (0,)),
            "start is from 2024-01-01T00:00:00Z": (["2023-12-31 23:30:00"], (1,)),
        },
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_dates_and_numbered_categories_are_refused_with_their_values_and_rows(tmp_path, fault):
    cells, expected = FAULTS[fault]
    table = trips().astype({column: object for column, _ in cells})
    for row, (column, value) in enumerate(cells):
        table.loc[row, column] = value
    problem = trip_problem(load=lambda folder: table)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "trips.csv").write_text("made in memory")
    prepare(problem, Prepare(), tmp_path / "data", tmp_path / "table")
    failures = validate(problem, PARAMS, tmp_path / "table", tmp_path / "validation").failures
    found = {failure.expectation.split(" as in ISO 8601 (2024-01-31T")[0]: failure for failure in failures}
    assert {name: (list(failure.cells), failure.rows) for name, failure in found.items()} == expected
