"""The PSI and the thresholds that a running Prometheus makes of two replicas' counters are NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from slipway import monitor
from slipway.model.reference import population_stability_index
from watched import (
    CLASSES,
    CONFIDENCE,
    POSITIVES,
    VERSION,
    expanded,
    expected_accuracy,
    expected_roc_auc,
    psi_threshold,
    streams,
)

FEATURE, PREDICTION = "job_version_feature:slipway_feature_values", "job_version:slipway_predictions"
CLOSE = 0.02  # `increase` extrapolates: a replica with one scrape less in this short run weighs up to 1 % more


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Prometheus after random streams through two replicas, and what they counted."""
    with streams(tmp_path_factory.mktemp("prometheus")) as seen:
        yield seen


def psi(reference, counts, name) -> float:
    expected = np.array(reference["features"][name]["shares"])
    return population_stability_index(expected, counts[name] / counts[name].sum())


def by(label, found) -> dict[str, float]:
    return {dict(labels)[label]: value for labels, value in found.items()}


def only(found) -> float:
    (value,) = found.values()
    return value


@pytest.mark.parametrize("window", ["1h", "24h"])
def test_the_rules_psi_is_numpys(watched, window):
    server, reference, counts, rest = watched
    found = by("feature", server.after(rest, expanded(f"{FEATURE}:psi{window}")))
    assert found == {name: pytest.approx(psi(reference, counts, name), rel=CLOSE) for name in counts}


@pytest.mark.parametrize("window", ["1h", "24h"])
def test_the_recorded_psi_is_the_rules(watched, window):
    server, reference, counts, _ = watched
    found = by("feature", server.query(f"{FEATURE}:psi{window}"))
    assert found == {name: pytest.approx(psi(reference, counts, name), rel=0.1) for name in counts}


@pytest.mark.parametrize("window", ["1h", "24h"])
def test_the_threshold_is_the_formulas(watched, window):
    server, reference, counts, rest = watched
    found = by("feature", server.after(rest, expanded(f"{FEATURE}:psi_threshold{window}")))
    assert found == {
        name: pytest.approx(psi_threshold(len(counts[name]), counts[name].sum(), reference["rows"]), rel=0.02)
        for name in counts
    }


def test_drift_of_the_predictions_is_numpys(watched):
    server, reference, _, rest = watched
    raw = by("outcome", server.query("sum by (outcome) (slipway_predictions_total)", time=rest))
    actual = np.array([raw[label] for label in CLASSES])
    expected = np.array([reference["predictions"]["labels"][label] for label in CLASSES])
    value = population_stability_index(expected, actual / actual.sum())
    assert only(server.after(rest, expanded(f"{PREDICTION}:psi1h"))) == pytest.approx(value, rel=CLOSE)
    limit = psi_threshold(3, actual.sum(), reference["rows"])
    assert only(server.after(rest, expanded(f"{PREDICTION}:psi_threshold1h"))) == pytest.approx(limit, rel=0.02)


def test_the_upper_end_of_the_live_accuracy_is_wilsons(watched):
    from scipy.stats import binomtest

    server, _, _, rest = watched
    raw = by("outcome", server.query('sum by (outcome) (slipway_feedback_total{outcome=~".*correct"})', time=rest))
    correct, judged = round(raw["correct"]), round(sum(raw.values()))
    upper = binomtest(correct, judged).proportion_ci(0.95, method="wilson").high
    found = only(server.after(rest, expanded("job_version:slipway_live_accuracy:upper24h")))
    assert found == pytest.approx(upper, abs=0.002)


@pytest.mark.parametrize(
    ("what", "counted", "tested", "formula"),
    [
        ("accuracy", "confidence", CONFIDENCE, expected_accuracy),
        ("roc_auc", "ranked", POSITIVES, expected_roc_auc),
    ],
)
def test_what_is_expected_and_its_band_are_the_formulas(watched, what, counted, tested, formula):
    server, _, _, rest = watched
    raw = by("bin", server.query(f"sum by (bin) (slipway_{counted}_predictions_total)", time=rest))
    assert raw.keys() == tested.keys()
    found = [
        only(server.after(rest, expanded(f"job_version:slipway_expected_{what}:{end}24h")))
        for end in ("mean", "lower", "upper")
    ]
    expected = formula([raw[name] for name in tested], *zip(*tested.values(), strict=True))
    assert found == [pytest.approx(value, abs=0.002) for value in expected]


def test_the_monitor_finds_what_the_rules_recorded_and_the_alerts_that_fire(watched):
    server, reference, counts, _ = watched
    found, alerts = monitor.observe(server.url, 'job="slipway"', VERSION)
    findings = {finding.what: finding for finding in found}
    thresholds = by("feature", server.query(f"{FEATURE}:psi_threshold24h"))
    for name in counts:
        finding = findings[f"drift of {name}"]
        assert finding.value == pytest.approx(psi(reference, counts, name), rel=0.1)
        assert finding.threshold == pytest.approx(thresholds[name], rel=0.02)
        assert finding.rows == pytest.approx(counts[name].sum(), rel=0.1)
        assert (finding.value > finding.threshold) == (f"SlipwayFeatureDriftLasting {name}" in alerts)
    assert 0 < sum(alert.startswith("SlipwayFeatureDriftLasting") for alert in alerts) < len(counts)
    assert findings["drift of the predictions"].value > 0
    assert findings["accuracy"].value == pytest.approx(10 / 11, abs=0.02)
    assert findings["accuracy"].threshold == server.value("slipway:accuracy:threshold")
    for what in ("expected accuracy", "expected roc_auc"):
        low, high = findings[what].band
        assert low < findings[what].value < high
