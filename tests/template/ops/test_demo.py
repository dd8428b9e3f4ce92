"""`make demo`: the loop turns once, with real processes of the service, Prometheus and Alertmanager."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from checkouts import make_template, run
from demo.clock import faster
from slipway.champion import read_decision
from slipway.model.bundle import read_bundle
from watched import MONITORING, RULES, tool

pytestmark = pytest.mark.xdist_group("demo")  # one process, so that it turns once for all tests
TOLD = (  # in this order
    "ALERT SlipwayFeatureDrift fires, says Alertmanager to `tickets`: In the last hour the values of bill_depth_mm",
    "The laboratory has examined",
    "ALERT SlipwayLiveAccuracyLow fires, says Alertmanager to `retrain`",
    "rows to learn from in data/live/",
    "Verdict: HOLD",
    "as a shadow",
    "Verdict: PROMOTE",
    "SlipwayFeatureDrift is resolved, and Alertmanager has no alert about a model any more",
    "Every request was answered",
)


def play(template: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Do in a checkout what `make demo` does."""
    env = os.environ | {"PYTHONPATH": str(template / "src")} | environment
    command = [sys.executable, "-m", "demo"]
    return subprocess.run(command, cwd=template / "monitoring", env=env, capture_output=True, text=True, check=False)


class Turned(NamedTuple):
    """A repository, what its demo said, and the folder of that."""

    template: Path
    head: str
    said: str
    folder: Path


@pytest.fixture(scope="module")
def turned(penguins, tmp_path_factory) -> Turned:
    tool("prometheus"), tool("prometheus-alertmanager")
    template = make_template(tmp_path_factory.mktemp("demo") / "template")
    head = run(template, "git", "rev-parse", "HEAD")
    done = play(template)
    assert done.returncode == 0, done.stdout + done.stderr
    return Turned(template, head, done.stdout, template / "build/demo")


def test_each_step_is_told_in_its_turn(turned):
    places = [turned.said.find(step) for step in TOLD]
    assert -1 not in places, turned.said
    assert places == sorted(places), turned.said


def test_live_rows_show_the_candidate_to_be_better(turned):
    found = dict(re.findall(r"(champion|shadow) +\w+  live accuracy ([\d.]+)%", turned.said))
    assert float(found["champion"]) < 85 < float(found["shadow"]), turned.said


def test_the_champion_is_what_ran_as_a_shadow(turned):
    checkout = turned.folder / "checkout"
    now = read_decision(checkout)
    assert now.previous == read_decision(turned.template).version
    assert now.digest == read_bundle(checkout / "build/bundle").digest


def test_the_checkout_that_it_was_started_in_stays_as_it_is(turned):
    assert run(turned.template, "git", "rev-parse", "HEAD") == turned.head
    assert run(turned.template, "git", "status", "--porcelain") == ""
    assert not any((turned.template / name).exists() for name in ("data", "champion"))


def test_there_is_a_picture_of_it(turned):
    assert (turned.folder / "turn.png").read_bytes().startswith(b"\x89PNG")


def test_without_prometheus_it_says_where_to_get_it(tmp_path):
    (tmp_path / "bin").mkdir()
    done = play(MONITORING.parent, PATH=str(tmp_path / "bin"))
    assert done.returncode == 1
    assert "apt-get install prometheus prometheus-alertmanager" in done.stderr
    assert "https://prometheus.io/download/" in done.stderr


@pytest.mark.parametrize(
    ("text", "fast"),
    [
        ("increase(seen_total[24h])", "increase(seen_total[60000ms])"),
        ("for: 6h", "for: 15000ms"),
        ("group_wait: 5m", "group_wait: 208ms"),
        ("interval: 5m", "interval: 500ms"),
        ("job:seen:rate1h * 3600 >= 10", "job:seen:rate1h * 2.5 >= 10"),
        ("job:seen:rate30m offset 1w", "job:seen:rate30m offset 420000ms"),
        ("sum_over_time(job:seen:rate5m[30d:5m])", "sum_over_time(job:seen:rate5m[1800000ms:208ms])"),
        ("(time() - made) / 86400 > 90", "(time() - made) / 86400 > 90"),
    ],
)
def test_on_the_fast_clock_a_day_is_a_minute(text, fast):
    assert faster(text) == fast


@pytest.mark.parametrize("path", [*RULES, MONITORING / "alertmanager/alertmanager.yml"], ids=lambda path: path.stem)
def test_the_fast_clock_changes_durations_alone_and_all_of_them(path, tmp_path):
    text = path.read_text()
    fast = faster(text)
    number = r"\d[\d.]*(ms|[smhdw])?\b"
    assert re.sub(number, "", fast) == re.sub(number, "", text)
    assert not re.findall(r"(?:\[|for: |offset |interval: |wait: )\d+[smhdw]\b", fast)


def test_prometheus_takes_the_rules_of_the_fast_clock(tmp_path):
    for path in RULES:
        (tmp_path / path.name).write_text(faster(path.read_text()))
    done = subprocess.run([tool("promtool"), "check", "rules", *sorted(tmp_path.iterdir())], capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
