"""The findings, from a Prometheus whose answers are given; tests/template/ops asks a real one."""

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from click.testing import CliRunner

from slipway import cli, monitor
from slipway.model.reference import population_stability_index
from slipway.monitor import Finding, Prometheus, observe, psi_limit, retraining_due, tags, upper_accuracy
from slipway.problem import SlipwayError

VERSION = "0123456789ab"


class Fake(BaseHTTPRequestHandler):
    """Answers each query with the vector of the first metric that it names."""

    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        self.server.asked.append((query, self.headers["authorization"]))
        found = next((vector for name, vector in self.server.vectors.items() if name in query), [])
        result = [{"metric": labels, "value": [0, str(value)]} for labels, value in found]
        status = 200 if self.server.vectors else 400
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def vectors(low=500, high=500, correct=95, incorrect=5):
    return {
        "slipway_model_info": [({"version": VERSION}, 1)],
        "slipway_reference_rows": [({}, 250)],
        "slipway_feature_reference_share": [({"feature": "mass", "bin": b}, 0.5) for b in ("low", "high")],
        "slipway_feature_values_total": [
            ({"feature": "mass", "bin": "low"}, low),
            ({"feature": "mass", "bin": "high"}, high),
            ({"feature": "mass", "bin": "a bin of the model before"}, 900),
        ],
        "slipway_prediction_reference_share": [({"outcome": o}, 0.5) for o in "XY"],
        "slipway_predictions_total": [({"outcome": o}, 500) for o in "XY"],
        "slipway_feedback_total": [({"outcome": "correct"}, correct), ({"outcome": "incorrect"}, incorrect)],
    }


@pytest.fixture
def server():
    """A server with given answers; `vectors` may be changed."""
    made = HTTPServer(("127.0.0.1", 0), Fake)
    made.vectors, made.asked = vectors(), []
    made.url = f"http://127.0.0.1:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def found(server, threshold: float | None = 0.85) -> dict[str, Finding]:
    prometheus = Prometheus(server.url, 'job="slipway"', VERSION)
    return {finding.what: finding for finding in observe(prometheus, VERSION, "24h", threshold)}


def test_nothing_is_due_when_all_is_like_the_training_rows(server):
    findings = found(server)
    assert {name: finding.outcome for name, finding in findings.items()} == {
        "drift of mass": "pass",
        "drift of the predictions": "pass",
        "accuracy": "pass",
    }
    assert findings["drift of mass"].value == 0
    assert findings["drift of mass"].rows == 1000
    assert not retraining_due(list(findings.values()))


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"low": 900, "high": 100}, "drift of mass"), ({"correct": 70, "incorrect": 30}, "accuracy")],
)
def test_drift_or_low_accuracy_makes_retraining_due(server, changes, what):
    server.vectors = vectors(**changes)
    findings = found(server)
    assert [name for name, finding in findings.items() if finding.outcome == "fail"] == [what]
    assert retraining_due(list(findings.values()))


def test_predictions_that_drift_make_retraining_due(server):
    server.vectors["slipway_predictions_total"] = [({"outcome": "X"}, 990), ({"outcome": "Y"}, 10)]
    assert found(server)["drift of the predictions"].outcome == "fail"


@pytest.mark.parametrize("changes", [{"low": 150, "high": 0}, {"correct": 0, "incorrect": 40}, {"low": 0, "high": 0}])
def test_too_little_to_go_by_proves_nothing(server, changes):
    server.vectors = vectors(**changes)
    findings = found(server)
    assert "hold" in {finding.outcome for finding in findings.values()}
    assert not retraining_due(list(findings.values()))


def test_accuracy_that_may_still_be_at_the_floor_is_no_reason(server):
    server.vectors = vectors(correct=82, incorrect=18)
    assert found(server)["accuracy"].outcome == "pass"


def test_without_a_floor_accuracy_is_not_judged(server):
    assert "accuracy" not in found(server, threshold=None)


def test_a_version_that_does_not_serve_is_not_judged(server):
    server.vectors["slipway_model_info"] = [({"version": "ffffffffffff"}, 1)]
    with pytest.raises(SlipwayError, match=f"does not see the champion {VERSION} serve.*ffffffffffff"):
        found(server)


def test_a_token_goes_along(server, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_TOKEN", "secret")
    found(server)
    assert {authorization for _, authorization in server.asked} == {"Bearer secret"}


def test_who_does_not_answer_is_named(server):
    server.vectors = {}
    with pytest.raises(SlipwayError, match=f"Prometheus at {server.url}: HTTP Error 400"):
        found(server)
    with pytest.raises(SlipwayError, match="does not answer"):
        Prometheus("http://127.0.0.1:9", "", VERSION).query("up")
    with pytest.raises(SlipwayError, match="not the URL"):
        Prometheus("file:///etc/passwd", "", VERSION)


def test_a_window_is_a_duration(server):
    with pytest.raises(SlipwayError, match="not a window"):
        observe(Prometheus(server.url, "", VERSION), VERSION, "24h]) or vector(1", None)


@pytest.mark.parametrize(("bins", "rows"), [(2, 200), (3, 1000), (5, 300), (11, 200), (11, 5000)])
def test_chance_alone_stays_under_the_limit_without_the_base(bins, rows):
    """In simulated windows without drift, PSI is over the chance part of the limit about once in a thousand."""
    random = np.random.default_rng(bins * rows)
    trained, repeats = 250, 20_000
    truth = np.arange(1, bins + 1) + bins
    truth = truth / truth.sum()
    expected = random.multinomial(trained, truth, repeats) / trained
    actual = random.multinomial(rows, truth, repeats) / rows
    psi = np.array([population_stability_index(e, a) for e, a in zip(expected, actual, strict=True)])
    chance = psi_limit(bins, rows, trained) - monitor.PSI_BASE
    assert 0.0002 < (psi > chance).mean() < 0.004
    assert psi.mean() == pytest.approx((bins - 1) * (1 / rows + 1 / trained), rel=0.08)


def test_bins_that_training_rows_left_empty_raise_no_alarm():
    """A rare value that 250 training rows happened not to have costs little beside the base."""
    random = np.random.default_rng(0)
    truth = np.array([0.6, 0.39, 0.01])
    expected = random.multinomial(250, truth, 5000) / 250
    for rows in (200, 1000, 50_000):
        actual = random.multinomial(rows, truth, 5000) / rows
        psi = np.array([population_stability_index(e, a) for e, a in zip(expected, actual, strict=True)])
        assert (psi > psi_limit(3, rows, 250)).mean() < 0.001


def test_the_limit_is_the_chi_square_quantile():
    from scipy.stats import chi2

    for bins in range(2, 40):
        chance = psi_limit(bins, 2, 2) - monitor.PSI_BASE
        assert chance == pytest.approx(chi2.ppf(0.999, bins - 1), rel=0.035)


def test_the_upper_accuracy_is_wilsons():
    from scipy.stats import binomtest

    for correct, judged in ((50, 50), (0, 60), (83, 100), (700, 1000)):
        high = binomtest(correct, judged).proportion_ci(0.95, method="wilson").high
        assert upper_accuracy(correct, judged) == pytest.approx(high, abs=1e-4)


def test_the_findings_become_tags():
    findings = [
        Finding("drift of bill length (mm)", 0.31234, 0.25, 1000, "fail"),
        Finding("drift of the predictions", math.nan, math.nan, 0, "hold"),
        Finding("accuracy", 0.9, 0.85, 60, "pass"),
    ]
    written = tags(findings, "24h")
    assert written.pop("slipway.live.window").startswith("24h to 20")
    assert written == {
        "slipway.live.retrain": "true",
        "slipway.live.drift.bill_length__mm_": "0.3123",
        "slipway.live.drift.bill_length__mm_.outcome": "fail",
        "slipway.live.drift.bill_length__mm_.rows": "1000",
        "slipway.live.drift.predictions": "nan",
        "slipway.live.drift.predictions.outcome": "hold",
        "slipway.live.drift.predictions.rows": "0",
        "slipway.live.accuracy": "0.9",
        "slipway.live.accuracy.outcome": "pass",
        "slipway.live.accuracy.rows": "60",
    }


@pytest.fixture
def command(server, tmp_path, monkeypatch):
    """The command, in a project whose champion is the version that serves."""
    digest = VERSION + "0" * 52
    meta = f"meta: {{digest: '{digest}', action: promote, verdict: PROMOTE, reason: r, who: w}}\n"
    (tmp_path / "champion.dvc").write_text(meta)
    from slipway import tracking, workspace

    recorded = []
    monkeypatch.setattr(tracking, "set_tags", lambda workspace, *given: recorded.append(given), raising=False)
    thresholds = type("Floors", (), {"gate": type("Gate", (), {"thresholds": {"accuracy": 0.85}})})
    monkeypatch.setattr(workspace.Workspace, "params", thresholds)

    def call(*arguments):
        line = ["--root", str(tmp_path), "monitor", "--prometheus", server.url, *arguments]
        return CliRunner().invoke(cli.main, line)

    call.recorded, call.digest = recorded, digest
    return call


def test_the_exit_status_is_0_when_nothing_is_due(command):
    done = command()
    assert (done.exit_code, "not due" in done.output) == (0, True), done.output
    (digest, written) = command.recorded[0]
    assert digest == command.digest
    assert written["slipway.live.retrain"] == "false"
    assert "MLflow does not know the champion" in done.stderr


def test_the_exit_status_is_3_when_retraining_is_due(command, server):
    server.vectors = vectors(low=900, high=100)
    done = command("--no-track")
    assert done.exit_code == 3
    assert "drift of mass" in done.output
    assert command.recorded == []


def test_the_exit_status_is_1_when_it_cannot_be_told(command):
    done = command("--prometheus", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "does not answer" in done.stderr
