"""JSON that is the same bytes for the same value, and JSON of which no part is ambiguous."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Write JSON that is the same bytes for the same value: two spaces, a newline at the end, keys as they come.

    The order of keys is kept since it means something: columns and classes are in the order of their declaration.
    """
    return (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def strict_json(content: bytes, constant: Callable[[str], Any] = _no_number) -> Any:
    """Parse JSON as RFC 8259 has it: UTF-8, no key twice in an object, no NaN, no half of a surrogate pair.

    constant: gives the value of NaN and of the infinities, for a protocol that has them.
    Raises ValueError.
    """
    try:
        parsed = json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=constant)
        if b"\\u" in content:
            json.dumps(parsed, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice[:100]!r} stands twice in one object")
    return made
