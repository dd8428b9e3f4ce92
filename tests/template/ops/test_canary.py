"""How a canary is judged: the queries of its AnalysisTemplate, answered by promtool from series that are made up."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ops.manifests import ROOT, of_kind, render
from watched import tool

ARGUMENTS = {"namespace": "slipway", "canary": "new1", "stable": "old1", "prometheus": "http://prometheus:9090"}
CONDITIONS = {"successCondition": "good", "failureCondition": "bad"}


class Pods(NamedTuple):
    """What one version's pods count in 15 seconds: requests, how many of them fail or are slow, predictions of a, b."""

    requests: float = 100
    failed: float = 0
    slow: float = 0
    a: float = 60
    b: float = 40
    probes: float = 20

    def series(self, version: str) -> dict[str, float]:
        """The series and their growth."""
        pod = f'namespace="slipway",pod="slipway-{version}-x1"'
        counted, timed = "slipway_requests_total", "slipway_request_duration_seconds"
        return {
            f'{counted}{{{pod},route="/predict",status="200"}}': self.requests - self.failed,
            f'{counted}{{{pod},route="/predict",status="503"}}': self.failed,
            f'{counted}{{{pod},route="/readyz",status="503"}}': self.probes,
            f'{counted}{{{pod},route="unknown",status="404"}}': self.probes,
            f'{timed}_count{{{pod},route="/predict"}}': self.requests,
            f'{timed}_bucket{{{pod},route="/predict",le="0.25"}}': self.requests - self.slow,
            f'{timed}_bucket{{{pod},route="/predict",le="+Inf"}}': self.requests,
            f'{timed}_count{{{pod},route="unknown"}}': self.probes,
            f'slipway_predictions_total{{{pod},outcome="a"}}': self.a,
            f'slipway_predictions_total{{{pod},outcome="b"}}': self.b,
        }


SCARCE = Pods(requests=2, failed=2, slow=2, a=2, b=0)  # too little to say that it is bad, though all of it is
CASES = {
    "a canary like the stable one": (Pods(), Pods(), "good good good"),
    "a canary that fails": (Pods(failed=2), Pods(), "bad good good"),
    "as many failures as are allowed": (Pods(failed=1), Pods(), "good good good"),
    "a canary that is slow": (Pods(slow=6), Pods(), "good bad good"),
    "a canary that predicts otherwise": (Pods(a=20, b=80), Pods(), "good good bad"),
    "a canary that predicts one class only": (Pods(a=100, b=0), Pods(), "good good bad"),
    "a class that is rare on both sides": (Pods(a=100, b=0), Pods(a=99.9, b=0.1), "good good good"),
    "little traffic": (SCARCE, SCARCE, "unclear unclear unclear"),
    "little traffic on the stable side": (Pods(a=20, b=80), SCARCE, "good good unclear"),
    "a canary that nobody asks": (Pods(0, a=0, b=0), Pods(), "unclear unclear unclear"),
    "a canary without a series": (None, Pods(), "unclear unclear unclear"),
    "a Prometheus without a series": (None, None, "unclear unclear unclear"),
}


@pytest.fixture(scope="module")
def metrics() -> list[dict[str, Any]]:
    """The metrics of the analysis."""
    found: list[dict[str, Any]] = of_kind(render("production", ("canary",)), "AnalysisTemplate")["spec"]["metrics"]
    return found


def _query(metric: dict[str, Any]) -> str:
    query: str = metric["provider"]["prometheus"]["query"]
    for name, value in ARGUMENTS.items():
        query = query.replace(f"{{{{args.{name}}}}}", value)
    assert "{{" not in query
    return query


def _outcome(metric: dict[str, Any], value: float) -> str:
    """What Argo makes of an answer: neither condition holds, and it is inconclusive."""
    holds = {name: eval(metric[key].replace("&&", "and"), {"result": [value]}) for key, name in CONDITIONS.items()}
    assert not all(holds.values())
    return next((name for name, true in holds.items() if true), "unclear")


def _answers(metrics: list[dict[str, Any]], series: dict[str, float], folder: Path) -> list[float]:
    """Let promtool answer each query: it is told a value that is none, and says which it got."""
    rules = [{"record": f"answer:{number}", "expr": _query(metric)} for number, metric in enumerate(metrics)]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "canary", "rules": rules}]}))
    wrong = [
        {"expr": f"answer:{number}", "eval_time": "10m", "exp_samples": [{"labels": "none", "value": 1e9}]}
        for number in range(len(metrics))
    ]
    inputs = [{"series": name, "values": f"0+{growth}x60"} for name, growth in series.items()]
    test = {"interval": "15s", "input_series": inputs, "promql_expr_test": wrong}
    content = {"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": [test]}
    (folder / "test.yml").write_text(yaml.safe_dump(content))
    done = subprocess.run(
        [tool("promtool"), "test", "rules", folder / "test.yml"], text=True, capture_output=True, check=False
    )
    got = [line.split()[-1] for line in (done.stdout + done.stderr).splitlines() if line.strip().startswith("got:")]
    assert len(got) == len(metrics), done.stdout + done.stderr
    return [float(value) for value in got]


@pytest.mark.parametrize("case", CASES)
def test_a_canary_is_judged_by_what_its_pods_count(case, metrics, tmp_path):
    canary, stable, expected = CASES[case]
    series = {
        name: growth
        for pods, version in ((canary, ARGUMENTS["canary"]), (stable, ARGUMENTS["stable"]))
        if pods
        for name, growth in pods.series(version).items()
    }
    answers = _answers(metrics, series, tmp_path)
    judged = [_outcome(metric, value) for metric, value in zip(metrics, answers, strict=True)]
    assert judged == expected.split(), answers


def test_what_the_queries_read_is_what_the_service_tells(metrics):
    text = " ".join(_query(metric) for metric in metrics)
    read = {word for word in text.replace("{", " ").replace("(", " ").split() if word.startswith("slipway_")}
    told = (ROOT / "docs/metrics.md").read_text()  # which another test compares with the service
    assert read
    assert all(f"`{name.removesuffix('_count').removesuffix('_bucket')}`" in told for name in read), read


def test_the_rollout_gives_the_analysis_each_argument_that_has_no_value():
    manifests = render("production", ("canary",))
    wanted = {one["name"] for one in of_kind(manifests, "AnalysisTemplate")["spec"]["args"] if "value" not in one}
    steps = of_kind(manifests, "Rollout")["spec"]["strategy"]["canary"]["steps"]
    (analysis,) = (step["analysis"] for step in steps if "analysis" in step)
    assert {one["name"] for one in analysis["args"]} == wanted
    assert analysis["templates"] == [{"templateName": of_kind(manifests, "AnalysisTemplate")["metadata"]["name"]}]


def test_silence_ends_no_rollout_and_passes_none(metrics):
    """With more than two unclear answers of five Argo stops and waits for a person."""
    for metric in metrics:
        assert metric["inconclusiveLimit"] < metric["count"] / 2
        assert _outcome(metric, -1) == "unclear"
