"""The Pydantic model of a request's row: what it refuses, by which rule, and how OpenAPI describes it."""

import json

import pytest
from pydantic import ValidationError

from slipway.contract import Column, Contract, Target
from slipway.problem import SlipwayError

LENGTH = Column("x", "number", unit="mm", description="how long", examples=(1.5, 2.5))
KIND = Column("k", "category", categories=("rose", "iris"))


def rules(column: Column, row: dict) -> list[tuple]:
    model = Contract("Plant", (column,)).model()
    try:
        model.model_validate_json(json.dumps(row))
        model.model_validate(row)
    except ValidationError as error:
        return [(item["type"], item["loc"]) for item in error.errors()]
    return []


@pytest.mark.parametrize(
    ("column", "row", "rule"),
    [
        (LENGTH, {"x": 1.5}, None),
        (LENGTH, {"x": 3}, None),
        (LENGTH, {"x": float("inf")}, "finite_number"),
        (LENGTH, {"x": float("nan")}, "finite_number"),
        (LENGTH, {"x": None}, "float_type"),
        (LENGTH, {"x": "1.5"}, "float_type"),
        (LENGTH, {"x": False}, "float_type"),
        (LENGTH, {}, "missing"),
        (Column("x", "number", minimum=0), {"x": 0}, None),
        (Column("x", "number", minimum=0), {"x": -0.1}, "greater_than_equal"),
        (Column("x", "number", above=0), {"x": 0}, "greater_than"),
        (Column("x", "number", maximum=1), {"x": 1.1}, "less_than_equal"),
        (Column("x", "number", below=1), {"x": 1}, "less_than"),
        (Column("x", "number", optional=True), {}, None),
        (Column("x", "number", optional=True), {"x": None}, None),
        (Column("x", "integer"), {"x": 2**53 + 2}, "less_than_equal"),
        (Column("x", "boolean"), {"x": 1}, "bool_type"),
        (Column("x", "text"), {"x": ""}, "string_too_short"),
        (Column("x", "text", optional=True), {"x": ""}, None),
        (Column("x", "category", categories=("rose",)), {"x": "Rose"}, "literal_error"),
    ],
)
def test_a_field_is_refused_by_the_rule_that_it_breaks(column, row, rule):
    assert rules(column, row) == ([(rule, ("x",))] if rule else [])


def test_an_unknown_field_is_refused():
    assert rules(LENGTH, {"x": 1.5, "y": 1}) == [("extra_forbidden", ("y",))]


def test_openapi_describes_the_field_with_unit_and_examples():
    shown = Contract("Plant", (LENGTH, KIND)).model().model_json_schema()
    assert (shown["title"], shown["required"], shown["additionalProperties"]) == ("Plant", ["x", "k"], False)
    described = {"description": "how long", "examples": [1.5, 2.5], "title": "X", "type": "number", "unit": "mm"}
    assert shown["properties"]["x"] == described
    assert shown["properties"]["k"] == {"enum": ["rose", "iris"], "title": "K", "type": "string"}


def test_labels_are_numbered_in_the_declared_order_and_the_strange_one_is_named():
    target = Target.of(KIND)
    assert target.encode(["iris", "rose", "iris"]).tolist() == [1, 0, 1]
    with pytest.raises(SlipwayError, match=r"^k: 'tulip' is none of rose, iris$"):
        target.encode(["rose", "iris", "tulip", "lily"])
