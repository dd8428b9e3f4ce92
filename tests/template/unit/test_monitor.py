"""The findings, from a Prometheus whose answers are given; tests/template/ops asks a real one."""

import socket
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from answering import Answer, Asked, answering
from checkouts import run
from slipway import cli
from slipway.monitor import Finding, observe, query, tags
from slipway.problem import SlipwayError

VERSION = "0123456789ab"
DRIFTED = {"alertname": "SlipwayFeatureDriftLasting", "feature": "mass", "severity": "retrain"}


def recorded(level: str, quantity: str, value: float, **labels: str):
    return {"__name__": f"{level}:{quantity}24h", **labels}, value


def vectors():
    mass, predictions = "job_version_feature:slipway_feature_values", "job_version:slipway_predictions"
    return {
        "slipway_model_info": [({"version": VERSION}, 1)],
        "slipway:.+": [
            ({"__name__": "slipway:accuracy:threshold"}, 0.85),
            ({"__name__": "slipway:roc_auc:threshold"}, "NaN"),
        ],
        "job_version.*24h": [
            recorded(mass, "psi", 0.4, feature="mass"),
            recorded(mass, "psi_threshold", 0.25, feature="mass"),
            recorded(mass, "increase", 1000.2, feature="mass"),
            recorded(predictions, "psi", 0.1),
            recorded(predictions, "psi_threshold", 0.24),
            recorded(predictions, "increase", 1000),
            recorded("job_version:slipway_live_accuracy", "ratio", 0.95),
            recorded("job_version:slipway_feedback_judged", "increase", 100),
            recorded("job_version:slipway_expected_accuracy", "mean", 0.91),
            recorded("job_version:slipway_expected_accuracy", "lower", 0.88),
            recorded("job_version:slipway_expected_accuracy", "upper", 0.94),
            recorded("job_version:slipway_confidence_predictions", "increase", 1000),
            recorded("job_version:slipway_expected_roc_auc", "mean", 0.97),
            recorded("job_version:slipway_expected_roc_auc", "lower", 0.96),
            recorded("job_version:slipway_expected_roc_auc", "upper", 0.98),
        ],
    }


@dataclass
class Prometheus:
    """Answers each query with the vector of the first word that it holds. asked: queries, each with its token."""

    url: str = ""
    vectors: dict = field(default_factory=vectors)
    asked: list = field(default_factory=list)

    def answer(self, asked: Asked) -> Answer:
        expression = parse_qs(urlsplit(asked.path).query)["query"][0]
        self.asked.append((expression, asked.headers["authorization"]))
        found = next((vector for word, vector in self.vectors.items() if word in expression), [])
        result = [{"metric": labels, "value": [0, str(value)]} for labels, value in found]
        content = {"status": "success", "data": {"resultType": "vector", "result": result}}
        return Answer(200 if self.vectors else 400, content)


@pytest.fixture
def server():
    """A server with given answers; `vectors` may be changed."""
    made = Prometheus()
    with answering(made.answer) as made.url:
        yield made


def found(server) -> tuple[list[Finding], list[str]]:
    return observe(server.url, 'job="slipway"', VERSION)


def test_what_prometheus_recorded_is_found_with_its_thresholds(server):
    assert found(server)[0] == [
        Finding("drift of mass", 0.4, 0.25, 1000),
        Finding("drift of the predictions", 0.1, 0.24, 1000),
        Finding("accuracy", 0.95, 0.85, 100),
        Finding("expected accuracy", 0.91, 0.85, 1000, (0.88, 0.94)),
        Finding("expected roc_auc", 0.97, None, 1000, (0.96, 0.98)),
    ]


def test_what_is_not_recorded_yet_is_left_out(server):
    server.vectors["job_version.*24h"] = []
    assert found(server) == ([], [])


def test_a_measurement_without_a_threshold_or_rows_says_so(server):
    del server.vectors["job_version.*24h"][1:3]
    assert found(server)[0][0] == Finding("drift of mass", 0.4, None, 0)


def test_a_firing_alert_is_named_once_for_all_namespaces_and_with_its_feature_if_it_has_one(server):
    server.vectors["ALERTS"] = [({**DRIFTED, "namespace": name}, 1) for name in ("staging", "production")]
    server.vectors["ALERTS"].append(({"alertname": "SlipwayModelOld"}, 1))
    assert found(server)[1] == ["SlipwayFeatureDriftLasting mass", "SlipwayModelOld"]


def test_only_alerts_of_the_service_and_the_version_that_ask_for_retraining_count(server):
    found(server)
    (asked,) = [expression for expression, _ in server.asked if "ALERTS" in expression]
    wanted = ('severity="retrain"', 'alertstate="firing"', 'job="slipway"', f'version=~"|{VERSION}"')
    assert all(matcher in asked for matcher in wanted)


def test_a_version_that_does_not_serve_is_not_judged(server):
    for serving, said in ((["f" * 12, "a" * 12], "aaaaaaaaaaaa, ffffffffffff"), ([], "none")):
        server.vectors["slipway_model_info"] = [({"version": version}, 1) for version in serving]
        with pytest.raises(SlipwayError, match=f"does not see the champion {VERSION} serve with .*, but {said}$"):
            found(server)


def test_a_server_without_the_rules_is_no_answer(server):
    del server.vectors["slipway:.+"]
    with pytest.raises(SlipwayError, match="does not evaluate the rules of monitoring/prometheus/rules"):
        found(server)


def test_a_token_goes_along(server, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_TOKEN", "secret")
    found(server)
    assert {authorization for _, authorization in server.asked} == {"Bearer secret"}


def test_a_server_that_does_not_answer_is_named(server):
    server.vectors = {}
    with pytest.raises(SlipwayError, match=f"Prometheus at {server.url} answers 400"):
        found(server)
    with pytest.raises(SlipwayError, match="does not answer"):
        query("http://127.0.0.1:9", "up")
    with pytest.raises(SlipwayError, match="not the URL"):
        query("file:///etc/passwd", "up")


def test_a_server_that_accepts_and_says_nothing_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr("slipway.monitor.TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(SlipwayError, match=f"Prometheus at http://127.0.0.1:{port} does not answer: .*timed out"):
            query(f"http://127.0.0.1:{port}", "up")


def test_the_findings_become_tags():
    findings = [
        Finding("drift of bill length (mm)", 0.31234, 0.25, 1000),
        Finding("drift of the predictions", 0.1, None, 7),
        Finding("accuracy", 0.9, None, 60),
    ]
    written = tags(findings, ["SlipwayFeatureDriftLasting bill length (mm)", "SlipwayModelOld"])
    assert datetime.fromisoformat(written.pop("slipway.live.time")).utcoffset() == timedelta(0)
    assert written == {
        "slipway.live.retrain": "true",
        "slipway.live.alerts": "SlipwayFeatureDriftLasting bill length (mm), SlipwayModelOld",
        "slipway.live.drift.bill_length__mm_": "0.3123",
        "slipway.live.drift.bill_length__mm_.rows": "1000",
        "slipway.live.drift.predictions": "0.1",
        "slipway.live.drift.predictions.rows": "7",
        "slipway.live.accuracy": "0.9",
        "slipway.live.accuracy.rows": "60",
    }


@pytest.fixture
def command(server, tmp_path, monkeypatch):
    """The command, in a project whose champion is the version that serves."""
    digest = VERSION + "0" * 52
    meta = f"meta: {{digest: '{digest}', action: promote, verdict: PROMOTE, reason: r, who: w}}\n"
    (tmp_path / "champion.dvc").write_text(meta)
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, "git", "add", ".")
    run(tmp_path, "git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-qm", "Release")
    from slipway import tracking

    recorded = []
    monkeypatch.setattr(tracking, "update_version", lambda _, digest, *, tags: recorded.append((digest, tags)))

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
    assert "MLflow does not know this bundle" in done.stderr


def test_what_is_expected_is_shown_with_its_band_or_said_not_to_be_available(command, server):
    shown = command().output
    assert "0.910 (0.880 to 0.940)" in shown
    assert "0.970 (0.960 to 0.980)" in shown
    assert "No expected" not in shown
    recorded = server.vectors["job_version.*24h"]
    recorded[:] = [one for one in recorded if "roc_auc" not in one[0]["__name__"]]
    assert "No expected roc_auc: it needs two classes" in command().output
    recorded[:] = [one for one in recorded if "expected" not in one[0]["__name__"]]
    assert "No expected accuracy: it needs a classification" in command().output


def test_a_gate_without_a_threshold_for_it_gives_the_expected_roc_auc_none(server):
    assert found(server)[0][-1].threshold is None
    server.vectors["slipway:.+"][-1] = ({"__name__": "slipway:roc_auc:threshold"}, 0.9)
    assert found(server)[0][-1].threshold == 0.9


def test_the_exit_status_is_3_when_retraining_is_due(command, server):
    server.vectors["ALERTS"] = [(DRIFTED, 1)]
    done = command("--no-track")
    assert done.exit_code == 3
    assert "Retraining is due: SlipwayFeatureDriftLasting mass" in done.output
    assert "drift of mass" in done.output
    assert command.recorded == []


def test_the_exit_status_is_1_when_it_cannot_be_told(command):
    done = command("--prometheus", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "does not answer" in done.stderr
