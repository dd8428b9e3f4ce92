"""The picture of a turn: what Prometheus recorded of it, and what the laboratory knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from demo.clock import DAY_SECONDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from demo.turn import Turn

STEP_SECONDS = 0.5
FEATURE = 'job_version_feature:slipway_feature_values:{}1h{{feature="bill_depth_mm"}}'
EXPECTED = "job_version:slipway_expected_accuracy:{}24h"
Points = tuple[np.ndarray, np.ndarray]  # seconds since the start, and values; shape (points,) each


def draw(turn: Turn, path: Path) -> Path:
    """Draw a turn that has ended; the picture's path."""
    figure = Figure(figsize=(12, 8.4), layout="constrained")
    drift, accuracy, alerts = figure.subplots(3, 1, sharex=True, height_ratios=(2, 3, 2))
    _drift(drift, turn)
    _accuracy(accuracy, turn)
    _alerts(alerts, turn)
    for axes in (drift, accuracy, alerts):
        for time, _ in turn.moments[:-1]:
            axes.axvline(time - turn.started, color="0.6", linewidth=0.8)
    for number, (time, name) in enumerate(turn.moments[:-1]):
        height = 1.03 + 0.13 * (number % 2)  # two rows, so that neighbours do not touch
        drift.text(time - turn.started, height, name, ha="center", fontsize=9, transform=drift.get_xaxis_transform())
    alerts.set_xlim(0, turn.moments[-1][0] - turn.started)
    alerts.set_xlabel(f"seconds; for the rules a day passes in {DAY_SECONDS}")
    figure.savefig(path, dpi=82)
    return path


def series(turn: Turn, query: str, label: str = "version") -> dict[str, Points]:
    """Ask for the points of a query during the turn, by a label."""
    asked = {"start": turn.started, "end": turn.moments[-1][0], "step": STEP_SECONDS}
    found: dict[str, Points] = {}
    for one in turn.watch.ask("query_range", query=query, **asked):
        times, values = np.array(one["values"], dtype=float).T
        found[one["metric"].get(label, "")] = times - turn.started, values
    return found


def _drift(axes: Axes, turn: Turn) -> None:
    """Draw the share of birds measured with the new caliper, and what the rules make of their bills."""
    times = np.arange(0, turn.moments[-1][0] - turn.started, STEP_SECONDS)
    share = [turn.traffic.share(turn.started + time) for time in times]
    axes.fill_between(times, share, color="0.85", label="share of birds measured with the new caliper")
    for number, (version, points) in enumerate(series(turn, FEATURE.format("psi")).items()):
        axes.plot(*points, color=f"C{number}", label=f"PSI of the bill's depth, model {version}")
        limit = series(turn, FEATURE.format("psi_threshold"))[version]
        axes.plot(*limit, "--", color=f"C{number}", linewidth=1, label="its threshold" if not number else None)
    axes.set(ylim=(0, 4), ylabel="drift")
    axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)


def _accuracy(axes: Axes, turn: Turn) -> None:
    """Draw the true accuracy, the one that the rules expect without truth, and the one by feedback."""
    axes.plot(*_truth(turn), color="black", linewidth=2, label="true, which only the demo knows")
    for number, (version, points) in enumerate(series(turn, EXPECTED.format("mean")).items()):
        color = f"C{number}"
        low, high = (series(turn, EXPECTED.format(end))[version] for end in ("lower", "upper"))
        axes.fill_between(low[0], low[1], high[1], color=color, alpha=0.15)
        axes.plot(*points, color=color, label=f"expected without truth, with its band: model {version}")
    for number, (version, points) in enumerate(series(turn, "job_version:slipway_live_accuracy:ratio24h").items()):
        axes.plot(*points, ":", color=f"C{number}", linewidth=2, label=f"by feedback: model {version}")
    threshold = next(iter(series(turn, "max(slipway:accuracy:threshold)", "").values()))
    axes.plot(*threshold, "--", color="red", linewidth=1, label="threshold of the gate")
    axes.set(ylim=(0.4, 1.02), ylabel="accuracy")
    axes.legend(frameon=False, fontsize=8, loc="lower left", ncols=2)


def _truth(turn: Turn) -> Points:
    """Compute the share of right answers by hour of the fast clock."""
    hour = DAY_SECONDS / 24
    times = np.array([answer.time - turn.started for answer in turn.traffic.answers])
    right = np.array([answer.said == answer.sex for answer in turn.traffic.answers], dtype=float)
    hours = (times / hour).astype(int)
    rows = np.bincount(hours)
    seen = rows > 0
    return ((np.arange(len(rows)) + 0.5) * hour)[seen], np.bincount(hours, right)[seen] / rows[seen]


def _alerts(axes: Axes, turn: Turn) -> None:
    """Draw when each alert was firing, as a bar by alert, and the version that served."""
    firing = series(turn, 'max by (alertname) (ALERTS{alertstate="firing"})', "alertname")
    names = sorted(firing, key=lambda name: firing[name][0][0], reverse=True)
    for height, name in enumerate(names):
        axes.broken_barh(_intervals(firing[name][0]), (height - 0.35, 0.7), color="tab:red")
    serving = series(turn, "max by (version) (slipway_model_info)")
    for number, times in enumerate(sorted((times for times, _ in serving.values()), key=lambda times: times[0])):
        axes.broken_barh(_intervals(times), (len(names) - 0.35, 0.7), color=f"C{number}")
    axes.set_yticks(range(len(names) + 1), [*names, "the model that serves"])
    axes.set_title("Alerts that fired", fontsize=10)


def _intervals(times: np.ndarray) -> list[tuple[Any, Any]]:
    """Join times that follow one another into beginnings and lengths."""
    parts = np.split(times, np.flatnonzero(np.diff(times) > 1.5 * STEP_SECONDS) + 1)
    return [(part[0], part[-1] - part[0] + STEP_SECONDS) for part in parts]
