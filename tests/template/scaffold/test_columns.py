"""What one column is taken for, and why."""

import pandas as pd
import pytest

from slipway.scaffold.columns import describe
from slipway.scaffold.naming import field_name


def described(values, name="x", **options):
    return describe(name, pd.Series(values, dtype="str"), name, **options)


KINDS = {
    "fractions": (["1.5", "2", "-3e2"] * 20, "number"),
    "whole numbers": ([str(n) for n in range(40)], "integer"),
    "whole numbers with a fraction of 0, as a missing value makes them": (["1.0", "2.0", "7.0"] * 20, "integer"),
    "0 and 1": (["0", "1"] * 20, "boolean"),
    "true and false": (["True", "false"] * 20, "boolean"),
    "leading zeros": (["01067", "04109", "80331"] * 20, "category"),
    "a number too long to be exact": ([str(10**17 + n) for n in range(40)], "text"),
    "a few words": (["gas", "oil"] * 20, "category"),
    "many words": ([f"house number {n} at the river" for n in range(100)], "text"),
}


@pytest.mark.parametrize("case", KINDS)
def test_the_kind_is_what_all_values_are(case):
    values, kind = KINDS[case]
    assert described(values).column.kind == kind


@pytest.mark.parametrize("name", ["zip", "product_code", "customer_id", "phone_number"])
def test_whole_numbers_are_a_code_where_the_name_says_so(name):
    found = described([str(number) for number in range(10_000, 10_100)], name)
    assert found.column.kind == "text"
    assert "look like a code" in found.notes[0]


def test_na_among_numbers_is_a_missing_value():
    found = described(["1", "2", "NA", ""] * 20)
    assert (found.column.kind, found.missing, found.absent, found.column.optional) == ("integer", ("NA",), 40, True)


def test_na_among_two_letter_codes_is_a_value_whatever_it_is_elsewhere():
    found = described(["DE", "AT", "NA"] * 20, na_is_missing=True)
    assert found.column.categories == ("AT", "DE", "NA")
    assert "kept as a value" in found.notes[0]


def test_na_among_words_is_missing_if_the_table_writes_missing_values_so():
    assert described(["male", "female", "NA"] * 20, na_is_missing=True).missing == ("NA",)
    assert described(["male", "female", "NA"] * 20).missing == ()


def test_a_few_cells_that_are_no_numbers_are_read_as_missing_and_named():
    found = described([str(number) for number in range(200)] + ["about 12"])
    assert found.column.kind == "integer"
    assert found.notes == ("1 cells are no numbers ('about 12'): read as missing",)


WRITTEN = {
    "a currency before, thousands": (["$1,200", "$950", "-$3,000.50"], ("$", ",", "."), [1200, 950, -3000.5]),
    "a currency after, the other marks": (["1.200,50 €", "3 €", "950,5 €"], ("€", ".", ","), [1200.5, 3, 950.5]),
    "a decimal comma": (["21,59", "3,5", "-7"], ("", "", ","), [21.59, 3.5, -7]),
    "per cent": (["29 %", "3%", "0.5 %"], ("%", "", "."), [29, 3, 0.5]),
    "a unit": (["12 kg", "3kg", "1.5 kg"], ("kg", "", "."), [12, 3, 1.5]),
    "points between thousands, none below": (["1.250", "950", "12.500"], ("", ".", ","), [1250, 950, 12500]),
    "three digits after a point": (["1.250", "0.950", "12.5"], ("", "", "."), [1.25, 0.95, 12.5]),
    "blanks between thousands": (["1 250", "950", "12 500,5"], ("", " ", ","), [1250, 950, 12500.5]),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_numbers_are_read_as_people_write_them(case):
    cells, written, numbers = WRITTEN[case]
    found = described(cells * 20)
    assert (tuple(found.written), [found.written.read(cell) for cell in cells]) == (written, numbers)
    assert (found.low, found.high) == (min(numbers), max(numbers))


def test_three_digits_after_a_comma_are_decimals_where_the_table_has_decimal_commas():
    assert described(["1,250", "2,375"] * 20).high == 2375
    assert described(["1,250", "2,375"] * 20, comma=True).high == 2.375


def test_numbers_that_are_not_written_plainly_are_named():
    assert described(["$1,200", "$950"] * 20).notes == ("numbers written as '$1,200': read as 1200",)


@pytest.mark.parametrize(
    "cells", [["3rd", "1st"], ["K-1", "K-2"], ["12 kg", "300 g"], ["1,2", "1,234,5"], ["10.0.0.1", "1"]]
)
def test_what_only_resembles_numbers_stays_text(cells):
    assert not described(cells * 20).column.numeric


@pytest.mark.parametrize(
    ("value", "kind", "form"),
    [
        ("2024-01-31", "date", None),
        ("2024-01-31T12:00:00Z", "datetime", None),
        ("2024-01-31 12:00", "datetime", "ISO8601"),
        ("2024/01/31", "date", "%Y/%m/%d"),
        ("20240131", "date", "%Y%m%d"),
        ("01/31/2024", "date", "%m/%d/%Y"),
        ("31/01/2024 12:00", "datetime", "%d/%m/%Y %H:%M"),
        ("31.01.2024", "date", "%d.%m.%Y"),
        ("31 Jan 2024", "date", "%d %b %Y"),
    ],
)
def test_dates_are_fields_however_they_are_written_and_named_for_the_split(value, kind, form):
    found = described([value, value.replace("31", "30")] * 20)
    assert (found.holds, len(found.formats), found.column.kind) == ("dates", 1, kind)
    assert (found.form or None) == form
    assert found.evidence.startswith("dates, 2024-01-30")
    assert "the split ignores them" in found.notes[-1]
    assert ("no time zone is written: read as UTC" in found.notes) == (kind == "datetime" and "Z" not in value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("05/06/2024", "day and month cannot be told apart"),
        ("2024-02-30", "written in no one way that is known"),
        ("31.01.24", "written in no one way that is known"),
    ],
)
def test_dates_that_cannot_be_read_are_no_field_and_the_reason_is_told(value, why):
    found = described([value, value.replace("2024", "2023")] * 20)
    assert (found.holds, found.column.kind) == ("dates", "text")
    assert found.evidence == f"dates, as {value}: {why}" + (
        "; as 2024-01-31 they could be used" if "known" in why else ""
    )


def test_bounds_hold_all_values_with_room_and_say_what_is_far():
    found = described([str(age) for age in range(18, 80)] * 50 + ["200", "201", "202"], "age")
    assert (found.column.minimum, found.column.maximum) == (0, 300)
    assert found.evidence == "18 to 202, median 49; 3 of 3,103 rows are above 160"


def test_a_unit_is_taken_from_the_name():
    assert [describe(name, pd.Series(["1.5", "2"]), "x_mm").column.unit for name in ("Bill (cm)", "x")] == ["cm", "mm"]


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        ("Living Area (m2)", "living_area_m2"),
        ("PassengerId", "passenger_id"),
        ("IMDB_Rating", "imdb_rating"),
        ("Größe", "groe"),
        ("class", "class_"),
        ("schema", "schema_"),
        ("model_year", "the_model_year"),
        ("2nd floor", "n_2nd_floor"),
        ("价格", "column"),
        ("float", "float_"),
        ("Unnamed: 0", "row_id"),
    ],
)
def test_a_fields_name_is_one_that_python_and_pydantic_take(recorded, name):
    assert field_name(recorded, []) == name


def test_two_columns_never_get_one_name():
    assert field_name("a b", ["a_b", "a_b_2"]) == "a_b_3"


@pytest.mark.parametrize(("unit", "second"), [("s", 1), ("ms", 1000)])
def test_whole_numbers_are_unix_time_by_name_and_size(unit, second):
    cells = [str((1_700_000_000 + n) * second) for n in range(40)]
    found = described(cells, "created_at")
    assert (found.column.kind, found.form) == ("datetime", unit)
    assert found.evidence.startswith("dates, 2023-11-14T22:13:20Z")
    assert described(cells, "bytes").column.kind == "integer"
    assert described([str(n) for n in range(40)], "created_at").column.kind == "integer"
