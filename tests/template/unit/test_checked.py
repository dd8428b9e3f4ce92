"""What the contract says of rows, columns and tables that it does not allow, at the edges."""

import numpy as np
import pandas as pd
import pytest

from slipway.contract import Column, Contract
from slipway.problem import SlipwayError

CONTRACT = Contract(
    "Row", (Column("x", "number", minimum=0), Column("n", "integer", optional=True), Column("t", "text", optional=True))
)


def refusal(table) -> str:
    with pytest.raises(SlipwayError) as refused:
        CONTRACT.checked(table)
    return str(refused.value)


def test_the_message_lists_each_error_in_a_line():
    rows = [{"x": -1, "n": 1.5}, {"x": None, "colour": "red"}]
    assert refusal(rows).splitlines() == [
        "not as the schema declares it:",
        "  row 1: colour is unknown; known here: x, n, t",
        "  row 0: x is -1; it must be a number at least 0",
        "  row 1: x is missing; it must be a number at least 0",
        "  row 0: n is 1.5; it must be a whole number",
    ]


@pytest.mark.parametrize(("errors", "last"), [(9, None), (10, None), (11, "  and 1 more"), (13, "  and 3 more")])
def test_of_very_many_errors_ten_are_listed_and_the_others_counted(errors, last):
    rows = [{"x": 1}] * 3 + [{"x": 1, f"y{n}": 1} for n in range(errors)]
    lines = refusal(rows).splitlines()[1:]
    assert lines[:10] == [f"  row {n + 3}: y{n} is unknown; known here: x, n, t" for n in range(min(errors, 10))]
    assert lines[10:] == ([last] if last else [])


def test_of_one_column_ten_values_are_listed():
    assert len(refusal({"x": [-1.0] * 12}).splitlines()) == 11
    assert "row 9: " in refusal({"x": [-1.0] * 12})


def test_a_mapping_with_a_column_that_is_unknown_is_refused_and_a_table_may_have_others():
    assert "columns: colour is unknown" in refusal({"x": [1.0, 2.0], "colour": ["red", "blue"]})
    found = CONTRACT.checked(pd.DataFrame({"x": [1.0, 2.0], "colour": ["red", "blue"]}))
    assert list(found) == ["x", "n", "t"]


def test_an_optional_column_that_is_absent_has_as_many_missing_values_as_there_are_rows():
    for table in ({"x": [1.0, 2.0, 3.0]}, pd.DataFrame({"x": [1.0, 2.0, 3.0]}), [{"x": n} for n in (1, 2, 3)]):
        found = CONTRACT.checked(table)
        assert np.isnan(found["n"]).tolist() == [True] * 3
        assert found["t"].tolist() == [""] * 3


@pytest.mark.parametrize("table", [{"x": [1.0, 2.0], "n": [1]}, {"x": [1.0], "n": [1, 2], "t": ["a", "b", "c"]}])
def test_columns_of_two_lengths_are_refused(table):
    assert refusal(table).splitlines()[1:] == ["  the columns are not of one length"]


def test_a_row_of_a_table_is_named_by_its_place_whatever_its_index():
    table = pd.DataFrame({"x": [1.0, -2.0], "n": [1.0, 2.0]}, index=[7, 0])
    assert refusal(table).splitlines()[1:] == ["  row 1: x is -2.0; it must be a number at least 0"]


@pytest.mark.parametrize(
    ("table", "words"),
    [([{"x": 1}, 3], "^row 1 is a int, not a mapping of fields$"), ([[1]], "^row 0 is a list, not a mapping")],
)
def test_what_is_no_row_is_named_with_its_type(table, words):
    with pytest.raises(SlipwayError, match=words):
        CONTRACT.checked(table)


def test_a_row_without_a_required_field_and_an_empty_one_are_refused():
    for row in ({}, {"t": "a"}):
        assert "  row 1: x is missing; it must be a number at least 0" in refusal([{"x": 1}, row]).splitlines()


def test_every_required_column_that_is_missing_is_named():
    two = Contract("Row", (Column("a", "number"), Column("b", "text"), Column("c", "text", optional=True)))
    for table in ({}, {"c": ["x"]}, pd.DataFrame({"c": ["x"]})):
        with pytest.raises(SlipwayError, match=r"^the table lacks the column\(s\) a, b$"):
            two.checked(table)
