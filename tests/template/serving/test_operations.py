"""Paths, keys, ports, settings, logs and traces."""

from __future__ import annotations

import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.running import Direct, Process, client, quiet, threaded
from slipway.problem import SlipwayError
from slipway.serving import Settings

DOCS = Path(__file__).parents[3] / "docs"


def test_methods_and_paths(direct: Direct) -> None:
    wrong = direct.ask("/predict", method="PUT")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
    assert direct.ask("/nothing").status == 404
    assert direct.ask("/healthz", method="HEAD").status == 200
    assert direct.ask("/../../etc/passwd").status == 404


def test_keys_are_asked_for_and_can_be_rotated(bundle: Path, tmp_path: Path, row: dict[str, Any]) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first-key\n\nsecond-key\n")
    app = quiet(bundle, api_keys_file=keys)
    with threaded(app) as url, client(url) as http:

        def status(path: str = "/predict", **headers: str) -> int:
            method = "POST" if path in ("/predict", "/explain") else "GET"
            return http.request(method, path, json=row, headers=headers).status_code

        assert [status(), status(authorization="Bearer x"), status(authorization="Basic Zmlyc3Qta2V5")] == [
            401,
            401,
            401,
        ]
        assert status(**{"x-api-key": ""}) == status("/explain") == 401
        assert [status(authorization="Bearer first-key"), status(**{"x-api-key": "second-key"})] == [200, 200]
        assert [status("/healthz"), status("/readyz"), status("/"), status("/metrics"), status("/model")] == [
            200,
            200,
            200,
            401,
            401,
        ]
        keys.write_text("third-key\n")
        app.keys._checked -= 10  # the file is due to be read again
        assert [status(authorization="Bearer first-key"), status(authorization="Bearer third-key")] == [401, 200]
        keys.write_text("")
        app.keys._checked -= 10
        assert [status(authorization="Bearer third-key"), status()] == [200, 401]  # never open by accident


def test_a_keys_file_that_is_missing_or_empty_is_refused_at_the_start(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="SLIPWAY_API_KEYS_FILE"):
        quiet(bundle, api_keys_file=tmp_path / "none")


def test_probes_and_metrics_on_a_port_of_their_own(bundle: Path, row: dict[str, Any]) -> None:
    with Process(bundle, ops_port=0) as process:
        process.wait("listening", 2)
        seen = []
        for port in process.ports:
            with client(f"http://127.0.0.1:{port}") as http:
                ready, metrics = http.get("/readyz").status_code, http.get("/metrics").status_code
                seen.append((ready, metrics, http.post("/predict", json=row).status_code))
        assert sorted(seen) == [(200, 200, 404), (404, 404, 200)]
        assert process.stop() == 0


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SLIPWAY_PROT": "1"}, "SLIPWAY_PROT: unknown; did you mean SLIPWAY_PORT?"),
        ({"SLIPWAY_PORT": "http"}, "SLIPWAY_PORT: .*it is 'http'"),
        ({"SLIPWAY_IN_FLIGHT": "0"}, "SLIPWAY_IN_FLIGHT: .*greater than"),
        ({"SLIPWAY_EXPECTED": "x"}, "SLIPWAY_EXPECTED"),
    ],
)
def test_wrong_settings_are_refused_by_name(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SlipwayError, match=message):
        Settings.from_environment(environment)


def test_a_wrong_feedback_key_is_not_shown() -> None:
    with pytest.raises(SlipwayError) as refused:
        Settings.from_environment({"SLIPWAY_FEEDBACK_KEY": "too-short"})
    assert "too-short" not in str(refused.value)


def test_docs_list_every_setting() -> None:
    text = (DOCS / "serving.md").read_text()
    assert set(re.findall(r"`(SLIPWAY_[A-Z_]+)`", text)) == {
        f"SLIPWAY_{name.upper()}" for name in Settings.model_fields
    }


def test_the_log_tells_of_requests_and_never_of_values(bundle: Path, row: dict[str, Any]) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with Process(bundle) as process, client(process.url) as http:
        answer = http.post("/predict", json={"rows": [row | {"site": "south"}] * 2}, headers={"traceparent": trace})
        http.get("/a-path-of-the-client")
        process.stop()
        first, second = process.events("request")
        assert (first["route"], first["status"], first["rows"], first["trace"]) == ("/predict", 200, 2, "a" * 32)
        assert first["request"] == answer.headers["x-request-id"]
        assert (second["route"], second["outcome"]) == ("unknown", "not-found")
        assert not any("south" in line or "a-path" in line for line in process.lines)
    with Process(bundle, log_values="true") as process, client(process.url) as http:
        http.post("/predict", json=row)
        process.stop()
        assert json.loads(process.events("request")[0]["body"]) == row


def test_a_full_disk_for_logs_does_not_stop_the_service(bundle: Path, row: dict[str, Any]) -> None:
    app = quiet(bundle)
    app.settings = app.settings.model_copy(update={"log_requests": True})
    app.log._descriptor = os.open("/dev/full", os.O_WRONLY)
    direct = Direct(app)
    assert [direct.ask("/predict", row).status for _ in range(3)] == [200, 200, 200]
    assert b"slipway_log_lines_dropped_total 0.0" not in direct.ask("/metrics").body
    direct.close()


def test_spans_reach_a_collector(bundle: Path, row: dict[str, Any]) -> None:
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.path.encode() + self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    collector = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    with Process(bundle, otlp_endpoint=f"http://127.0.0.1:{collector.server_port}") as process:
        trace = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
        httpx.post(f"{process.url}/predict", json=row, headers={"traceparent": trace})
        assert process.stop() == 0  # what is left is sent
    collector.shutdown()
    collector.server_close()
    sent = b"".join(received)
    assert sent.startswith(b"/v1/traces")
    assert b"/predict" in sent
    assert bytes.fromhex("ab" * 16) in sent
