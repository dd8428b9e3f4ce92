"""The PSI and the thresholds that a running Prometheus makes of two replicas' counters are NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from slipway import monitor
from slipway.model.reference import population_stability_index
from slipway.monitor import psi_limit
from watched import CLASSES, VERSION, expanded, recorded, streams

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


@pytest.mark.parametrize("window", ["1h", "24h"])
def test_the_rules_psi_is_numpys(watched, window):
    """Asked a minute after the last scrape counts, so that all that is extrapolated is half an interval."""
    server, reference, counts, rest = watched
    found = by("feature", server.query(expanded(f"{FEATURE}:psi{window}"), time=rest + 60))
    assert found == {name: pytest.approx(psi(reference, counts, name), rel=CLOSE) for name in counts}


@pytest.mark.parametrize("window", ["1h", "24h"])
def test_the_recorded_psi_is_the_rules(watched, window):
    server, reference, counts, _ = watched
    found = by("feature", server.query(f"{FEATURE}:psi{window}"))
    assert found == {name: pytest.approx(psi(reference, counts, name), rel=0.1) for name in counts}


@pytest.mark.parametrize("window", ["1h", "24h"])
def test_the_threshold_is_that_of_the_monitor(watched, window):
    server, reference, counts, rest = watched
    found = by("feature", server.query(expanded(f"{FEATURE}:psi_threshold{window}"), time=rest + 60))
    assert found == {
        name: pytest.approx(psi_limit(len(counts[name]), counts[name].sum(), reference["rows"]), rel=0.02)
        for name in counts
    }


def test_drift_of_the_predictions_is_numpys(watched):
    server, reference, _, rest = watched
    at = {"time": rest + 60}
    raw = by("outcome", server.query("sum by (outcome) (slipway_predictions_total)", time=rest))
    actual = np.array([raw[label] for label in CLASSES])
    expected = np.array([reference["predictions"]["labels"][label] for label in CLASSES])
    value = population_stability_index(expected, actual / actual.sum())
    assert server.value(expanded(f"{PREDICTION}:psi1h"), **at) == pytest.approx(value, rel=CLOSE)
    limit = psi_limit(3, actual.sum(), reference["rows"])
    assert server.value(expanded(f"{PREDICTION}:psi_threshold1h"), **at) == pytest.approx(limit, rel=0.02)


def test_the_monitor_finds_what_the_rules_find(watched):
    server, reference, counts, _ = watched
    asked = monitor.Prometheus(server.url, 'job="slipway"', VERSION)
    found = {finding.what: finding for finding in monitor.observe(asked, VERSION, "24h", 0.85)}
    limits = by("feature", server.query(f"{FEATURE}:psi_threshold24h"))
    firing = by("feature", server.query('ALERTS{alertname="SlipwayFeatureDriftLasting",alertstate="firing"}'))
    for name in counts:
        finding = found[f"drift of {name}"]
        assert finding.value == pytest.approx(psi(reference, counts, name), rel=0.1)
        assert finding.limit == pytest.approx(limits[name], rel=0.02)
        assert (finding.outcome == "fail") == (name in firing)
    assert 0 < len(firing) < len(counts)
    assert found["accuracy"].outcome == "pass"


def test_the_monitors_numbers_are_the_rules(watched):
    rules = recorded()
    for name, number in {
        "slipway:psi:base": monitor.PSI_BASE,
        "slipway:psi_chance:z": monitor.PSI_CHANCE_Z,
        "slipway:drift_rows:min": monitor.ROWS_AT_LEAST,
        "slipway:feedback:min": monitor.MIN_FEEDBACK,
        "slipway:accuracy_interval:z": monitor.ACCURACY_Z,
    }.items():
        assert rules[name].split("#")[0].strip() == f"vector({number})", name
