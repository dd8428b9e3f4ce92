"""What Prometheus has seen of the champion: drift and live accuracy over a window, and whether retraining is due.

The formulas and numbers are those of monitoring/prometheus/rules; docs/monitoring.md derives them.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from slipway.model.reference import population_stability_index
from slipway.problem import SlipwayError

TOKEN = "PROMETHEUS_TOKEN"  # noqa: S105  (the name of the environment variable)
TIMEOUT_SECONDS = 60
PSI_BASE = 0.2  # slipway:psi:base
PSI_CHANCE_Z = 3.0902  # slipway:psi_chance:z
ROWS_AT_LEAST = 200  # slipway:drift_rows:min
MIN_FEEDBACK = 50  # slipway:feedback:min
ACCURACY_Z = 1.96  # slipway:accuracy_interval:z
DURATION = re.compile(r"[1-9]\d*[smhdw]")
Outcome = Literal["pass", "fail", "hold"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. rows: how many counted; with too few the outcome is hold, and nothing is due.

    value: PSI over the reference, or the accuracy. limit: the most (PSI) or the least (accuracy) that is accepted.
    """

    what: str
    value: float
    limit: float
    rows: int
    outcome: Outcome


class Prometheus:
    """A Prometheus server, asked about one model version of one job."""

    def __init__(self, url: str, match: str, version: str) -> None:
        """match: label matchers of the service, as in `job="slipway"`. Raises SlipwayError if the URL is not HTTP's."""
        if not url.startswith(("http://", "https://")):
            raise SlipwayError(f"{url}: not the URL of a Prometheus; http://... or https://... is")
        self.url = url.rstrip("/")
        self.match = match
        # A server that does not say in each series which version it counts for has no such label.
        self.series = f'{match},version=~"|{version}"'

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Ask for a vector: the labels and the value of each element. Raises SlipwayError if there is no answer."""
        url = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        token = os.environ.get(TOKEN)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  (the scheme was checked)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise SlipwayError(f"Prometheus at {self.url}: {error}: {error.read(500).decode()}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SlipwayError(f"Prometheus at {self.url} does not answer: {error}") from None
        return [(item["metric"], float(item["value"][1])) for item in answer["data"]["result"]]

    def shares(
        self, reference: str, counter: str, window: str, label: str
    ) -> dict[str, dict[str, tuple[float, float]]]:
        """Read reference share and live count of each bin (or outcome) in `label`, by feature ("" for predictions)."""
        found: dict[str, dict[str, tuple[float, float]]] = {}
        for labels, share in self.query(f"max by (feature, {label}) ({reference}{{{self.series}}})"):
            found.setdefault(labels.get("feature", ""), {})[labels[label]] = (share, 0.0)
        live = f"sum by (feature, {label}) (increase({counter}{{{self.series}}}[{window}]))"
        for labels, count in self.query(live):
            bins = found.get(labels.get("feature", ""), {})
            if labels[label] in bins:
                bins[labels[label]] = (bins[labels[label]][0], count)
        return found


def observe(prometheus: Prometheus, version: str, window: str, threshold: float | None) -> list[Finding]:
    """Judge a window of live traffic: the drift of each feature and of the predictions, and the accuracy by feedback.

    window: as Prometheus writes it, like 24h. threshold: the gate's threshold of accuracy, if it has one.
    Raises SlipwayError if Prometheus does not answer, or does not see this version serve.
    """
    if not DURATION.fullmatch(window):
        raise SlipwayError(f"{window}: not a window; like 24h, 90m or 7d")
    serving = {labels["version"] for labels, _ in prometheus.query(f"slipway_model_info{{{prometheus.match}}}")}
    if version not in serving:
        seen = ", ".join(sorted(serving)) or "none"
        raise SlipwayError(
            f"{prometheus.url} does not see the champion {version} serve with {prometheus.match}: {seen}"
        )
    trained = prometheus.query(f"max (slipway_reference_rows{{{prometheus.series}}})")[0][1]
    features = prometheus.shares("slipway_feature_reference_share", "slipway_feature_values_total", window, "bin")
    predictions = prometheus.shares(
        "slipway_prediction_reference_share", "slipway_predictions_total", window, "outcome"
    )
    findings = [_drift(f"drift of {name}", bins, trained) for name, bins in sorted(features.items())]
    findings += [_drift("drift of the predictions", bins, trained) for bins in predictions.values()]
    judged = dict.fromkeys(("correct", "incorrect"), 0.0)
    series = f'slipway_feedback_total{{{prometheus.series},outcome=~"correct|incorrect"}}'
    answer = prometheus.query(f"sum by (outcome) (increase({series}[{window}]))")
    judged |= {labels["outcome"]: count for labels, count in answer}
    if threshold is not None:
        findings.append(_accuracy(judged["correct"], sum(judged.values()), threshold))
    return findings


def psi_limit(bins: int, live: float, trained: float) -> float:
    """Compute the largest PSI over `bins` bins that is accepted, for so many live and training rows.

    Without drift PSI / (1/live + 1/trained) is about chi-square distributed with bins - 1 degrees of freedom; so the
    limit is a base of no concern plus that much of a quantile, which is Wilson and Hilferty's approximation (1931).
    """
    degrees = max(bins - 1, 1)
    spread = 2 / (9 * degrees)
    quantile = degrees * (1 - spread + PSI_CHANCE_Z * math.sqrt(spread)) ** 3
    return PSI_BASE + quantile * (1 / live + 1 / trained)


def upper_accuracy(correct: float, judged: float) -> float:
    """Compute the upper end of Wilson's 95 % interval (1927): the best that the accuracy may be."""
    share, z = correct / judged, ACCURACY_Z
    centre = share + z**2 / (2 * judged)
    return (centre + z * math.sqrt(share * (1 - share) / judged + z**2 / (2 * judged) ** 2)) / (1 + z**2 / judged)


def retraining_due(findings: list[Finding]) -> bool:
    """Tell whether anything that was found asks for a new model."""
    return any(finding.outcome == "fail" for finding in findings)


def tags(findings: list[Finding], window: str) -> dict[str, str]:
    """Write the findings, of a window that ends now, as tags of a registered model's version."""
    written = {
        "slipway.live.window": f"{window} to {datetime.now(UTC).isoformat(timespec='seconds')}",
        "slipway.live.retrain": str(retraining_due(findings)).lower(),
    }
    for finding in findings:
        name = re.sub(r"[^\w.-]", "_", finding.what.replace(" of the ", ".").replace(" of ", "."))
        written[f"slipway.live.{name}"] = f"{finding.value:.4g}"
        written[f"slipway.live.{name}.outcome"] = finding.outcome
        written[f"slipway.live.{name}.rows"] = str(finding.rows)
    return written


def _drift(what: str, bins: Mapping[str, tuple[float, float]], trained: float) -> Finding:
    expected, counts = np.array(list(bins.values())).T
    rows = float(counts.sum())
    if not rows:
        return Finding(what, math.nan, math.nan, 0, "hold")
    value = population_stability_index(expected, counts / rows)
    limit = psi_limit(len(bins), rows, trained)
    enough = rows >= ROWS_AT_LEAST
    return Finding(what, value, limit, round(rows), "hold" if not enough else "fail" if value > limit else "pass")


def _accuracy(correct: float, judged: float, threshold: float) -> Finding:
    if not judged:
        return Finding("accuracy", math.nan, threshold, 0, "hold")
    enough, low = judged >= MIN_FEEDBACK, upper_accuracy(correct, judged) < threshold
    return Finding(
        "accuracy", correct / judged, threshold, round(judged), "hold" if not enough else "fail" if low else "pass"
    )
