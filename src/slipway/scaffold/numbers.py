"""Numbers as tables have them: a currency or unit beside them, a mark between thousands, a decimal comma."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
CURRENCY = r"[$€£¥₹₽₩]|USD|EUR|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CAD|AUD"
UNITS = ("mm", "cm", "km", "kg", "mg", "ml", "usd", "eur", "gbp", "ms", "hz", "kwh", "mph", "percent")
UNIT = rf"%|°[CF]?|[gml]|m[²³]|lbs?|hours?|hrs?|min|{CURRENCY}|{'|'.join(UNITS)}"
BESIDE = re.compile(rf"[-+]?\s*({CURRENCY})?\s*[-+]?\d[\d.,'\u2019 \xa0\u202f]*?\s*({UNIT})?", re.IGNORECASE)
# Between thousands, and before decimals; where several read all cells alike, the first counts.
MARKS = (("", "."), (",", "."), ("", ","), (".", ","), *((mark, d) for mark in " \xa0\u202f'\u2019" for d in ".,"))
LOOKED_AT = 2000  # cells


class Written(NamedTuple):
    """The unit beside a column's numbers, and the marks between thousands and before decimals."""

    unit: str = ""
    thousands: str = ""
    decimal: str = "."

    def read(self, cell: str) -> float | None:
        """Give the number of a cell, or None if it is not a number written so."""
        text = _bare(cell, self.unit)
        if self.thousands and self.thousands in text:
            if not _grouped(text, self.thousands, self.decimal):
                return None
            text = text.replace(self.thousands, "")
        if self.decimal != ".":
            text = "no" if "." in text else text.replace(self.decimal, ".", 1)
        return float(text) if NUMBER.fullmatch(text) else None


PLAIN = Written()


def find_written(cells: Collection[str], *, comma: bool) -> Written:
    """Find the way of writing that reads most of the cells. comma: whether the table has decimal commas elsewhere."""
    cells = [*cells][:: 1 + len(cells) // LOOKED_AT]
    found = [BESIDE.fullmatch(cell.strip()) for cell in cells]
    units = Counter("".join(filter(None, one.groups())) for one in found if one)
    unit = units.most_common(1)[0][0] if units else ""
    first = [(".", ",")] if _points_divide([_bare(cell, unit) for cell in cells], comma=comma) else []
    marks = [*first, ("", "."), *([("", ",")] if comma else []), *MARKS]
    ways = [Written(unit, *pair) for pair in marks]
    return max(ways, key=lambda way: sum(way.read(cell) is not None for cell in cells))


def shown(value: float) -> str:
    """Write a number in six digits; a large one without a fraction or exponent."""
    return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"


def _bare(cell: str, unit: str) -> str:
    return re.sub(r"^([-+])\s+", r"\1", cell.replace(unit, "").strip()) if unit else cell.strip()


def _grouped(text: str, thousands: str, decimal: str) -> bool:
    return bool(re.fullmatch(rf"[-+]?[1-9]\d{{0,2}}({re.escape(thousands)}\d{{3}})+({re.escape(decimal)}\d*)?", text))


def _points_divide(texts: Collection[str], *, comma: bool) -> bool:
    """Whether 1.250 is a thousand: all points are where thousands end, and numbers below a thousand have none."""
    pointed = [text for text in texts if "." in text]
    below = sum(bool(re.fullmatch(r"[-+]?\d{1,3}", text)) for text in texts)
    return bool(pointed) and all(_grouped(text, ".", ",") for text in pointed) and (comma or below > 0)
