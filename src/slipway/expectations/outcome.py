"""The outcome of an expectation: one form for the many forms of Great Expectations' results."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult

MAX_CHARACTERS = 40  # shown of an offending value
MAX_MISMATCHES = 5  # shown


@dataclass(frozen=True)
class Outcome:
    """The outcome of one expectation.

    expectation: its description. column: None if it concerns the table. count, share: of the unexpected records; None
    if it concerns the table or column as a whole. values: the first unexpected ones (None: missing); rows: their row
    numbers in the source. found: the observed value of the table or column, or the error.
    """

    expectation: str
    column: str | None
    passed: bool
    count: int | None = None
    share: float | None = None
    values: tuple[str | int | float | bool | None, ...] = ()
    rows: tuple[int, ...] = ()
    found: str | None = None

    @classmethod
    def of(cls, result: ExpectationValidationResult) -> Outcome:
        """Convert a result of Great Expectations."""
        config: Any = result.expectation_config
        details = result.result
        percent = details.get("unexpected_percent_total", details.get("unexpected_percent"))
        return cls(
            expectation=config.description or _in_words(config.type, config.kwargs),
            column=config.kwargs.get("column"),
            passed=bool(result.success),
            count=details.get("unexpected_count"),
            share=None if percent is None else round(percent / 100, 9),
            values=tuple(_plain(value) for value in details.get("partial_unexpected_list", ())),
            rows=tuple(int(row) for row in details.get("partial_unexpected_index_list") or ()),
            found=_error(result.exception_info) or _found(details),
        )

    @property
    def cells(self) -> list[str]:
        """The first offending values, as short texts."""
        texts = ["(missing)" if value is None else str(value) for value in self.values]
        return [text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…" for text in texts]


def _in_words(kind: str, arguments: Mapping[str, Any]) -> str:
    """Describe an expectation that has no description: "expect column mean to be between: column=mass, ..."."""
    listed = ", ".join(f"{name}={_plain(value)}" for name, value in arguments.items() if name != "batch_id")
    return f"{kind.replace('_', ' ')}{': ' if listed else ''}{listed}"


def _error(info: Mapping[str, Any]) -> str | None:
    """Find the message of an error that an expectation raised: at the top, or once for each metric."""
    for item in (info, *info.values()):
        if isinstance(item, Mapping) and item.get("raised_exception"):
            return "error: " + re.sub("^Error: ", "", str(item["exception_message"]))
    return None


def _found(details: Mapping[str, Any]) -> str | None:
    """Describe the observed value, if the expectation concerns the table or column as a whole."""
    if "unexpected_count" in details:
        return None
    more = details.get("details") or {}
    mismatched = more.get("mismatched") or {}
    if isinstance(mismatched, list):
        return "; ".join(f"{item['Found']} in place of {item['Expected']}" for item in mismatched[:MAX_MISMATCHES])
    lacking = mismatched.get("missing") or details.get("partial_missing_list")
    unknown = mismatched.get("unexpected")
    # Great Expectations gives these as sets, whose order varies.
    parts = [f"lacks {_plain(sorted(lacking, key=str))}"] if lacking else []
    parts += [f"unknown: {_plain(sorted(unknown, key=str))}"] if unknown else []
    observed = _plain(details.get("observed_value"))
    if partition := more.get("observed_partition"):
        names = partition.get("values") or [f"{low:g} to {high:g}" for low, high in pairwise(partition["bins"])]
        shares = ", ".join(f"{name} {share:.3g}" for name, share in zip(names, partition["weights"], strict=True))
        return f"{'infinite' if observed is None else format(observed, '.6g')}: {shares}"
    if parts or observed is None:
        return "; ".join(parts) or None
    return f"{observed:.6g}" if isinstance(observed, float) else str(observed)


def _plain(value: Any) -> Any:
    """Convert a value to a JSON scalar: missing to None, and other types than numbers, booleans and text to text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_plain(item)) for item in value)
    value = value.item() if hasattr(value, "item") else value
    if value is None or str(value) in ("nan", "<NA>", "NaT"):
        return None
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool) else str(value)
