"""The views derived from a row: columns, dtypes, bounds, categories, arrays, JSON Schema, request model.

There is one way in: a JSON Schema, as Pydantic makes it from the project's model. Training derives it from the
model, a server reads it from the bundle, and both get the same contract.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from slipway.problem import Problem, SlipwayError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import BaseModel

Kind = Literal["number", "integer", "boolean", "category", "text"]
Array = np.ndarray[Any, Any]
EXACT = 2**53  # whole numbers beyond are not exact in float64, as arrays hold them
MISSING = ""  # a missing category or text, in arrays (a missing number is NaN)

KINDS: dict[str, Kind] = {"number": "number", "integer": "integer", "boolean": "boolean", "string": "text"}
BOUNDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
}
ANNOTATIONS = {"title", "description", "examples", "unit", "default"}
UNDERSTOOD = {"type", "enum", "const", "anyOf", *BOUNDS, *ANNOTATIONS}


@dataclass(frozen=True)
class Column:
    """One field of a row. `minimum` and `maximum` are allowed values themselves, `above` and `below` are not."""

    name: str
    kind: Kind
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    categories: tuple[str, ...] = ()
    unit: str | None = None
    description: str | None = None
    examples: tuple[Any, ...] = ()

    @property
    def numeric(self) -> bool:
        """Whether arrays hold this column as float64 (booleans as 0 and 1) rather than as strings."""
        return self.kind in ("number", "integer", "boolean")

    @property
    def dtype(self) -> str:
        """The NumPy dtype of this column in arrays."""
        return "float64" if self.numeric else "object"

    @property
    def example(self) -> Any:
        """A value that the column allows: the declared example, else one that is within the bounds."""
        if self.examples:
            return self.examples[0]
        if self.kind == "category":
            return self.categories[0]
        if self.kind in ("text", "boolean"):
            return "text" if self.kind == "text" else True
        return self._middle()

    def _middle(self) -> float | int:
        low = self.minimum if self.minimum is not None else self.above
        high = self.maximum if self.maximum is not None else self.below
        if low is not None and high is not None:
            value = (low + high) / 2
        elif low is not None:
            value = low + 1
        else:
            value = high - 1 if high is not None else 1
        return math.ceil(value) if self.kind == "integer" else float(value)

    @property
    def limits(self) -> dict[str, Any]:
        """The bounds as Pydantic and msgspec name them; whole numbers are held to what float64 tells apart."""
        bounds = {"ge": self.minimum, "le": self.maximum, "gt": self.above, "lt": self.below}
        if self.kind == "integer":
            bounds["ge"] = -EXACT if self.minimum is None and self.above is None else self.minimum
            bounds["le"] = EXACT if self.maximum is None and self.below is None else self.maximum
        return {name: bound for name, bound in bounds.items() if bound is not None}

    def array(self, values: Any) -> Array:
        """Make this column's array from a sequence, a NumPy array or a pandas series; shape (rows,).

        Raises SlipwayError if a value is not of the column's kind.
        """
        try:
            if self.numeric:
                return self._numbers(values)
            strings = np.asarray(values, dtype=object)
        except (TypeError, ValueError) as error:
            raise SlipwayError(f"{self.name}: not a {self.kind}: {error}") from None
        strange = strings != strings  # NaN, which is what pandas calls a missing string
        return np.where((strings == None) | strange, MISSING, strings)  # noqa: E711  (elementwise)

    @staticmethod
    def _numbers(values: Any) -> NDArray[np.float64]:
        if hasattr(values, "to_numpy"):  # a pandas series may hold its own kinds of missing value
            return np.asarray(values.to_numpy(dtype="float64", na_value=np.nan))
        return np.asarray(values, dtype="float64")


@dataclass(frozen=True)
class Contract:
    """A row's columns, in order, and the views derived from them."""

    title: str
    columns: tuple[Column, ...]

    @classmethod
    def from_model(cls, model: type[BaseModel]) -> Contract:
        """Derive the contract from a Pydantic model. Raises SlipwayError for a field that no view could enforce."""
        decorators = model.__pydantic_decorators__
        if decorators.field_validators or decorators.model_validators or decorators.validators:
            raise SlipwayError(
                f"{model.__name__} has validators in Python; they would not reach the bundle, the server or the "
                "expectations. Use bounds and categories here, and src/project/expectations.py for the rest"
            )
        return cls.from_schema(model.model_json_schema())

    @classmethod
    def from_schema(cls, schema: Mapping[str, Any]) -> Contract:
        """Derive the contract from a row's JSON Schema. Raises SlipwayError for a field it does not understand."""
        definitions = schema.get("$defs", {})
        required = set(schema.get("required", ()))
        columns = tuple(
            _column(name, _resolve(field, definitions), optional_by_default=name not in required)
            for name, field in schema["properties"].items()
        )
        return cls(schema.get("title", "Row"), columns)

    def __getitem__(self, name: str) -> Column:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the declared order."""
        return tuple(column.name for column in self.columns)

    @property
    def example(self) -> dict[str, Any]:
        """A row that the contract allows."""
        return {column.name: column.example for column in self.columns}

    def arrays(self, table: Any) -> dict[str, Array]:
        """Give the columns as arrays: float64 (missing: NaN) or object strings (missing: ""); each of shape (rows,).

        table: a pandas table, a mapping of columns, or a sequence of rows as mappings. Other columns are ignored.
        Raises SlipwayError for a column that is lacking though it is not optional, or of another kind.
        """
        if isinstance(table, Sequence):
            return {c.name: c.array([row.get(c.name) for row in table]) for c in self.columns}
        size = len(table) if not isinstance(table, Mapping) else len(next(iter(table.values()), ()))
        if lacking := [c.name for c in self.columns if c.name not in table and not c.optional]:
            raise SlipwayError(f"the table lacks the column(s) {', '.join(lacking)}")
        return {c.name: c.array(table[c.name] if c.name in table else [None] * size) for c in self.columns}

    def rows(self, arrays: Mapping[str, Array]) -> list[dict[str, Any]]:
        """Turn arrays back into rows as JSON has them: missing values None, integers and booleans as such."""
        values = [_plain(column, arrays[column.name]) for column in self.columns]
        return [dict(zip(self.names, row, strict=True)) for row in zip(*values, strict=True)]

    def schema(self) -> dict[str, Any]:
        """Give the row's JSON Schema (2020-12), from which `from_schema` makes this contract again."""
        return {
            "title": self.title,
            "type": "object",
            "additionalProperties": False,
            "properties": {column.name: _property(column) for column in self.columns},
            "required": [column.name for column in self.columns if not column.optional],
        }

    def model(self) -> type[BaseModel]:
        """Make the strict Pydantic model of a row as the service receives it.

        Nothing is coerced (no `false` for 0, no "1" for 1), unknown fields, NaN and infinity are refused.
        """
        from pydantic import ConfigDict, Field, create_model

        config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
        fields: dict[str, Any] = {}
        for column in self.columns:
            kind = _python_type(column)
            field = Field(
                None if column.optional else ...,
                **column.limits,
                description=column.description,
                examples=list(column.examples) or None,
                json_schema_extra={"unit": column.unit} if column.unit else None,
            )
            fields[column.name] = (kind | None if column.optional else kind, field)
        return create_model(self.title, __config__=config, **fields)


def features(problem: Problem) -> Contract:
    """Give the contract of what the model sees and the service receives."""
    return Contract.from_model(problem.row)


def record(problem: Problem) -> Contract:
    """Give the contract of a row of the data: features, target, and what identifies and describes it."""
    return Contract.from_model(problem.record)


@dataclass(frozen=True)
class Target:
    """What is predicted. `classes` are its labels in the declared order; none: a regression."""

    column: Column
    classes: tuple[str | bool, ...]

    @classmethod
    def of(cls, column: Column) -> Target:
        """Derive the target from its column. Raises SlipwayError if it can be neither classes nor a number."""
        if column.optional:
            raise SlipwayError(f"the target {column.name!r} is optional; rows without it cannot be learned from")
        if column.kind == "category":
            return cls(column, column.categories)
        if column.kind == "text":
            raise SlipwayError(f"the target {column.name!r} is free text; declare its classes with Literal[...]")
        return cls(column, (False, True) if column.kind == "boolean" else ())

    def encode(self, values: Any) -> Array:
        """Encode labels as the index of their class (int64), or numbers as float64; shape (rows,).

        Raises SlipwayError naming a label that is no class.
        """
        array = self.column.array(values)
        if not self.classes:
            return array
        index = np.full(len(array), -1, dtype=np.int64)
        for position, label in enumerate(self.classes):
            index[array == label] = position
        if (index < 0).any():
            strange = array[index < 0][0]
            raise SlipwayError(f"{self.column.name}: {strange!r} is none of {', '.join(map(str, self.classes))}")
        return index


def target(problem: Problem) -> Target:
    """Give the problem's target."""
    return Target.of(record(problem)[problem.target])


def _resolve(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Replace references to definitions (an Enum class makes one) by what they refer to."""
    if "$ref" in field:
        field = {
            **definitions[field["$ref"].rsplit("/", 1)[-1]],
            **{k: v for k, v in field.items() if k != "$ref"},
        }
    if "anyOf" in field:
        field = {**field, "anyOf": [_resolve(option, definitions) for option in field["anyOf"]]}
    return dict(field)


def _column(name: str, field: dict[str, Any], *, optional_by_default: bool) -> Column:
    options = field.pop("anyOf", [field])
    kinds = [option for option in options if option.get("type") != "null"]
    optional = len(kinds) < len(options)
    if len(kinds) != 1:
        raise SlipwayError(f"{name}: a union of types; use one of float, int, bool, Literal[...] or str")
    field = {**kinds[0], **field}
    if strange := sorted(set(field) - UNDERSTOOD):
        raise SlipwayError(f"{name}: {', '.join(strange)} cannot be derived into expectations and the server's checks")
    if optional_by_default and not optional:
        raise SlipwayError(f"{name}: has a default but does not allow None; the trained model would not know it")
    if optional and field.get("default") is not None:
        raise SlipwayError(f"{name}: the default of an optional field must be None: missing stays missing")
    categories = field.get("enum", [field["const"]] if "const" in field else [])
    if not all(isinstance(category, str) and category for category in categories):
        raise SlipwayError(f"{name}: the categories {categories} must be strings, and none of them empty")
    if not categories and field.get("type") not in KINDS:
        raise SlipwayError(f"{name}: type {field.get('type')!r}; use float, int, bool, Literal[...] or str")
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


def _property(column: Column) -> dict[str, Any]:
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


def _python_type(column: Column) -> Any:
    if column.kind == "category":
        return Literal[column.categories]
    return {"number": float, "integer": int, "boolean": bool, "text": str}[column.kind]


def _plain(column: Column, values: Array) -> list[Any]:
    if column.numeric:
        convert = {"number": float, "integer": int, "boolean": bool}[column.kind]
        return [None if math.isnan(value) else convert(value) for value in values.tolist()]
    return [None if value == MISSING else value for value in values.tolist()]


def canonical_json(value: Any) -> bytes:
    """Write JSON that is the same bytes for the same value: two spaces, a newline at the end, keys as they come.

    The order of keys is kept since it means something: columns and classes are in the order of their declaration.
    """
    return (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def strict_json(content: bytes) -> Any:
    """Parse JSON as RFC 8259 has it: UTF-8, no key twice in an object, no NaN. Raises ValueError otherwise."""
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(key for n, (key, _) in enumerate(pairs) if key in dict(pairs[:n]))
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return made


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
