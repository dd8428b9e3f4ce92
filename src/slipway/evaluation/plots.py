"""Plots of a model, as SVG files: the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.contract import Array, Column
from slipway.model.manifest import Decision

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREY, RED = "#1f6feb", "#8b949e", "#cf222e"
MAX_POINTS = 2000
MAX_NAMED = 10  # classes in a legend


@contextmanager
def _axes(path: Path, height: float = 3.2) -> Iterator[Axes]:
    """Draw on a new figure and save it to `path`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = {"svg.hashsalt": "slipway", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(style):
        figure = Figure(figsize=(4.8, height), layout="constrained")
        yield figure.subplots()
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def confusion(path: Path, counts: Array, labels: list[str]) -> None:
    """Draw the confusion matrix. counts: true class by predicted class."""
    with _axes(path) as axes:
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.2)
        ticks = range(len(labels))
        axes.set_xticks(ticks, labels, rotation=30 if len(labels) > 4 else 0)
        axes.set_yticks(ticks, labels)
        axes.set(xlabel="predicted", ylabel="true", title="Test set by true and predicted class")
        for (row, column), count in np.ndenumerate(counts):
            dark = shares[row, column] > 0.6
            axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")


def calibration(path: Path, curve: list[dict[str, Any]], champion: list[dict[str, Any]] | None = None) -> None:
    """Draw observed frequency over predicted probability, with the champion's. Curves: see `metrics.calibration`."""
    classes = list(dict.fromkeys(item["class"] for item in curve))
    largest = max((item["rows"] for item in curve), default=1)
    with _axes(path) as axes:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="perfectly calibrated")
        for number, name in enumerate(classes):
            points = [item for item in curve if item["class"] == name]
            predicted, observed = ([item[key] for item in points] for key in ("predicted", "observed"))
            colour = BLUE if len(classes) == 1 else f"C{number}"
            axes.plot(predicted, observed, color=colour, linewidth=1)
            sizes = [20 + 100 * item["rows"] / largest for item in points]
            label = f"{name} (area: rows)" if number < MAX_NAMED else None
            axes.scatter(predicted, observed, s=sizes, color=colour, label=label)
            before = [item for item in champion or () if item["class"] == name]
            predicted, observed = ([item[key] for item in before] for key in ("predicted", "observed"))
            if before:
                named = "champion" if number == 0 else None
                axes.plot(predicted, observed, ":x", color=GREY if len(classes) == 1 else colour, label=named)
        axes.set(xlabel="predicted probability", ylabel="share of rows", title="Calibration")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.05, 1.05))
        axes.legend(frameon=False, loc="lower right")


def importance(path: Path, found: list[dict[str, Any]], score: str) -> None:
    """Draw the importance of each feature. found: see `slipway.stages.evaluate.permutation_importance`."""
    with _axes(path, 1.2 + 0.28 * len(found)) as axes:
        names = [item["feature"] for item in found][::-1]
        values, errors = ([item[key] for item in found][::-1] for key in ("importance", "deviation"))
        axes.barh(names, values, xerr=errors, color=BLUE, ecolor=GREY)
        axes.set(xlabel=f"drop in {score} when shuffled", title="Permutation importance")


def _scored(found: list[dict[str, Any]], score: str) -> tuple[list[dict[str, Any]], Array, Array | None]:
    """Give those with this score, its values, and how far the ends of their intervals are from them."""
    shown = [item for item in found if score in item["scores"]]
    values, *ends = np.array([[item["scores"][score][part] for item in shown] for part in ("value", "low", "high")])
    return shown, values, np.abs(ends - values) if shown else None


def slices(path: Path, found: list[dict[str, Any]], score: str, overall: float) -> None:
    """Draw each slice's score with its interval beside the overall score."""
    with _axes(path, 1.2 + 0.28 * len(found)) as axes:
        shown, values, errors = _scored(found[::-1], score)
        names = [f"{item['slice']}  ({item['rows']})" for item in shown]
        axes.errorbar(values, range(len(shown)), xerr=errors, fmt="o", color=BLUE, ecolor=GREY, capsize=3)
        axes.set_yticks(range(len(shown)), names)
        axes.axvline(overall, color=RED, linewidth=1, linestyle="--", label="all rows")
        axes.set(xlabel=score, title="Slices (rows)")
        axes.legend(frameon=False, loc="best")


def decision(path: Path, chosen: Decision, thresholds: Array, curves: Mapping[str, Array]) -> None:
    """Draw the criterion of the decision threshold over thresholds, and the chosen one."""
    with _axes(path) as axes:
        for colour, (name, values) in zip((BLUE, GREY), curves.items(), strict=True):
            axes.plot(thresholds, values, color=colour, linewidth=1.5, label=name)
        axes.axvline(chosen.threshold, color=RED, linewidth=1, linestyle="--", label=f"chosen: {chosen.threshold:.3g}")
        what = f"F1 of {chosen.positive}" if chosen.maximize == "f1" else "mean cost of a row"
        axes.set(xlabel=f"threshold of the probability of {chosen.positive}", ylabel=what, title="Decision threshold")
        axes.legend(frameon=False, loc="best")


def backtest(path: Path, windows: list[dict[str, Any]], score: str) -> None:
    """Draw the score of each window of time with its interval. windows: see `folds.backtest`."""
    with _axes(path) as axes:
        shown, values, errors = _scored(windows, score)
        axes.errorbar(range(len(shown)), values, yerr=errors, fmt="o-", color=BLUE, ecolor=GREY, capsize=3)
        axes.set_xticks(range(len(shown)), [str(item["from"]) for item in shown], rotation=30, ha="right")
        axes.set(xlabel="window from", ylabel=score, title="Backtest: trained on the rows before each window")


def search_history(path: Path, values: Mapping[int, float], best: Mapping[int, float], score: str) -> None:
    """Draw the scores of a search's trials by their numbers, and the best one so far."""
    with _axes(path) as axes:
        axes.scatter(list(values), list(values.values()), s=16, color=BLUE, alpha=0.6, label="trial")
        axes.step(list(best), list(best.values()), color=RED, linewidth=1, where="post", label="best so far")
        axes.set(xlabel="trial", ylabel=score, title="Search: score in cross-validation")
        axes.legend(frameon=False, loc="best")


def search_importance(path: Path, shares: Mapping[str, float], score: str) -> None:
    """Draw how much each argument explains of the differences between a search's trials."""
    with _axes(path, 1.2 + 0.28 * len(shares)) as axes:
        axes.barh(list(shares)[::-1], list(shares.values())[::-1], color=BLUE)
        axes.set(xlabel=f"share of the differences in {score}", title="Search: importance of the arguments")


def predicted(path: Path, truth: Array, values: Array, column: Column) -> None:
    """Draw predicted over true values of a regression."""
    with _axes(path) as axes:
        axes.scatter(truth[:MAX_POINTS], values[:MAX_POINTS], s=8, color=BLUE, alpha=0.5)
        ends = [float(truth.min(initial=0)), float(truth.max(initial=1))]
        axes.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
        unit = f" ({column.unit})" if column.unit else ""
        axes.set(xlabel=f"true {column.name}{unit}", ylabel="predicted", title="Test set")
