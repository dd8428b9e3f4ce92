"""Converts a field's JSON Schema, as Pydantic makes it, to a column and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from slipway.contract.column import Column, Kind
from slipway.problem import SlipwayError, close_names

KINDS: dict[str, Kind] = {"number": "number", "integer": "integer", "boolean": "boolean", "string": "text"}
BOUNDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
}
ANNOTATIONS = {"title", "description", "examples", "unit", "default"}
ARGUMENTS = ("gt", "ge", "lt", "le", "description", "examples")  # of Pydantic's Field
TYPES = "use float, int, bool, str or Literal[...], with | None and = None if it may be missing"
FORMATS = {"format", "contentMediaType"}  # of dates, bytes and addresses, which JSON Schema has as strings
UNDERSTOOD = {"type", "enum", "const", "anyOf", *BOUNDS, *ANNOTATIONS}


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
    if len(kinds) != 1 or not known or FORMATS & field.keys():
        raise SlipwayError(f"{name}: the type {written or field.get('type')} is not supported; {TYPES}")
    for key in sorted(set(field) - UNDERSTOOD):
        argument = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
        raise SlipwayError(
            f"{name}: Field({argument}=...) cannot be checked by the expectations and the service; "
            f"{close_names(argument, ARGUMENTS)}"
        )
    if not required and not optional:
        raise SlipwayError(f"{name}: has a default but does not allow None; the bundle could not store the default")
    if optional and field.get("default") is not None:
        raise SlipwayError(f"{name}: the default of an optional field must be None: missing stays missing")
    categories = field.get("enum", [field["const"]] if "const" in field else [])
    for category in categories:
        if not isinstance(category, str) or not category or category != category.strip() or not category.isprintable():
            raise SlipwayError(
                f"{name}: the category {category!r} must be text, not empty, without outer blanks or control characters"
            )
    return Column(
        name=name,
        kind="category" if categories else KINDS[field["type"]],
        optional=optional,
        **{attribute: field[key] for key, attribute in BOUNDS.items() if key in field},
        categories=tuple(categories),
        unit=field.get("unit"),
        description=field.get("description"),
        examples=tuple(field.get("examples", ())),
    )


def to_schema(column: Column) -> dict[str, Any]:
    """Give the column's JSON Schema, the inverse of `to_column`."""
    types = {"category": "string", "text": "string"}
    kind: dict[str, Any] = {"type": types.get(column.kind, column.kind)}
    kind |= {key: value for key, at in BOUNDS.items() if (value := getattr(column, at)) is not None}
    if column.categories:
        kind["enum"] = list(column.categories)
    field = {"anyOf": [kind, {"type": "null"}], "default": None} if column.optional else kind
    notes = {
        "description": column.description,
        "examples": list(column.examples) or None,
        "unit": column.unit,
    }
    return field | {key: value for key, value in notes.items() if value is not None}


def annotated(annotation: Any) -> str:
    """Give a type as in source code: `datetime`, `list[str]`."""
    plain = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__name__ if plain else str(annotation).replace("typing.", "")
