"""Writes the proposal as plain code: one template for each file."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from slipway.contract import Column
from slipway.scaffold.dates import derived, source
from slipway.scaffold.numbers import shown

if TYPE_CHECKING:
    from slipway.scaffold.behaviour import Behaviour
    from slipway.scaffold.evidence import Evidence
    from slipway.scaffold.proposal import Proposal

TEMPLATES = Path(__file__).with_name("templates")
TYPES = {"number": "float", "integer": "int", "boolean": "bool", "text": "str", "date": "date", "datetime": "datetime"}
FEATURES = "src/project/features.py"  # only of a table with dates
LONGEST = 100
SIGNS = "\N{DEGREE SIGN}\N{EURO SIGN}\N{POUND SIGN}\N{SUPERSCRIPT TWO}\N{SUPERSCRIPT THREE}\N{MICRO SIGN}"  # of units
FILES = (
    "src/project/__init__.py",
    "src/project/schema.py",
    "src/project/data.py",
    "src/project/model.py",
    "src/project/expectations.py",
    "tests/model/test_behaviour.py",
    "tests/data/test_expectations.py",
    "params.yaml",
    "docs/data-card.md",
)


def render(file: str, proposal: Proposal, evidence: Evidence | None = None, behaviour: Behaviour | None = None) -> str:
    """Fill in the template of one file; those of `data.py` and `model.py` need the proposal alone."""
    environment = Environment(  # noqa: S701  (makes code, not a page)
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"lit": literal, "comment": comment, "number": shown, "cell": _cell}
    environment.filters |= {"type": _type, "field": _field, "derived": derived}
    template = environment.get_template(f"{Path(file).name}.j2")
    return template.render(proposal=proposal, evidence=evidence, behaviour=behaviour)


def literal(value: Any) -> str:
    """Write a value as Python does. Characters beyond Latin letters and SIGNS are escaped: some look like others."""
    if not isinstance(value, str):
        return repr(value)
    return "".join(char if _legible(char) else char.encode("unicode_escape").decode() for char in repr(value))


def _legible(char: str) -> bool:
    latin = char.isalpha() and ord(char) < 0x180 and "LATIN" in unicodedata.name(char, "")
    return latin or char.isascii() or char in SIGNS


def comment(text: str, longest: int = LONGEST) -> str:
    """Write a text as (part of) one line of comment."""
    line = "".join(char if char.isprintable() and _legible(char) else "?" for char in " ".join(text.split()))
    return line if len(line) <= longest else f"{line[:longest]}..."


def _type(column: Column) -> str:
    categories = ", ".join(map(literal, column.categories))
    kind = f"Literal[{categories}]" if categories else TYPES[column.kind]
    return f"{kind} | None" if column.optional else kind


def _field(column: Column) -> str:
    """Write the arguments of Pydantic's Field: bounds, description, an example."""
    given = {
        name: source(column.kind, bound) if column.temporal else literal(int(bound) if bound == int(bound) else bound)
        for name, bound in {"ge": column.minimum, "le": column.maximum, "lt": column.below}.items()
        if bound is not None
    }
    given["description"] = literal(comment(column.description or column.name, 60))
    if column.examples:
        given["examples"] = f"[{literal(column.examples[0])}]"
    return ", ".join(f"{name}={value}" for name, value in given.items())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")
