"""Canonical and strict JSON: one serialization for each value, and a parser that refuses ambiguous input."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Serialize to canonical JSON: indented by two spaces, a newline at the end.

    Keys keep their order, since columns and classes are in the order of their declaration.
    """
    return (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def strict_json(content: bytes, constant: Callable[[str], Any] = _no_number) -> Any:
    """Parse JSON strictly by RFC 8259: UTF-8, no repeated key in an object, no NaN, no lone surrogate.

    constant: returns the value of NaN or an infinity, for a protocol that allows them.
    Raises ValueError.
    """
    try:
        parsed = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=constant)
        if b"\\u" in content:
            json.dumps(parsed, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common()[0][0]
        raise ValueError(f"the key {twice[:100]!r} is given twice in one object")
    return made
