"""A running Prometheus understands and answers every query of the dashboards; their numbers are the alerts'."""

from __future__ import annotations

import itertools
import json
import re

import pytest
import yaml

from demo.processes import await_event
from watched import MONITORING, recorded, streams

ROOT = MONITORING.parent
GRAFANA = MONITORING / "grafana"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
PANELS = [(board, panel) for board in BOARDS for panel in BOARDS[board]["panels"] if panel["type"] != "row"]
VARIABLES = {"$job": "slipway", "$namespace": ".*", "$feature": "plain", "$__rate_interval": "1m"}
THRESHOLDS = {
    ("model", "Live accuracy"): "slipway:accuracy:threshold",
    ("model", "Judged predictions"): "slipway:feedback:min",
    ("model", "Age of the model"): "slipway:model_age_days:max",
}


def filled(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def queries() -> list[tuple[str, str, str]]:
    """Board, panel (or annotation, or variable) and query."""
    found = [(board, panel["title"], target["expr"]) for board, panel in PANELS for target in panel["targets"]]
    for name, board in BOARDS.items():
        found += [(name, annotation["name"], annotation["expr"]) for annotation in board["annotations"]["list"]]
        for variable in board["templating"]["list"]:
            series = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])[1]
            found.append((name, f"${variable['name']}", series))
    return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Prometheus after requests, failures, drift, refused values and feedback."""
    with streams(tmp_path_factory.mktemp("prometheus")) as watched:
        yield watched


def test_every_query_is_understood_and_has_data(seen):
    """Parsed by Prometheus itself; what it names, but nobody exports or records, has no data."""
    for board, panel, expression in queries():  # a budget needs another second or two, until its rule is evaluated
        asked = filled(expression)
        await_event(lambda asked=asked: seen.server.query(asked), f"data of {board}, {panel}: {expression}")


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_keeps_its_address_and_lies_where_grafana_looks(name):
    board = BOARDS[name]
    assert board["uid"] == f"slipway-{name}"
    # part: compose
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/slipway.yml").read_text())["providers"][0]
    mounts = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    assert f"./monitoring/grafana/dashboards:{provider['options']['path']}:ro" in mounts
    assert "./monitoring/grafana/provisioning:/etc/grafana/provisioning:ro" in mounts
    # end: compose


def test_all_queries_go_to_the_provisioned_source():
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    uids = re.findall(r'"datasource": {\s*"type": "prometheus",\s*"uid": "(.*?)"', json.dumps(list(BOARDS.values())))
    assert set(uids) == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    scrape = yaml.safe_load((MONITORING / "prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scrape


@pytest.mark.parametrize("name", BOARDS)
def test_links_lead_somewhere(name):
    for link in BOARDS[name]["links"]:
        if link["url"].startswith("/d/"):
            assert link["url"].removeprefix("/d/") in {board["uid"] for board in BOARDS.values()} - {f"slipway-{name}"}
        else:
            assert (ROOT / link["url"].partition("/blob/main/")[2]).exists()
    assert len(BOARDS[name]["links"]) == 3


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_units_and_do_not_overlap(name):
    panels = BOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x, y in itertools.product(range(panel["gridPos"]["w"]), range(panel["gridPos"]["h"]))
    ]
    assert len(set(cells)) == len(cells)
    assert all(x < 24 for x, _ in cells)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for board, panel in PANELS if board == name)


def test_colours_change_where_the_alerts_fire():
    steps = {(b, p["title"]): [s["value"] for s in p["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])]
             for b, p in PANELS}  # fmt: skip
    rules = recorded()
    for panel, rule in THRESHOLDS.items():
        assert rules[rule].split("#")[0].strip() == f"vector({steps[panel][1]})", panel
    burns = (MONITORING / "prometheus/rules/alerts.yml").read_text()
    factors = sorted({float(factor) for factor in re.findall(r"> ([\d.]+) \* \(1 - scalar", burns)})
    for title in ("Error budget burn", "Latency budget burn"):
        assert steps["service", title] == [None, 1, *factors]
