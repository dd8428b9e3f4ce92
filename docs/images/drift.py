"""Draw docs/images/drift.png from what Prometheus recorded while `make traffic` ran.

python docs/images/drift.py [http://localhost:9090]
"""

import sys
import urllib.parse
from datetime import datetime
from pathlib import Path

import matplotlib.dates as dates
from matplotlib.figure import Figure

from slipway.http import Service

PROMETHEUS = Service(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:9090")
MINUTES = 10
FEATURE = "bill_length_mm"


def series(query: str, label: str) -> dict[str, tuple[list[datetime], list[float]]]:
    """Times and values of a query over the last minutes, by a label."""
    now = datetime.now().timestamp()
    asked = {"query": query, "start": now - 60 * MINUTES, "end": now, "step": 15}
    found = PROMETHEUS.ask(f"/api/v1/query_range?{urllib.parse.urlencode(asked)}").content["data"]["result"]
    return {
        one["metric"].get(label, ""): (
            [datetime.fromtimestamp(time) for time, _ in one["values"]],
            [float(value) for _, value in one["values"]],
        )
        for one in found
    }


figure = Figure(figsize=(12, 6.6), layout="constrained")
(drift, psi), (predictions, accuracy) = figure.subplots(2, 2)

name = "job_version_feature:slipway_feature_values"
found = dict(sorted(series(f"{name}:psi1h / {name}:psi_threshold1h", "feature").items()))
times = max((times for times, _ in found.values()), key=len)
table = [[float("nan")] * (len(times) - len(values)) + values for _, values in found.values()]
mesh = drift.pcolormesh(times, range(len(found)), table, cmap="RdYlGn_r", vmin=0, vmax=2, shading="nearest")
drift.set_yticks(range(len(found)), found)
figure.colorbar(mesh, ax=drift, label="PSI / threshold")
drift.set_title("Drift by feature (alerts from 1 on)")

for title, metric, style in (("PSI", "psi1h", "-"), ("threshold", "psi_threshold1h", "--")):
    psi.plot(*series(f'{name}:{metric}{{feature="{FEATURE}"}}', "feature")[FEATURE], style, label=title)
psi.set(title=f"PSI of {FEATURE} and its threshold", ylim=(0, 1.2))

reference = series("job_version_outcome:slipway_prediction_reference_share:max", "outcome")
for number, (label, points) in enumerate(series("job_version_outcome:slipway_predictions:share1h", "outcome").items()):
    predictions.plot(*points, color=f"C{number}", label=label)
    predictions.plot(*reference[label], "--", color=f"C{number}", alpha=0.7)
predictions.set(title="Share of each predicted class (dashed: training rows)", ylim=(0, 1))

for title, query, style in (
    ("live accuracy", "job_version:slipway_live_accuracy:ratio24h", "-"),
    ("upper end of its 95 % interval", "job_version:slipway_live_accuracy:upper24h", ":"),
    ("threshold of the gate", "max(slipway:accuracy:threshold)", "--"),
):
    accuracy.plot(*next(iter(series(query, "").values())), style, label=title)
for height, (alert, (began, _)) in enumerate(
    series('max by (alertname) (ALERTS{alertstate="firing"})', "alertname").items()
):
    accuracy.axvline(began[0], color="red", alpha=0.5)
    accuracy.text(began[0], 0.93 - 0.05 * height, f"{alert} ", color="red", ha="right", fontsize=8)
accuracy.set(title="Live accuracy, and when alerts began to fire", ylim=(0.4, 1.02))

for axes in (drift, psi, predictions, accuracy):
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.set_xlim(times[0], times[-1])
    if axes is not drift:
        axes.legend(frameon=False, fontsize=8)
figure.savefig(Path(__file__).with_suffix(".png"), dpi=82)
