"""JSON that is the same bytes for the same value, and JSON of which no part is ambiguous."""

from __future__ import annotations

import json
from typing import Any


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
