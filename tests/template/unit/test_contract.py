import json
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

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


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (_with(float | str), "x: a union of types"),
        (_with(list[float]), "x: items cannot be derived"),
        (_with(bytes), "x: format cannot be derived"),
        (_with(Annotated[int, Field(multiple_of=5)]), "x: multipleOf cannot be derived"),
        (_with(float, 1.0), "x: has a default but does not allow None"),
        (_with(float | None, 1.0), "x: the default of an optional field must be None"),
        (_with(Literal[1, 2]), "x: the categories .* must be strings"),
        (_with(Literal["a", ""]), "x: the categories .* must be strings, and none of them empty"),
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

    with pytest.raises(SlipwayError, match="Row has validators in Python"):
        Contract.from_model(Row)


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
