"""Rules and alerts: what promtool says of them, and that nothing that they name or lean on is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from slipway.batch.metrics import FACTS
from slipway.problem.params import load_params
from slipway.serving.metrics import SECONDS
from watched import CLASSES, MONITORING, RULES, Replica, described, recorded, rules, tool

ROOT = MONITORING.parent
PROMETHEUS = MONITORING / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
LEVELS = ["slipway", "job", "job_feature", "job_version", "job_version_outcome"]
LEVELS += ["job_version_bin", "job_version_feature", "job_version_feature_bin"]
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run([tool("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["prometheus.yml", "local.yml"])
def test_promtool_accepts_the_configuration_with_all_rules(name):
    assert f"{len(RULES)} rule files found" in promtool("check", "config", "--lint=all", PROMETHEUS / name)


def test_docker_and_local_processes_differ_in_addresses_alone():
    def without_addresses(name):
        text = (PROMETHEUS / name).read_text()
        return re.sub(r"(static_configs|dns_sd_configs): .*", "addresses", text.partition("global:")[2])

    def bare(text):
        return [line for line in text.splitlines() if "#" not in line]

    assert bare(without_addresses("prometheus.yml")) == bare(without_addresses("local.yml"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path, tmp_path):
    shutil.copytree(PROMETHEUS, tmp_path, dirs_exist_ok=True)
    thresholds = tmp_path / "rules" / "thresholds.yml"  # a fork's are its own; these tests are over 0.85
    rule = re.compile(r"(record: slipway:(accuracy|roc_auc):threshold\s+expr: vector)\(.*?\)")
    thresholds.write_text(rule.sub(r"\1(0.85)", thresholds.read_text()))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "tests" / path.name)


def test_each_alert_is_seen_to_fire_and_in_three_ways_to_keep_silent():
    seen: dict[str, set[str]] = {name: set() for name in ALERTS}
    for path in TESTS:
        for group in yaml.safe_load(path.read_text())["tests"]:
            for case in group.get("alert_rule_test", []):
                silent = next((k for k in ("no data", "low traffic", "silent") if group["name"].startswith(k)), "other")
                seen[case["alertname"]].add("fires" if case.get("exp_alerts") else silent)
    missing = {name: {"fires", "silent", "no data", "low traffic"} - kinds for name, kinds in seen.items()}
    assert missing.pop("SlipwayScrapeMissing") == {"no data"}  # that is its own case: without data, it has to fire
    assert {name: kinds for name, kinds in missing.items() if kinds} == {}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_urgent_it_is_what_it_means_and_what_to_do(name):
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("page", "ticket", "retrain")
    assert len(alert["annotations"]["summary"]) > 15
    assert len(alert["annotations"]["description"]) > 40
    place, page = alert["annotations"]["runbook_url"].rsplit("/", 1)
    assert place.endswith("/blob/main/docs/runbooks")
    assert page == f"{name}.md"
    text = (RUNBOOKS / page).read_text()
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    assert headings == [name, "Meaning", "Diagnosis", "Actions"]


def test_there_is_no_runbook_without_an_alert():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS)


def test_all_runbooks_are_linked_at_one_place():
    assert len({alert["annotations"]["runbook_url"].rsplit("/", 1)[0] for alert in ALERTS.values()}) == 1


@pytest.mark.parametrize("name", recorded())
def test_recorded_series_are_named_by_level_metric_and_operation(name):
    level, metric, operation = name.split(":")
    assert level in LEVELS
    assert re.fullmatch(r"[a-z_]+", metric)
    assert re.fullmatch(r"[a-z0-9_]+", operation)


def names(expression: str) -> set[str]:
    """The series that an expression reads."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}', "", expression)
    return set(re.findall(r"\b(?:slipway_\w+|\w+:\w+:\w+)", bare))


def test_every_series_that_a_rule_reads_is_exported_or_recorded():
    replica = Replica(described(np.random.default_rng(0)))
    try:
        replica.serve(np.random.default_rng(0), 100, 0)
        text = replica.metrics.exposition("")[0].decode()
    finally:
        replica.close()
    exported = set(re.findall(r"^(slipway_\w+)", text, re.MULTILINE)) | set(recorded())
    exported.add("slipway_feedback_absolute_error_total")  # of a regression; this replica has classes
    exported |= {f"slipway_batch_{name}" for name in FACTS}
    assert CLASSES[0] in text
    read = set().union(*(names(rule["expr"]) for rule in rules()))
    assert read - exported == set()


def number(name: str) -> float:
    """What a rule records, if that is a constant."""
    return float(re.fullmatch(r"vector\((.*)\)", recorded()[name])[1])


@pytest.mark.usefixtures("penguins")
def test_the_scores_that_alerts_demand_are_the_gates():
    thresholds = load_params(ROOT).gate.thresholds
    assert number("slipway:accuracy:threshold") == thresholds.get("accuracy", number("slipway:accuracy:threshold"))
    np.testing.assert_equal(number("slipway:roc_auc:threshold"), thresholds.get("roc_auc", np.nan))


def test_the_latency_that_is_promised_is_an_edge_of_the_histogram():
    promised = number("slipway:latency_seconds:objective")
    assert promised in SECONDS
    assert set(re.findall(r'le="(.*?)"', (PROMETHEUS / "rules" / "service.yml").read_text())) == {f"{promised:g}"}
    for name in ("SlipwayLatencyBudgetBurnFast", "SlipwayLatencyBudgetBurnSlow"):
        assert f"longer than {promised:g} s" in ALERTS[name]["annotations"]["description"]
