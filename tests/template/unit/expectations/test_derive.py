"""Great Expectations takes seconds to import, so it is imported when a test runs, never when tests are collected."""

from typing import Annotated, Literal

import pandas as pd
import pytest
from pydantic import BaseModel, Field

from flowers import Specimen, flowers
from slipway.contract import Column, Contract
from slipway.problem.params import Validate

PARAMS = Validate(max_missing=0.1)
OCCURS = "occurs: load() reads it as it is written, or the schema drops it"


def derived(column: Column, values, **changes):
    from slipway.expectations.derive import of_column

    return of_column(column, pd.Series(values), PARAMS)


def words(expectations) -> list[str]:
    return [expectation.description for expectation in expectations]


def kinds(expectations) -> list[str]:
    return [type(expectation).__name__ for expectation in expectations]


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (
            Column("mass", "number", minimum=1, maximum=2, unit="g"),
            [1.5],
            ["mass is never missing", "mass is a number", "mass is at least 1 and at most 2 g"],
        ),
        (
            Column("count", "integer", above=0, below=1_000_000),
            [3],
            ["count is never missing", "count is a whole number", "count is above 0 and below 1000000"],
        ),
        (Column("free", "number"), [1.5], ["free is never missing", "free is a number"]),
        (Column("wet", "boolean"), [True], ["wet is never missing", "wet is true or false"]),
        (
            Column("sex", "category", optional=True, categories=("f", "m")),
            ["f"],
            ["sex is missing in at most 0.1 of the records", "sex is one of f, m", f"each declared sex {OCCURS}"],
        ),
        (Column("name", "text"), ["a"], ["name is never missing", "name is not blank"]),
    ],
)
def test_each_kind_of_column_has_its_expectations(column, values, expected):
    assert words(derived(column, values)) == expected


def test_every_value_that_the_schema_allows_may_be_at_the_bound_and_no_other():
    strict = derived(Column("x", "number", above=0, below=9), [1.0])[-1]
    assert (strict.min_value, strict.max_value, strict.strict_min, strict.strict_max) == (0, 9, True, True)
    closed = derived(Column("x", "number", minimum=0, maximum=9), [1.0])[-1]
    assert (closed.min_value, closed.max_value, closed.strict_min, closed.strict_max) == (0, 9, False, False)


def test_of_two_bounds_on_one_side_the_narrower_counts():
    both = derived(Column("x", "number", minimum=0, above=0, maximum=9, below=12), [1.0])[-1]
    assert both.description == "x is above 0 and at most 9"


def test_a_bound_on_one_side_leaves_the_other_open():
    low = derived(Column("x", "number", minimum=0), [1.0])[-1]
    assert (low.min_value, low.max_value, low.description) == (0, None, "x is at least 0")


def test_numbers_stored_as_text_are_looked_at_as_text_and_not_compared_with_bounds():
    column = Column("x", "number", minimum=0)
    assert kinds(derived(column, ["1", "many"])) == ["ExpectColumnValuesToNotBeNull", "ExpectColumnValuesToMatchRegex"]


def test_numbers_stored_as_text_are_refused_even_if_each_looks_like_a_number():
    column = Column("x", "number", minimum=0)
    assert kinds(derived(column, ["1", "2"]))[1:] == ["ExpectColumnValuesToBeInTypeList"]


def test_a_new_field_of_the_schema_is_expected_with_all_that_it_declares():
    from slipway.expectations.derive import of_records

    class Grown(Specimen):
        age: Annotated[int, Field(ge=0, le=20)]
        soil: Literal["clay", "sand"] | None = None

    def described(model: type[BaseModel], table) -> set[str]:
        return set(words(of_records(Contract.from_model(model), table, PARAMS)))

    grown = flowers(4).assign(age=1, soil="clay")
    new = described(Grown, grown) - described(Specimen, flowers(4))
    assert new == {
        "age is never missing",
        "age is a whole number",
        "age is at least 0 and at most 20",
        "soil is missing in at most 0.1 of the records",
        "soil is one of clay, sand",
        f"each declared soil {OCCURS}",
    }
    assert "age" in of_records(Contract.from_model(Grown), grown, PARAMS)[0].column_set


@pytest.mark.parametrize(
    ("kind", "values", "shown"),
    [
        ("integer", [1.0, 2.5, None], ["1.0", "2.5"]),
        ("number", [1.0, float("inf")], ["1.0", "inf"]),
        ("boolean", [1.0, 2.0, 0.0], ["1.0", "2.0", "0.0"]),
        ("integer", [1.0, 2.0, None], [1.0, 2.0]),
        ("boolean", [1.0, 0.0, None], [1.0, 0.0]),
        ("number", [None, None], []),
    ],
)
def test_values_that_the_dtype_hides_are_shown_as_text(kind, values, shown):
    from slipway.expectations.derive import legible

    table = legible(Contract("Row", (Column("x", kind),)), pd.DataFrame({"x": values}))
    assert table["x"].dropna().tolist() == shown
