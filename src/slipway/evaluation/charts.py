"""Charts of an evaluation that a comment or a summary can hold: Mermaid draws them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Chart:
    """Bars and a line over named points, as Mermaid's xychart draws them."""

    title: str
    axis: str
    names: list[str]
    bars: list[float]
    line: list[float]
    horizontal: bool = False  # for long names


def slices_chart(headline: str, slices: list[dict[str, Any]], metrics: dict[str, Any]) -> list[Chart]:
    """Give the slices' scores beside that of all rows."""
    shown = [item for item in slices if item["scores"].get(headline)]
    if not shown:
        return []
    names = [f"{item['slice']} ({item['rows']})" for item in shown]
    bars = [item["scores"][headline]["value"] for item in shown]
    return [
        Chart("Slices (rows); line: all rows", headline, names, bars, [metrics[headline]["value"]] * len(shown), True)
    ]


def calibration_chart(path: Path) -> list[Chart]:
    """Give the curve of a binary classifier; those of several classes would cover each other."""
    curve = list(csv.DictReader(path.read_text("utf-8").splitlines())) if path.exists() else []
    if len({point["class"] for point in curve}) != 1:
        return []
    names = [f"{float(point['predicted']):.2f} ({point['rows']})" for point in curve]
    observed, predicted = ([float(point[key]) for point in curve] for key in ("observed", "predicted"))
    title = "Calibration by predicted probability (rows); line: perfectly calibrated"
    return [Chart(title, f"share of {curve[0]['class']}", names, observed, predicted)]
