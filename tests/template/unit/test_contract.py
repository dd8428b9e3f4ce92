import json
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Annotated, Literal, Self

import numpy as np
import pandas as pd
import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PastDate,
    RootModel,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from flowers import Flower, Specimen, flowers
from slipway.contract import Contract, Target, canonical_json
from slipway.problem import SlipwayError

ROW = {"colour": "red", "height": 3.5, "petals": 5, "scented": True, "bed": None, "weight": None}


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract.from_model(Flower)


def test_its_json_schema_makes_the_same_contract_again_also_when_it_was_written_to_a_file(contract):
    assert Contract.from_schema(json.loads(canonical_json(contract.schema()))) == contract


def test_it_carries_units_bounds_categories_and_descriptions(contract):
    height, petals, colour = contract["height"], contract["petals"], contract["colour"]
    assert (height.unit, height.minimum, height.below, height.description) == ("cm", 0, 200, "Stem")
    assert (petals.above, petals.maximum) == (0, 50)
    assert colour.categories == ("blue", "red", "white")


def test_the_example_is_a_row_that_the_request_model_allows(contract):
    contract.model().model_validate(contract.example)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("height", False),
        ("height", "3.5"),
        ("height", float("nan")),
        ("height", float("inf")),
        ("height", -0.1),
        ("height", 200.0),
        ("petals", 0),
        ("petals", 2.5),
        ("scented", 1),
        ("colour", "green"),
        ("colour", None),
        ("unknown", 1),
    ],
)
def test_the_request_model_refuses(contract, field, value):
    with pytest.raises(ValidationError) as caught:
        contract.model().model_validate({**ROW, field: value})
    assert caught.value.errors()[0]["loc"][0] == field


def test_the_request_model_lets_an_optional_field_be_missing_and_a_whole_number_be_a_float(contract):
    given = {"colour": "red", "height": 3, "petals": 5, "scented": True}
    assert contract.model().model_validate(given).model_dump() == {**ROW, "height": 3.0}


def test_arrays_are_the_same_from_a_table_from_columns_and_from_rows(contract):
    table = flowers(20)[list(contract.names)]
    rows = contract.rows(contract.arrays(table))
    columns = {name: table[name].tolist() for name in table}
    for other in (contract.arrays(rows), contract.arrays(columns)):
        for name, array in contract.arrays(table).items():
            np.testing.assert_array_equal(other[name], array)


def test_in_arrays_a_missing_number_is_nan_and_a_missing_category_the_empty_string(contract):
    arrays = contract.arrays([{**ROW, "weight": None, "bed": None}])
    assert np.isnan(arrays["weight"][0])
    assert arrays["bed"][0] == ""


def test_rows_come_back_from_arrays_as_json_has_them(contract):
    row = {**ROW, "bed": "north", "weight": 0.25}
    assert contract.rows(contract.arrays([row, ROW])) == [row, ROW]


def test_a_table_without_an_optional_column_counts_it_as_missing(contract):
    arrays = contract.arrays(flowers(5).drop(columns="weight"))
    assert np.isnan(arrays["weight"]).all()


def test_a_table_without_a_required_column_is_refused_by_name(contract):
    with pytest.raises(SlipwayError, match=r"lacks the column.* height"):
        contract.arrays(flowers(5).drop(columns="height"))


def test_text_in_a_numeric_column_is_refused_by_name(contract):
    with pytest.raises(SlipwayError, match=r"height: not a number.*tall"):
        contract.arrays(pd.DataFrame([{**ROW, "height": "tall"}]))


def _with(annotation, default=...):
    given = {} if default is ... else {"x": default}
    return type("Row", (BaseModel,), {"__annotations__": {"x": annotation}, **given})


class Visit(BaseModel):
    day: Annotated[date, Field(ge=date(2020, 1, 1))]
    start: datetime | None = None
    ward: Literal[3, 5]


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("1970-01-02T00:00:00Z", 86400),
        ("1970-01-02T01:00:00.5+01:00", 86400.5),
        ("1969-12-31 23:59Z", -60),
        (pd.Timestamp("1970-01-01T00:00:01", tz="Asia/Tokyo"), 1 - 9 * 3600),
        (None, np.nan),
    ],
)
def test_a_date_time_is_seconds_since_1970_in_utc(given, number):
    rows = [{"day": "1970-01-03", "start": given, "ward": 5}]
    arrays = Contract.from_model(Visit).arrays(rows)
    np.testing.assert_array_equal(arrays["start"], [number])
    assert arrays["day"] == [2]


def test_dates_to_the_microsecond_come_back_from_arrays():
    row = {"day": "9999-12-31", "start": "2024-02-29T23:59:59.999999Z", "ward": 3}
    contract = Contract.from_model(Visit)
    assert contract.rows(contract.arrays([row])) == [row]


def test_in_a_pandas_table_a_date_time_without_a_time_zone_is_refused_and_one_with_it_is_not():
    contract = Contract.from_model(Visit)
    table = pd.DataFrame({"day": ["2024-01-31"], "start": pd.to_datetime(["2024-01-31T12:00"]), "ward": [3]})
    with pytest.raises(SlipwayError, match=r"row 0: start is Timestamp.* a date-time with its offset from UTC"):
        contract.checked(table)
    zoned = table.assign(start=table["start"].dt.tz_localize("Europe/Vienna"), day=pd.to_datetime(table["day"]))
    assert contract.rows(contract.checked(zoned))[0]["start"] == "2024-01-31T11:00:00Z"


def test_a_category_that_is_a_number_is_a_class_of_the_target_with_its_own_type():
    goal = Target.of(Contract.from_model(Visit)["ward"])
    assert goal.classes == (3, 5)
    assert goal.encode([5, 3]).tolist() == [1, 0]
    with pytest.raises(SlipwayError, match="is a date; declare the number of days"):
        Target.of(Contract.from_model(Visit)["day"])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (_with(float | str), r"x: the type float \| str is not supported; use float, int, .*, datetime or Literal"),
        (_with(list[float]), r"x: the type list\[float\] is not supported"),
        (_with(time), "x: the type time is not supported"),
        (_with(time | None, None), r"x: the type datetime.time \| None is not supported"),
        (_with(PastDate), r"x: Field\(past_only=...\) cannot be checked"),
        (
            _with(Annotated[datetime, Field(ge=datetime(2020, 1, 1))]),
            "x: ge=2020-01-01T00:00:00 is not a date-time with",
        ),
        (_with(Annotated[date, Field(examples=["1.2.2024"])]), "x: the example 1.2.2024 is not a date as in ISO 8601"),
        (_with(Callable), "Row: Cannot generate .*; use float, int, .* fields are x: Callable"),
        (_with(Annotated[float, Field(greater=0)]), r"x: Field\(greater=...\) cannot be checked .*known here: gt, ge"),
        (_with(Annotated[float, Field(descripton="y")]), r"x: Field\(descripton=...\) .*did you mean description\?"),
        (_with(Annotated[str, Field(max_length=5)]), r"x: Field\(max_length=...\) cannot be checked"),
        (_with(bytes), "x: the type bytes is not supported"),
        (_with(Annotated[int, Field(multiple_of=5)]), r"x: Field\(multiple_of=...\) cannot be checked"),
        (_with(float, 1.0), "x: has a default but does not allow None"),
        (_with(float | None, 1.0), "x: the default of an optional field must be None"),
        (_with(Literal[1, "two"]), "x: the category 1 must be text, .* or all categories are whole numbers"),
        (_with(Literal[True]), "x: the category True must be text"),
        (_with(complex), "Row has complex numbers; use float, int"),
        (_with(Annotated[str, StringConstraints(strip_whitespace=True)]), "Row has texts that are changed .*: load"),
        (_with(Annotated[str, StringConstraints(to_lower=True)]), "Row has texts that are changed .*: load"),
        (_with(Annotated[float, AfterValidator(abs)]), "Row has validators in Python"),
        (_with(Annotated[float, BeforeValidator(abs)] | None, None), "Row has validators in Python"),
        (_with(Annotated[float, Field(gt=1, lt=0)]), "x: no value is above 1 and below 0"),
        (_with(Annotated[date, Field(ge=date(2024, 1, 1), le=date(2023, 1, 1))]), "x: no value is from 2024-01-01"),
        (RootModel[float], r"RootModel\[float\] declares no fields"),
        (_with(Literal["a", ""]), "x: the category '' must be text, not empty"),
        (_with(Literal["a", "b "]), "x: the category 'b ' must be text, .* without outer blanks"),
        (_with(Literal["a", "b\x00"]), r"x: the category 'b\\x00' must be text, .* control characters"),
    ],
)
def test_a_field_that_no_view_could_enforce_is_refused_when_declared(model, words):
    with pytest.raises(SlipwayError, match=words):
        Contract.from_model(model)


def test_a_validator_in_python_is_refused_since_it_would_not_reach_the_server():
    class Row(BaseModel):
        x: float

        @field_validator("x")
        @classmethod
        def positive(cls, value: float) -> float:
            return value

    class Checked(BaseModel):
        x: float

        @model_validator(mode="after")
        def positive(self) -> Self:
            return self

    with pytest.raises(SlipwayError, match="Row has validators in Python"):
        Contract.from_model(Row)
    with pytest.raises(SlipwayError, match="Checked has validators in Python"):
        Contract.from_model(Checked)


def test_an_optional_field_without_a_default_is_required_but_may_be_null():
    contract = Contract.from_model(_with(float | None))
    assert contract.columns[0].optional


def test_a_target_of_categories_is_encoded_in_the_declared_order():
    target = Target.of(Contract.from_model(Specimen)["kind"])
    assert target.encode(["rose", "iris"]).tolist() == [1, 0]


def test_an_unknown_label_is_refused_by_name():
    with pytest.raises(SlipwayError, match="kind: 'tulip' is none of iris, rose"):
        Target.of(Contract.from_model(Specimen)["kind"]).encode(["rose", "tulip"])


def test_a_boolean_target_has_the_classes_false_and_true_and_a_number_has_none():
    columns = Contract.from_model(Specimen)
    assert Target.of(columns["scented"]).classes == (False, True)
    assert Target.of(columns["scented"]).encode([True, False]).tolist() == [1, 0]
    assert Target.of(columns["height"]).classes == ()


@pytest.mark.parametrize(("column", "words"), [("bed", "optional"), ("plant", "free text")])
def test_a_target_that_cannot_be_learned_is_refused(column, words):
    with pytest.raises(SlipwayError, match=words):
        Target.of(Contract.from_model(Specimen)[column])


WRONG = [
    ({"height": float("nan")}, "row 1: height is missing; it must be a number at least 0 and below 200 cm"),
    ({"height": None}, "row 1: height is missing"),
    ({"height": float("inf")}, "row 1: height is inf"),
    ({"height": -5.0}, "row 1: height is -5.0; it must be a number at least 0 and below 200 cm"),
    ({"height": 200.0}, "row 1: height is 200.0"),
    ({"petals": 2.5}, "row 1: petals is 2.5; it must be a whole number above 0 and at most 50"),
    ({"colour": "green"}, "row 1: colour is 'green'; it must be one of blue, red, white"),
    ({"colour": None}, "row 1: colour is missing"),
    ({"weight": -1.0}, "row 1: weight is -1.0; it must be a number at least 0"),
]
OF_ROWS = [
    ({"height": "3.5"}, "row 1: height is '3.5'"),
    ({"height": True}, "row 1: height is True"),
    ({"scented": 1}, "row 1: scented is 1; it must be true or false"),
    ({"colour": ""}, "row 1: colour is ''"),
    ({"bed": ""}, "row 1: bed is ''; it must be one of north, south"),
    ({"size": 3}, "row 1: size is unknown; known here: colour, height"),
    ({"heigth": 3.5}, r"row 1: heigth is unknown; did you mean height\?"),
]


@pytest.mark.parametrize(("change", "words"), [*WRONG, *OF_ROWS])
def test_checked_refuses_the_rows_that_the_request_model_refuses_and_names_row_field_and_value(contract, change, words):
    with pytest.raises(ValidationError):
        contract.model().model_validate({**ROW, **change})
    with pytest.raises(SlipwayError, match=words):
        contract.checked([ROW, {**ROW, **change}])


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_checked_refuses_the_same_values_in_a_table_and_in_columns(contract, change, words):
    rows = [ROW, {**ROW, **change}]
    for table in (pd.DataFrame(rows), {name: [row[name] for row in rows] for name in ROW}):
        with pytest.raises(SlipwayError, match=words):
            contract.checked(table)


def test_checked_names_every_field_of_an_empty_row(contract):
    with pytest.raises(SlipwayError, match=r"(?s)colour is missing.*height is missing.*petals.*scented is missing"):
        contract.checked([{}])


def test_checked_lists_the_first_errors_and_counts_the_others(contract):
    with pytest.raises(SlipwayError, match=r"(?s)row 9: .*and 2 more$"):
        contract.checked([{**ROW, "height": -1.0}] * 10 + [{**ROW, "petals": 0}] * 2)


@pytest.mark.parametrize("table", [["colour"], {name: [value] * len(name) for name, value in ROW.items()}])
def test_checked_refuses_what_is_no_table_of_rows(contract, table):
    with pytest.raises(SlipwayError, match=r"not a mapping of fields|not of one length"):
        contract.checked(table)


def test_checked_gives_the_arrays_of_allowed_rows_in_every_form(contract):
    table = flowers(40)
    rows = contract.rows(contract.arrays(table))
    forms = [table, rows, {name: table[name].tolist() for name in contract.names}, contract.arrays(table)]
    forms.append(table.convert_dtypes())
    for form in forms:
        for name, array in contract.checked(form).items():
            np.testing.assert_array_equal(array, contract.arrays(table)[name])


def test_a_required_text_must_not_be_empty_for_the_service_nor_for_the_predictor():
    named = Contract.from_model(_with(str))
    with pytest.raises(ValidationError):
        named.model().model_validate({"x": ""})
    with pytest.raises(SlipwayError, match="row 0: x is ''; it must be text"):
        named.checked([{"x": ""}])
