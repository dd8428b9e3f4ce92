"""The edges of one column: its bounds in words and in numbers, its example, and which values it allows."""

import numpy as np
import pandas as pd
import pytest

from slipway.contract.column import Column
from slipway.contract.dates import is_missing
from slipway.problem import SlipwayError

EXACT = 2**53
NUMBER, INTEGER, BOOLEAN = Column("x", "number"), Column("n", "integer"), Column("b", "boolean")
KIND = Column("k", "category", categories=("rose", "iris"))
TEXT = Column("t", "text")


def number(**bounds) -> Column:
    return Column("x", "number", **bounds)


def integer(**bounds) -> Column:
    return Column("n", "integer", **bounds)


@pytest.mark.parametrize(
    ("column", "example"),
    [
        (number(examples=(7.5, 8.5), minimum=0), 7.5),
        (number(), 1.0),
        (number(minimum=4), 5.0),
        (number(above=4), 5.0),
        (number(maximum=4), 3.0),
        (number(below=4), 3.0),
        (number(minimum=2, maximum=5), 3.5),
        (number(above=2, below=5), 3.5),
        (number(minimum=0, maximum=0), 0.0),
        (integer(minimum=2, maximum=5), 4),
        (integer(above=0, below=2), 1),
        (integer(), 1),
        (BOOLEAN, True),
        (KIND, "rose"),
        (TEXT, "text"),
    ],
)
def test_its_example_is_the_declared_one_or_lies_within_the_bounds(column, example):
    assert (column.example, type(column.example)) == (example, type(example))
    assert not column.checked([column.example])[1].any()


@pytest.mark.parametrize(
    ("column", "limits"),
    [
        (number(), {}),
        (number(minimum=1, maximum=2, above=0, below=3), {"ge": 1, "le": 2, "gt": 0, "lt": 3}),
        (number(minimum=0, maximum=0), {"ge": 0, "le": 0}),
        (integer(), {"ge": -EXACT, "le": EXACT}),
        (integer(minimum=0), {"ge": 0, "le": EXACT}),
        (integer(above=0), {"gt": 0, "le": EXACT}),
        (integer(maximum=0), {"ge": -EXACT, "le": 0}),
        (integer(below=0), {"ge": -EXACT, "lt": 0}),
        (BOOLEAN, {}),
        (KIND, {}),
        (TEXT, {"min_length": 1}),
        (Column("t", "text", optional=True), {}),
    ],
)
def test_its_limits_are_those_that_were_declared_and_that_float64_can_hold(column, limits):
    assert column.limits == limits


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (number(), "a number"),
        (number(minimum=0, unit="mm"), "a number at least 0 mm"),
        (number(unit="mm"), "a number"),
        (number(above=0, below=9), "a number above 0 and below 9"),
        (number(minimum=0, maximum=9), "a number at least 0 and at most 9"),
        (number(minimum=1, above=0, maximum=8, below=9), "a number at least 1 and at most 8"),
        (number(minimum=0, above=1, maximum=9, below=8), "a number above 1 and below 8"),
        (number(minimum=1, above=1, maximum=9, below=9), "a number above 1 and below 9"),
        (number(maximum=0.1 + 0.2), "a number at most 0.3"),
        (integer(minimum=1), "a whole number at least 1"),
        (BOOLEAN, "true or false"),
        (TEXT, "text"),
        (KIND, "one of rose, iris"),
    ],
)
def test_its_words_name_the_narrower_bound_of_each_side(column, words):
    assert column.words == words


@pytest.mark.parametrize(
    ("column", "right", "wrong"),
    [
        (number(minimum=0, maximum=1), [0.0, 0.5, 1.0], [-1e-9, 1 + 1e-9, np.inf, -np.inf, np.nan]),
        (number(above=0, below=1), [1e-9, 1 - 1e-9], [0.0, 1.0]),
        (NUMBER, [-1e300, 0.0], [np.inf, -np.inf, np.nan]),
        (INTEGER, [0, -EXACT, EXACT], [0.5, EXACT + 2, -EXACT - 2, np.inf]),
        (BOOLEAN, [0, 1], [2, -1, 0.5]),
    ],
)
@pytest.mark.parametrize("form", [np.array, pd.Series])
def test_numbers_in_arrays_are_checked_by_value(column, right, wrong, form):
    array, refused = column.checked(form([*right, *wrong], dtype=float))
    assert refused.tolist() == [False] * len(right) + [True] * len(wrong)
    assert array[: len(right)].tolist() == right
    missing = Column(column.name, column.kind, optional=True).checked(form([np.nan, np.inf]))[1]
    assert missing.tolist() == [False, True]


@pytest.mark.parametrize(
    ("column", "right", "wrong"),
    [
        (NUMBER, [1, 1.5, np.float32(2), np.int8(3)], [True, "1", None, np.nan, pd.NA, pd.NaT, [1], float("inf")]),
        (INTEGER, [1, np.int64(2)], [True, 1.0, np.float64(2), "1", None]),
        (BOOLEAN, [True, False, np.True_], [0, 1, 1.0, "true", None]),
        (KIND, ["rose", "iris"], ["Rose", "", " rose", None, 1, True]),
        (TEXT, ["a", " "], ["", None, 1, True, np.nan]),
    ],
)
def test_single_values_must_have_the_columns_type(column, right, wrong):
    array, refused = column.checked([*right, *wrong])
    assert refused.tolist() == [False] * len(right) + [True] * len(wrong)
    assert array[: len(right)].tolist() == right
    optional = Column(column.name, column.kind, optional=True, categories=column.categories)
    assert optional.checked([None, np.nan, pd.NA])[1].tolist() == [False] * 3
    assert not optional.checked(right)[1].any()


@pytest.mark.parametrize("column", [NUMBER, INTEGER, BOOLEAN, KIND, TEXT])
def test_no_values_are_an_empty_array_and_none_is_refused(column):
    array, refused = column.checked([])
    assert (len(array), refused.tolist()) == (0, [])


def test_the_empty_text_is_missing_in_a_table_and_wrong_in_a_row():
    optional = Column("k", "category", optional=True, categories=("rose",))
    assert optional.checked(pd.Series(["", "rose"], dtype=object))[1].tolist() == [False, False]
    assert optional.checked(["", "rose"])[1].tolist() == [True, False]
    assert KIND.checked(pd.Series(["", "rose"], dtype=object))[1].tolist() == [True, False]


def test_arrays_hold_numbers_as_float64_and_text_as_strings():
    assert INTEGER.array([1, 2]).dtype == BOOLEAN.array([True]).dtype == np.float64
    assert NUMBER.array(pd.Series([1, None], dtype="Int64"))[0] == 1
    assert np.isnan(NUMBER.array(pd.Series([1, None], dtype="Int64"))[1])
    assert TEXT.array(["a", None, np.nan]).tolist() == ["a", "", ""]
    assert [column.dtype for column in (NUMBER, INTEGER, BOOLEAN, KIND, TEXT)] == ["float64"] * 3 + ["object"] * 2


@pytest.mark.parametrize("values", [["a"], [[1], [2, 3]], [{}]])
def test_what_is_no_number_is_refused_by_the_columns_name(values):
    with pytest.raises(SlipwayError, match=r"^x: not a number: "):
        NUMBER.array(values)


@pytest.mark.parametrize(
    ("value", "missing"),
    [(None, True), (float("nan"), True), (pd.NA, True), (pd.NaT, True), (0, False), ("", False), ([], False)],
)
def test_missing_are_none_nan_and_pandas_own(value, missing):
    assert is_missing(value) == missing
