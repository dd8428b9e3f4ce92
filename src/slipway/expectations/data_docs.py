"""Great Expectations' Data Docs as one reproducible page that needs no network.

The site that Great Expectations builds loads scripts and styles from other hosts (without them the index and the
failure marks are blank), contains times and random ids, and does not escape the data. So its renderers make the
content, and the page is our own.
"""

from __future__ import annotations

import html
import logging
import re
import shutil
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import great_expectations as gx
from great_expectations.core import ExpectationValidationResult
from great_expectations.render.renderer import ValidationResultsColumnSectionRenderer
from great_expectations.render.view import DefaultJinjaSectionView
from jinja2 import Environment
from markupsafe import Markup

from slipway.expectations.outcome import Outcome

Results = Sequence[ExpectationValidationResult]

TEMPLATE = Path(__file__).with_suffix(".html")
# Scripts, which draw charts with external libraries, and the ids that only they use, some of which are random.
SCRIPTED = re.compile(r"<script\b.*?</script>| (?:id|href|aria-controls)=\"?#?content-block[^\s\">]*\"?", re.DOTALL)


def write(folder: Path, name: str, results: Results) -> None:
    """Write `index.html`, and nothing else, into the folder: a section for the table, and one for each column."""
    groups: dict[str | None, list[ExpectationValidationResult]] = {}
    for result in results:
        groups.setdefault(Outcome.of(result).column, []).append(result)
    logging.getLogger("great_expectations.render").setLevel(logging.CRITICAL)  # it logs expectations that raised
    view: Any = DefaultJinjaSectionView()
    template = Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE.read_text("utf-8"))
    page = template.render(
        name=name,
        total=len(results),
        failed=sum(not result.success for result in results),
        version=gx.__version__,
        sections=[_section(view, number, *group) for number, group in enumerate(groups.items(), start=1)],
    )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(page, "utf-8")


def _section(view: Any, number: int, column: str | None, results: Results) -> dict[str, Any]:
    renderer: Any = ValidationResultsColumnSectionRenderer()
    content = renderer.render([_shown(result) for result in results]).to_json_dict()
    rendered = SCRIPTED.sub("", view.render({"section": content, "section_loop": {"index": number}}))
    return {
        "title": column or "the table",
        "failed": not all(result.success for result in results),
        "html": Markup(rendered),  # noqa: S704  (`_shown` has escaped the data)
    }


def _shown(result: ExpectationValidationResult) -> ExpectationValidationResult:
    """Copy a result with escaped values, their row numbers, and errors without a traceback (its paths vary)."""
    outcome, details = Outcome.of(result), _escaped(result.result)
    config: Any = copy(result.expectation_config)
    config.description = config.description and html.escape(config.description)
    if outcome.rows:
        pairs = zip(outcome.cells, outcome.rows, strict=False)
        details["partial_unexpected_counts"] = [
            {"value": html.escape(f"{cell} in row {row}"), "count": 1} for cell, row in pairs
        ]
    if outcome.found and not isinstance(details.get("observed_value"), int | float):
        details["observed_value"] = html.escape(outcome.found)
    error = outcome.found if outcome.found and outcome.found.startswith("error: ") else None
    return ExpectationValidationResult(
        success=result.success,
        expectation_config=config,
        result=details,
        exception_info={"raised_exception": bool(error), "exception_message": error, "exception_traceback": ""},
    )


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    if isinstance(value, str):
        return html.escape(value)
    return value.item() if hasattr(value, "item") else value  # the renderers do not accept NumPy numbers
