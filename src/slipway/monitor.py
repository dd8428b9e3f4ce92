"""Drift, live and expected accuracy of the champion, as Prometheus has recorded them, and the alerts that fire.

Every number that is judged by stands in monitoring/prometheus/rules; docs/monitoring.md derives the thresholds.
"""

from __future__ import annotations

import math
import os
import re
import urllib.parse
from datetime import UTC, datetime
from typing import NamedTuple

from slipway.http import Service
from slipway.problem import SlipwayError

TOKEN = "PROMETHEUS_TOKEN"  # noqa: S105  (the name of the environment variable)
TIMEOUT_SECONDS = 60
FEATURES, PREDICTIONS = "job_version_feature:slipway_feature_values", "job_version:slipway_predictions"
# Each finding, and the recorded series of its value, threshold and rows, and of the ends of its band.
SERIES = {
    "drift of {}": (f"{FEATURES}:psi24h", f"{FEATURES}:psi_threshold24h", f"{FEATURES}:increase24h"),
    "drift of the predictions": (
        f"{PREDICTIONS}:psi24h",
        f"{PREDICTIONS}:psi_threshold24h",
        f"{PREDICTIONS}:increase24h",
    ),
    "accuracy": (
        "job_version:slipway_live_accuracy:ratio24h",
        "slipway:accuracy:threshold",
        "job_version:slipway_feedback_judged:increase24h",
    ),
    **{
        f"expected {score}": (
            f"job_version:slipway_expected_{score}:mean24h",
            f"slipway:{score}:threshold",
            "job_version:slipway_confidence_predictions:increase24h",
            f"job_version:slipway_expected_{score}:lower24h",
            f"job_version:slipway_expected_{score}:upper24h",
        )
        for score in ("accuracy", "roc_auc")
    },
}
# What these findings need, in which they are not available otherwise.
NEEDED = {
    "expected accuracy": "a classification with probabilities, confidence.json in the champion's evaluation",
    "expected roc_auc": "two classes with probabilities, positives.json in the champion's evaluation",
}


class Finding(NamedTuple):
    """A measurement over the last 24 hours: PSI or accuracy, the threshold, and the rows that it was made of.

    band: the ends of the interval that an expected accuracy has.
    """

    what: str
    value: float
    threshold: float | None
    rows: int
    band: tuple[float, ...] = ()


def observe(url: str, match: str, version: str) -> tuple[list[Finding], list[str]]:
    """Read the findings on a version over the last 24 hours, and the firing alerts that ask for retraining.

    url: of Prometheus. match: label matchers of the service's series, like `job="slipway"`.
    Raises SlipwayError if Prometheus does not answer, does not evaluate the rules, or does not see this version serve.
    """
    serving = {labels["version"] for labels, _ in query(url, f"slipway_model_info{{{match}}}")}
    if version not in serving:
        seen = ", ".join(sorted(serving)) or "none"
        raise SlipwayError(f"{url} does not see the champion {version} serve with {match}, but {seen}")
    thresholds = query(url, '{__name__=~"slipway:.+"}')
    if not thresholds:
        raise SlipwayError(f"{url} does not evaluate the rules of monitoring/prometheus/rules")
    recorded = {(labels["__name__"], ""): value for labels, value in thresholds if not math.isnan(value)}  # NaN: none
    model = f'{{__name__=~"job_version.*24h",{match},version="{version}"}}'
    for labels, value in query(url, f"max by (__name__, feature) ({model})"):
        recorded[labels["__name__"], labels.get("feature", "")] = value
    findings = [
        Finding(
            what.format(feature),
            value,
            recorded.get((threshold, feature)),
            round(recorded.get((rows, feature), 0)),
            tuple(recorded[end, feature] for end in band if (end, feature) in recorded),
        )
        for what, (series, threshold, rows, *band) in SERIES.items()
        for (name, feature), value in sorted(recorded.items())
        if name == series
    ]
    firing = f'ALERTS{{severity="retrain",alertstate="firing",{match},version=~"|{version}"}}'
    alerts = {f"{labels['alertname']} {labels.get('feature', '')}".strip() for labels, _ in query(url, firing)}
    return findings, sorted(alerts)


def query(url: str, expression: str) -> list[tuple[dict[str, str], float]]:
    """Ask Prometheus for a vector: labels and value of each element. Raises SlipwayError if it does not answer."""
    answer = Service(url, key=os.environ.get(TOKEN), timeout=TIMEOUT_SECONDS).ask(
        f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    )
    if not answer.status:
        raise SlipwayError(f"Prometheus at {url} does not answer: {answer.content}")
    found = answer.at("data", "result")
    if answer.status != 200 or found is None:
        raise SlipwayError(f"Prometheus at {url} answers {answer.status}: {answer.content}")
    return [(item["metric"], float(item["value"][1])) for item in found]


def tags(findings: list[Finding], alerts: list[str]) -> dict[str, str]:
    """Write the findings as tags of a registered model's version."""
    written = {
        "slipway.live.time": datetime.now(UTC).isoformat(timespec="seconds"),
        "slipway.live.retrain": str(bool(alerts)).lower(),
        "slipway.live.alerts": ", ".join(alerts),
    }
    for finding in findings:
        name = re.sub(r"[^\w.-]", "_", finding.what.replace(" of the ", ".").replace(" of ", "."))
        written |= {f"slipway.live.{name}": f"{finding.value:.4g}", f"slipway.live.{name}.rows": str(finding.rows)}
    return written
