"""Writes the proposal as plain code: one template for each file."""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contract import Column
from slipway.scaffold.behaviour import Behaviour
from slipway.scaffold.columns import Described
from slipway.scaffold.evidence import Evidence
from slipway.scaffold.proposal import ROW_ID, Proposal

if TYPE_CHECKING:
    import pandas as pd

TEMPLATES = Path(__file__).with_name("templates")
TYPES = {"number": "float", "integer": "int", "boolean": "bool", "text": "str"}
LONGEST = 100
FILES = {
    "src/project/__init__.py": "__init__.py",
    "src/project/schema.py": "schema.py",
    "src/project/data.py": "data.py",
    "src/project/model.py": "model.py",
    "src/project/expectations.py": "expectations.py",
    "tests/model/test_behaviour.py": "test_behaviour.py",
    "tests/data/test_expectations.py": "test_expectations.py",
    "params.yaml": "params.yaml",
    "docs/data-card.md": "data-card.md",
}


def literal(value: Any) -> str:
    """Write a value as Python does. What is neither ASCII nor a Latin letter is escaped: it may look like another."""
    if not isinstance(value, str):
        return repr(value)
    return "".join(char if _legible(char) else char.encode("unicode_escape").decode() for char in repr(value))


def _legible(char: str) -> bool:
    return char.isascii() or (char.isalpha() and ord(char) < 0x180 and "LATIN" in unicodedata.name(char, ""))


def comment(text: str, longest: int = LONGEST) -> str:
    """Write a text as (part of) one line of comment."""
    line = "".join(char if char.isprintable() and _legible(char) else "?" for char in " ".join(text.split()))
    return line if len(line) <= longest else f"{line[:longest]}..."


def number(value: float) -> str:
    """Write a number shortly; whole ones without a fraction."""
    return (
        f"{float(value):.6g}" if abs(value) < 1e6 and value != int(value) else repr(value if value % 1 else int(value))
    )


def _type(column: Column) -> str:
    categories = ", ".join(map(literal, column.categories))
    kind = f"Literal[{categories}]" if categories else TYPES[column.kind]
    return f"{kind} | None" if column.optional else kind


def _field(column: Column) -> str:
    """Write the arguments of Pydantic's Field: bounds, description, an example."""
    whole = column.kind == "integer"
    given = {
        name: literal(int(bound) if whole or bound == int(bound) else bound)
        for name, bound in {"ge": column.minimum, "le": column.maximum}.items()
        if bound is not None
    }
    given["description"] = literal(comment(column.description or column.name, 60))
    if column.examples:
        given["examples"] = f"[{literal(column.examples[0])}]"
    return ", ".join(f"{name}={value}" for name, value in given.items())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


def render(template: str, **values: Any) -> str:
    """Fill in one template."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701  (makes code, not a page)
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"lit": literal, "comment": comment, "number": number, "cell": _cell}
    environment.filters |= {"type": _type, "field": _field}
    return environment.get_template(f"{template}.j2").render(**values)


def _marks(one: Described, raw: pd.DataFrame | None) -> tuple[str, ...]:
    """Give how a missing value is written; of Parquet, which has real ones, an empty text too."""
    if raw is not None and one.column.kind in ("category", "text") and (raw[one.recorded].astype("str") == "").any():
        return ("", *one.missing)
    return one.missing


def of_proposal(proposal: Proposal) -> dict[str, Any]:
    """Give what the templates need to know of a proposal; enough for `data.py` and `model.py`."""
    table = proposal.table
    group = proposal.group or Described("", Column(ROW_ID, "integer"), "values", "")
    used = (*proposal.features, proposal.target, *([group] if proposal.group else []))
    names = {one.recorded: one.column.name for one in used}
    camel = "".join(part.capitalize() for part in proposal.name.split("-"))
    as_written = [one.recorded for one in used if one.column.kind in ("category", "text")]
    return {
        "name": proposal.name,
        "row": f"{camel}Row",
        "record": f"{camel}Record",
        "features": proposal.features,
        "goal": proposal.target,
        "target": proposal.target.column.name,
        "recorded_target": proposal.target.recorded,
        "classes": proposal.goal.classes,
        "group": group,
        "numbered": proposal.numbered,
        "used": used,
        "rows": f"{proposal.rows:,}",
        "columns": {str(name): names.get(name) for name in table.cells.columns},
        "reasons": proposal.unused,
        "findings": proposal.findings,
        "as_written": as_written,
        "missing": {one.recorded: marks for one in used if (marks := _marks(one, table.raw))},
        "rare": proposal.rare,
        "untold": proposal.untold,
        "parquet": table.suffix == ".parquet",
        "options": {name: value for name, value in table.options.items() if name != "decimal"},
        "decimal_comma": [one.recorded for one in used if one.column.numeric] if "decimal" in table.options else [],
        "whole": table.whole,
        "folder": table.path.is_dir(),
        "pattern": f"*{table.files[0].suffix}",
        "file": f"*{table.files[0].suffix}" if table.path.is_dir() else table.path.name,
        **_of_model(proposal),
        "literal": any(one.column.kind == "category" for one in used),
        "units": any(one.column.unit for one in used),
        "unitless": any(one.column.unit is None and one.column.kind == "number" for one in used),
    }


def _of_model(proposal: Proposal) -> dict[str, Any]:
    """Give what the template of the estimator needs: which columns are numbers, categories and texts."""
    columns = proposal.row.columns
    numbers = [column.name for column in columns if column.numeric]
    texts = [one.column.name for one in proposal.features if one.holds == "words"]
    categories = [column.name for column in columns if not column.numeric and column.name not in texts]
    return {
        "numbers": numbers,
        "categories": categories,
        "texts": texts,
        "impute": any(column.optional for column in columns if column.numeric),
        "encoders": [*(["OneHotEncoder"] if categories else []), *(["StandardScaler"] if numbers else [])],
    }


def of_evidence(evidence: Evidence, behaviour: Behaviour) -> dict[str, Any]:
    """Give what the templates need to know of the numbers and the tests."""
    goal, amount = evidence.proposal.goal, len(evidence.train) + len(evidence.test)
    usual = max(evidence.shares, key=lambda label: evidence.shares[label], default=None)
    boolean = goal.column.kind == "boolean"
    share = evidence.shares.get(True, 0.0)
    return {
        "test_share": evidence.test_share,
        "max_missing": evidence.max_missing,
        "thresholds": evidence.thresholds,
        "slice_threshold": evidence.slice_threshold,
        "slices": evidence.slices,
        "least_rows": evidence.least_rows,
        "present_rows": amount,
        "medians": evidence.medians,
        "categories_shares": {} if boolean else evidence.shares,
        "usual": usual,
        "divergence": round(min(0.1, -math.log(1 - max(evidence.shares.values(), default=0.0)) / 3), 3),
        "true_share": (round(share * 0.7, 3), round(1 - (1 - share) * 0.7, 3), share) if boolean else None,
        "cases": behaviour.cases,
        "optional": behaviour.optional,
        "rounding": behaviour.rounding,
        "directions": behaviour.directions,
        "spread": behaviour.spread,
    }
