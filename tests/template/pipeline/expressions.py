"""Evaluates expressions of GitHub's workflows, as far as ours have them."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

FUNCTIONS = {
    "always": lambda state: True,
    "cancelled": lambda state: False,
    "success": lambda state: state,
    "failure": lambda state: not state,
}


def fill(text: Any, at: dict[str, Any]) -> Any:
    """Replace each `${{ ... }}` by its value."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda m: as_text(_value(m[1], at)), text) if isinstance(text, str) else text


def as_text(value: Any) -> str:
    """A value as GitHub writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_true(condition: str | None, at: dict[str, Any], *, state: bool) -> bool:
    """Evaluate an `if:`; one that asks for no state is only asked when all went well."""
    text = str(condition or "success()").removeprefix("${{").removesuffix("}}")
    asks = any(f"{name}()" in text for name in FUNCTIONS)
    return (asks or state) and bool(_value(text, at, state=state))


def _value(expression: str, at: dict[str, Any], *, state: bool = True) -> Any:
    """Evaluate an expression of GitHub's: names, strings, comparisons, && || !, and the functions of a job's state."""
    parts = re.split(r"('[^']*')", expression.strip())
    for number in range(0, len(parts), 2):
        text = parts[number].replace("&&", " and ").replace("||", " or ")
        text = re.sub(r"!(?!=)", " not ", text)
        text = re.sub(r"\b([a-z]+)\(\)", lambda m: str(FUNCTIONS[m[1]](state)), text)
        parts[number] = re.sub(r"[a-z_]+(?:\.[\w*-]+)+", lambda m: f"look({m[0]!r})", text)
    scope = SimpleNamespace(
        look=lambda path: _look(path, at),
        contains=lambda where, what: what in where,
        startsWith=str.startswith,
        format=lambda text, *values: text.format(*values),
        hashFiles=lambda *patterns: "digest",
    )
    return eval("".join(parts).strip(), {"__builtins__": {}}, vars(scope))


def _look(path: str, at: dict[str, Any]) -> Any:
    found: Any = at
    for name in path.split("."):
        if name == "*":
            found = list((found or {}).values())
        elif isinstance(found, list):
            found = [one.get(name, "") for one in found]
        else:
            found = (found or {}).get(name, "")
    return found
