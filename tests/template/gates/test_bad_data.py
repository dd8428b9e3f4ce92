"""Faulty data is refused before anything is trained on it, by name, and the champion still serves."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from checkouts import DataRefused, run_stages
from slipway.problem import SlipwayError
from slipway.workspace import Workspace

Rows = list[dict[str, str]]


def edit(workspace: Workspace, change: Callable[[Rows], Rows | None]) -> None:
    """Change the raw file's rows."""
    path = workspace.data / "penguins-raw.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = change(rows) or rows
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _set(number: int, column: str, value: str):
    def change(rows: Rows) -> None:
        rows[number - 1][column] = value

    return change


def _without(column: str):
    return lambda rows: [{k: v for k, v in row.items() if k != column} for row in rows]


def _renamed(column: str, name: str):
    return lambda rows: [{name if k == column else k: v for k, v in row.items()} for row in rows]


def _without_labels(rows: Rows) -> None:
    for row in rows[::2]:
        row["Sex"] = "NA"


def _swapped(rows: Rows) -> None:
    for row in rows:
        if row["studyName"] == "PAL0809":
            row["Sex"] = {"FEMALE": "MALE", "MALE": "FEMALE"}.get(row["Sex"], row["Sex"])


FLIPPER = "Flipper Length (mm)"
MASS = {"FEMALE": "3800", "MALE": "4500"}
FAULTS = {
    "a column missing": (_without(FLIPPER), ["flipper_length_mm"]),
    "a column renamed": (_renamed(FLIPPER, "Flipper (mm)"), ["flipper_length_mm", "Flipper (mm)"]),
    "a column extra": (lambda rows: [{**row, "Colour": "black"} for row in rows], ["Colour"]),
    "a wrong type in one cell": (_set(17, FLIPPER, "long"), ["flipper_length_mm", "long", "17"]),
    "a value out of bounds": (_set(23, "Body Mass (g)", "62500"), ["body_mass_g", "62500", "23", "7500"]),
    "an unknown category": (_set(5, "Island", "Anvers"), ["island", "Anvers", "5"]),
    "an unknown species": (_set(6, "Species", "Emperor penguin (Aptenodytes forsteri)"), ["species", "Emperor", "6"]),
    "an unknown label": (_set(6, "Sex", "UNDETERMINED"), ["sex", "undetermined", "6"]),
    "null where none may be": (_set(13, "Culmen Depth (mm)", "NA"), ["bill_depth_mm", "13"]),
    "duplicated rows": (lambda rows: rows + rows[:20], ["sample"]),
    "half the rows gone": (lambda rows: rows[::2], ["300"]),
    "the labels of most rows gone": (_without_labels, ["300"]),
    "a class missing": (lambda rows: [row for row in rows if row["Sex"] != "FEMALE"], ["female"]),
    "the labels of a season swapped": (_swapped, ["body_mass_g", "3700", "4000"]),
    "the target leaking into a feature": (
        lambda rows: [{**row, "Body Mass (g)": MASS.get(row["Sex"], row["Body Mass (g)"])} for row in rows],
        ["body_mass_g", "0.98"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_validation_refuses(released, fault):
    change, words = FAULTS[fault]
    edit(released, change)
    trained = released.bundle / "manifest.json"
    before = trained.read_bytes()
    with pytest.raises(DataRefused) as caught:
        run_stages(released)
    said = str([(o.column, o.expectation, o.found, o.values, o.rows) for o in caught.value.report.failures])
    assert [word for word in words if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said)] == [], said
    assert trained.read_bytes() == before
    assert not (released.validation / "passed.json").exists()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _only_a_header(path: Path) -> None:
    path.write_text(path.read_text().splitlines()[0] + "\n")


def _picture(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe" * 40)


def _page(path: Path) -> None:
    path.write_text("<!doctype html>\n<html><body>404, not found</body></html>\n")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (_empty, "failed: EmptyDataError"),
        (_only_a_header, "returned no rows"),
        (_picture, "failed: UnicodeDecodeError"),
        (_page, r"needs the column\(s\) individual"),
        (Path.unlink, "no data; `dvc pull data.dvc` fetches it"),
    ],
)
def test_a_file_that_is_no_table_is_refused_when_it_is_read(released, fault, words):
    fault(released.data / "penguins-raw.csv")
    with pytest.raises(SlipwayError, match=words):
        run_stages(released)


def test_training_rows_that_are_also_test_rows_are_refused(released):
    from slipway.stages.train import train
    from slipway.stages.validate import validate

    table = released.table
    (table / "test.parquet").write_bytes((table / "train.parquet").read_bytes())
    report = validate(released.problem, released.params.validate_, table, released.validation)
    assert not report.passed
    assert "individual" in str(report.failures)
    with pytest.raises(SlipwayError, match=r"passed.json: missing"):
        train(released.problem, released.params, table, released.validation, released.bundle)


def test_a_table_that_was_changed_after_validation_is_not_trained_on(released):
    import pandas as pd

    from slipway.stages.train import train

    path = released.table / "train.parquet"
    pd.read_parquet(path).head(100).to_parquet(path)
    with pytest.raises(SlipwayError, match=r"not the table that passed validation"):
        train(released.problem, released.params, released.table, released.validation, released.bundle)
