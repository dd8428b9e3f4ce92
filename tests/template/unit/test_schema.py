"""A field's JSON Schema becomes a column, and a column the same JSON Schema; JSON itself is read strictly."""

from datetime import date, datetime
from enum import Enum
from typing import Literal, Optional

import pytest
from pydantic import create_model, field_validator, model_validator

from slipway.contract import Contract
from slipway.contract.column import Column
from slipway.contract.schema import annotated, resolve, to_column, to_schema
from slipway.contract.strict import canonical_json, strict_json
from slipway.problem import SlipwayError

NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("field", "column"),
    [
        (
            {
                "type": "number",
                **{"minimum": 0.0, "maximum": 9.0, "exclusiveMinimum": -1.0, "exclusiveMaximum": 10.0},
                **{"description": "how long", "examples": [1.5, 2.5], "unit": "mm"},
            },
            Column(
                "x",
                "number",
                **{"minimum": 0, "maximum": 9, "above": -1, "below": 10},
                **{"description": "how long", "examples": (1.5, 2.5), "unit": "mm"},
            ),
        ),
        ({"type": "number"}, Column("x", "number")),
        ({"type": "integer", "minimum": 0}, Column("x", "integer", minimum=0)),
        ({"type": "boolean"}, Column("x", "boolean")),
        ({"type": "string"}, Column("x", "text")),
        ({"type": "string", "enum": ["rose", "iris"]}, Column("x", "category", categories=("rose", "iris"))),
        (
            {"anyOf": [{"type": "number", "maximum": 9}, NULL], "default": None, "unit": "mm"},
            Column("x", "number", optional=True, maximum=9, unit="mm"),
        ),
        (
            {"anyOf": [{"type": "string", "enum": ["rose"]}, NULL], "default": None},
            Column("x", "category", optional=True, categories=("rose",)),
        ),
    ],
)
def test_a_field_becomes_a_column_and_a_column_the_field(field, column):
    assert to_column("x", dict(field), required=not column.optional) == column
    assert to_schema(column) == field


def test_what_pydantic_adds_is_understood():
    titled = {"title": "X", "type": "string", "const": "rose"}
    assert to_column("x", titled, required=True) == Column("x", "category", categories=("rose",))
    nullable = {"anyOf": [{"type": "number"}, NULL], "title": "X"}
    assert to_column("x", nullable, required=True) == Column("x", "number", optional=True)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"type": "array", "items": {}}, "^x: the type array is not supported; use float, int, bool, str"),
        ({"type": "string", "format": "time"}, "^x: the type string is not supported"),
        ({"type": "string", "contentMediaType": "image/png"}, "the type string is not supported"),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, "the type number is not supported"),
        ({"anyOf": [NULL]}, "the type None is not supported"),
        ({"type": "number", "multipleOf": 2}, r"^x: Field\(multiple_of=...\) cannot be checked by the expectations"),
        ({"type": "number", "greater": 2}, r"Field\(greater=...\) .*known here: gt, ge, lt, le, description, examples"),
        ({"type": "string", "enum": ["a", ""]}, "^x: the category '' must be text, not empty"),
        ({"type": "string", "enum": ["a", " b"]}, "the category ' b' must be text"),
        ({"type": "string", "enum": ["b\x07"]}, "the category .* must be text"),
        ({"enum": ["a", 1.5]}, "the category 1.5 must be text"),
    ],
)
def test_a_field_that_some_view_could_not_enforce_is_refused_by_name(field, words):
    with pytest.raises(SlipwayError, match=words):
        to_column("x", field, required=True)


def test_the_type_is_named_as_the_project_wrote_it():
    with pytest.raises(SlipwayError, match=r"^x: the type list\[str\] is not supported"):
        to_column("x", {"type": "array"}, required=True, written="list[str]")


@pytest.mark.parametrize(
    ("field", "required", "words"),
    [
        ({"type": "number", "default": 3}, False, "^x: has a default but does not allow None"),
        ({"anyOf": [{"type": "number"}, NULL], "default": 3}, False, "default of an optional field must be None"),
    ],
)
def test_a_default_other_than_none_is_refused(field, required, words):
    with pytest.raises(SlipwayError, match=words):
        to_column("x", field, required=required)


def test_a_reference_is_replaced_and_what_stands_beside_it_counts():
    definitions = {"Kind": {"enum": ["rose"], "type": "string", "title": "Kind"}}
    reference = {"$ref": "#/$defs/Kind"}
    assert resolve({**reference, "title": "Mine"}, definitions) == {**definitions["Kind"], "title": "Mine"}
    assert resolve({"anyOf": [reference, NULL], "default": None}, definitions) == {
        "anyOf": [definitions["Kind"], NULL],
        "default": None,
    }
    assert resolve({"type": "number"}, {}) == {"type": "number"}


class Kind(Enum):
    ROSE = "rose"
    IRIS = "iris"


def test_the_labels_of_an_enum_class_are_categories():
    model = create_model("Plant", kind=(Kind, ...), other=(Kind | None, None))
    kind, other = Contract.from_model(model).columns
    assert kind == Column("kind", "category", categories=("rose", "iris"))
    assert other == Column("other", "category", optional=True, categories=("rose", "iris"))


def test_the_schema_of_a_row_is_closed_and_requires_what_is_not_optional():
    contract = Contract("Plant", (Column("height", "number"), Column("bed", "text", optional=True)))
    assert contract.schema() == {
        "title": "Plant",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "height": {"type": "number"},
            "bed": {"anyOf": [{"type": "string"}, NULL], "default": None},
        },
        "required": ["height"],
    }
    assert Contract.from_schema(contract.schema()) == contract


def test_the_title_of_a_row_is_the_models_and_else_row():
    assert Contract.from_model(create_model("Plant", height=(float, ...))).title == "Plant"
    assert Contract.from_schema({"properties": {"height": {"type": "number"}}, "required": ["height"]}).title == "Row"


@pytest.mark.parametrize("validator", [field_validator("height"), model_validator(mode="before")])
def test_each_kind_of_validator_in_python_is_refused(validator):
    model = create_model("Plant", height=(float, ...), __validators__={"check": validator(lambda cls, value: value)})
    with pytest.raises(SlipwayError, match=r"^Plant has validators in Python; .* Use bounds and categories here"):
        Contract.from_model(model)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (datetime, "datetime"),
        (list[str], "list[str]"),
        (date | None, "datetime.date | None"),
        (Optional[Literal["a"]], "Optional[Literal['a']]"),  # noqa: UP045  (as a project may write it)
    ],
)
def test_a_type_is_written_as_in_source_code(annotation, text):
    assert annotated(annotation) == text


def test_canonical_json_keeps_the_order_of_keys_and_ends_a_line():
    assert canonical_json({"b": 1, "a": ["é", None]}) == '{\n  "b": 1,\n  "a": [\n    "é",\n    null\n  ]\n}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_strict_json_reads_what_is_unambiguous():
    assert strict_json(b'{"a": [1, 2.5, "\\u00e9", "\\ud83d\\ude00", null], "b": {"a": 1}}') == {
        "a": [1, 2.5, "é", "\U0001f600", None],
        "b": {"a": 1},
    }
    assert strict_json(b'{"a": NaN, "b": -Infinity}', constant=lambda name: name) == {"a": "NaN", "b": "-Infinity"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1, "b": 2, "b": 3}', "^the key 'b' is given twice in one object$"),
        (b'[{"' + b"k" * 200 + b'": 1, "' + b"k" * 200 + b'": 1}]', f"^the key '{'k' * 100}' is given"),
        (b'{"a": NaN}', "^NaN is not JSON$"),
        (b"[-Infinity]", "^-Infinity is not JSON$"),
        (b'["\\ud800"]', "surrogates not allowed"),
        (b'{"\\udc00": 1}', "surrogates not allowed"),
        (b"[" * 100_000, "^nested too deeply$"),
        (b'"\xe9"', "codec can't decode"),
        ("[1]".encode("utf-16"), "codec can't decode"),
        (b"", "Expecting value"),
    ],
)
def test_strict_json_refuses_the_rest(content, words):
    with pytest.raises(ValueError, match=words):
        strict_json(content)
