"""Converts a field's JSON Schema, as Pydantic makes it, to a column and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from slipway.contract import dates
from slipway.contract.column import EXACT, Column, Kind
from slipway.problem import SlipwayError, close_names

KINDS: dict[str, Kind] = {"number": "number", "integer": "integer", "boolean": "boolean", "string": "text"}
BOUNDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
}
# Of dates and date-times, as ajv and others name them: JSON Schema itself has no bounds for texts.
DATE_BOUNDS = {
    "formatMinimum": "minimum",
    "formatMaximum": "maximum",
    "formatExclusiveMinimum": "above",
    "formatExclusiveMaximum": "below",
}
ARGUMENT = dict(zip(DATE_BOUNDS, ("ge", "le", "gt", "lt"), strict=True))  # of Pydantic's Field
DATE_FORMATS: dict[str, Kind] = {"date": "date", "date-time": "datetime"}
ANNOTATIONS = {"title", "description", "examples", "unit", "private", "default"}
ARGUMENTS = ("gt", "ge", "lt", "le", "description", "examples")  # of Pydantic's Field
TYPES = "use float, int, bool, str, date, datetime or Literal[...], with | None and = None if it may be missing"
CHANGES = ("strip_whitespace", "to_lower", "to_upper")  # of texts, by Pydantic
FORMATS = {"format", "contentMediaType"}  # of times, bytes and addresses, which JSON Schema has as strings
UNDERSTOOD = {"type", "enum", "const", "anyOf", *BOUNDS, *ANNOTATIONS}


class Schema(GenerateJsonSchema):
    """Pydantic's JSON Schema of a model, with the bounds of dates, which Pydantic leaves out.

    Raises SlipwayError for what JSON Schema would leave out, so that it never reached bundle, server and expectations.
    """

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        """Refuse validators, also those inside of Annotated, changes of texts, and complex numbers."""
        if schema["type"].startswith("function-"):
            raise SlipwayError(
                "validators in Python; the bundle, the server and the expectations would not have them. Use bounds and "
                "categories here, and src/project/expectations.py for the rest"
            )
        if changes := [name for name in CHANGES if schema["type"] == "str" and schema.get(name)]:
            raise SlipwayError(f"texts that are changed ({', '.join(changes)}): load() changes data, a client its rows")
        if schema["type"] == "complex":
            raise SlipwayError(f"complex numbers; {TYPES}")
        return super().generate_inner(schema)

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        """Add the bounds of a date."""
        return super().date_schema(schema) | _date_bounds(schema)

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        """Add the bounds of a date-time."""
        return super().datetime_schema(schema) | _date_bounds(schema)


def _date_bounds(schema: Mapping[str, Any]) -> dict[str, Any]:
    bounds = {key: schema[name].isoformat() for key, name in ARGUMENT.items() if name in schema}
    if "now_op" in schema:  # PastDate, FutureDatetime: to_column refuses unknown formats
        bounds[f"{schema['now_op']}_only"] = True
    if schema.get("tz_constraint") == "naive":
        bounds["naive"] = True
    return bounds


def resolve(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Replace references (an Enum class makes one) by their definitions."""
    if "$ref" in field:
        field = {
            **definitions[field["$ref"].rsplit("/", 1)[-1]],
            **{k: v for k, v in field.items() if k != "$ref"},
        }
    if "anyOf" in field:
        field = {**field, "anyOf": [resolve(option, definitions) for option in field["anyOf"]]}
    return dict(field)


def to_column(name: str, field: dict[str, Any], *, required: bool, written: str | None = None) -> Column:
    """Derive the column of a field. written: its type as the project wrote it.

    Raises SlipwayError for a type, a constraint or a default that some view cannot enforce.
    """
    options = field.pop("anyOf", [field])
    kinds = [option for option in options if option.get("type") != "null"]
    optional = len(kinds) < len(options)
    field = {**kinds[0], **field} if kinds else field
    known = field.get("type") in KINDS or "enum" in field or "const" in field
    dated = DATE_FORMATS.get(field.get("format", ""))
    if dated:
        del field["format"]
    if len(kinds) != 1 or not known or FORMATS & field.keys():
        raise SlipwayError(f"{name}: the type {written or field.get('type')} is not supported; {TYPES}")
    for key in sorted(set(field) - UNDERSTOOD - (DATE_BOUNDS.keys() if dated else set())):
        argument = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
        raise SlipwayError(
            f"{name}: Field({argument}=...) cannot be checked by the expectations and the service; "
            f"{close_names(argument, ARGUMENTS)}"
        )
    if not required and not optional:
        raise SlipwayError(f"{name}: has a default but does not allow None; the bundle could not store the default")
    if optional and field.get("default") is not None:
        raise SlipwayError(f"{name}: the default of an optional field must be None: missing stays missing")
    if not isinstance(field.get("private", False), bool):
        raise SlipwayError(f"{name}: private is True or False, not {field['private']!r}")
    categories = field.get("enum", [field["const"]] if "const" in field else [])
    column = Column(
        name=name,
        kind=_kind(name, field, categories, dated),
        optional=optional,
        **{attribute: field[key] for key, attribute in BOUNDS.items() if key in field},
        categories=tuple(categories),
        unit=field.get("unit"),
        private=field.get("private", False),
        description=field.get("description"),
        examples=tuple(field.get("examples", ())),
    )
    column = _dated(column, field) if dated else column
    if column.low and column.high and column.low[0] > column.high[0]:
        raise SlipwayError(f"{name}: no value is {column.bounds}")
    return column


def _kind(name: str, field: Mapping[str, Any], categories: list[Any], dated: Kind | None) -> Kind:
    """Find the kind of a field. Raises SlipwayError for categories that cannot be served."""
    if not categories:
        return dated or KINDS[field["type"]]
    if all(type(category) is int and abs(category) <= EXACT for category in categories):
        return "integer"
    for category in categories:
        if not isinstance(category, str) or not category or category != category.strip() or not category.isprintable():
            raise SlipwayError(
                f"{name}: the category {category!r} must be text, not empty, without outer blanks or control "
                "characters; or all categories are whole numbers"
            )
    return "category"


def _dated(column: Column, field: Mapping[str, Any]) -> Column:
    """Add the bounds of a date or date-time. Raises SlipwayError for one without its offset from UTC."""
    bounds: dict[str, Any] = {}
    for key, attribute in DATE_BOUNDS.items():
        if key in field:
            bounds[attribute] = _parsed(column, f"{ARGUMENT[key]}={field[key]}", field[key])
    for example in column.examples:
        _parsed(column, f"the example {example}", example)
    return replace(column, **bounds)


def _parsed(column: Column, what: str, text: Any) -> float:
    try:
        return dates.parse(column.kind, text)
    except ValueError as error:
        raise SlipwayError(f"{column.name}: {what} is {error}") from None


def to_schema(column: Column) -> dict[str, Any]:
    """Give the column's JSON Schema, the inverse of `to_column`."""
    kind = to_type(column)
    field = {"anyOf": [kind, {"type": "null"}], "default": None} if column.optional else kind
    notes = {
        "description": column.description,
        "examples": list(column.examples) or None,
        "unit": column.unit,
        "private": column.private or None,
    }
    return field | {key: value for key, value in notes.items() if value is not None}


def to_type(column: Column) -> dict[str, Any]:
    """Give the JSON Schema of a value that is not missing."""
    kind: dict[str, Any] = {"type": column.kind if column.kind in KINDS else "string"}
    if column.temporal:
        bounds = {key: getattr(column, at) for key, at in DATE_BOUNDS.items()}
        written = {key: dates.write(column.kind, value) for key, value in bounds.items() if value is not None}
        return kind | {"format": "date" if column.kind == "date" else "date-time"} | written
    kind |= {key: value for key, at in BOUNDS.items() if (value := getattr(column, at)) is not None}
    if column.categories:
        kind["enum"] = list(column.categories)
    return kind


def annotated(annotation: Any) -> str:
    """Give a type as in source code: `datetime`, `list[str]`."""
    plain = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__name__ if plain else str(annotation).replace("typing.", "")
