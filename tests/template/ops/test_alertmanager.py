"""Pages, tickets and requests to retrain go three ways, by amtool's reading and through a running Alertmanager."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from demo.processes import WAIT_SECONDS, await_event, free_port, process
from watched import MONITORING, rules, tool

CONFIG = MONITORING / "alertmanager" / "alertmanager.yml"
RECEIVERS = {"page": "pages", "ticket": "tickets", "retrain": "retrain"}


def amtool(*arguments: str) -> str:
    done = subprocess.run([tool("amtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_accepts_the_configuration():
    assert "SUCCESS" in amtool("check-config", str(CONFIG))


@pytest.mark.parametrize("name", [rule["alert"] for rule in rules() if "alert" in rule])
def test_each_alert_goes_where_its_severity_says(name):
    severity = next(rule["labels"]["severity"] for rule in rules() if rule.get("alert") == name)
    route = ["config", "routes", "test", f"--config.file={CONFIG}", f"alertname={name}", f"severity={severity}"]
    assert amtool(*route).split() == [RECEIVERS[severity]]


def test_an_alert_without_a_known_severity_is_not_lost():
    assert amtool("config", "routes", "test", f"--config.file={CONFIG}", "alertname=Other").split() == ["tickets"]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A running Alertmanager, its URL, and what its receivers get: (receiver, names of the alerts)."""
    program, got = tool("prometheus-alertmanager"), queue.Queue()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            got.put((self.path.strip("/"), {alert["labels"]["alertname"] for alert in body["alerts"]}))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    hook = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    config = yaml.safe_load(re.sub(r"group_wait: \w+", "group_wait: 100ms", CONFIG.read_text()))
    assert [r["webhook_configs"][0]["url"] for r in config["receivers"] if r["name"] == "retrain"] == [
        "http://retrain:9095/"
    ]
    for receiver in config["receivers"]:  # pages and tickets have no way of their own yet
        receiver["webhook_configs"] = [{"url": f"http://127.0.0.1:{hook.server_port}/{receiver['name']}"}]
    folder, port = tmp_path_factory.mktemp("alertmanager"), free_port()
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    command = [program, f"--config.file={folder}/config.yml", f"--storage.path={folder}", "--cluster.listen-address="]
    with process(*command, f"--web.listen-address=127.0.0.1:{port}", log=folder / "log.txt"):
        url = f"http://127.0.0.1:{port}"
        await_event(lambda: alerts(url) is not None, "Alertmanager")
        yield url, got
    hook.shutdown()
    hook.server_close()


def alerts(url):
    try:
        with urllib.request.urlopen(f"{url}/api/v2/alerts") as response:
            return {alert["labels"]["alertname"]: alert["status"] for alert in json.load(response)}
    except OSError:
        return None


def fire(url, name, severity, **labels):
    pairs = [f"{key}={value}" for key, value in {"severity": severity, "job": "slipway", **labels}.items()]
    amtool("alert", "add", f"--alertmanager.url={url}", f"alertname={name}", *pairs)


def test_each_receiver_gets_its_own(running):
    url, got = running
    fire(url, "SlipwayLatencyBudgetBurnFast", "page")
    fire(url, "SlipwayFeatureDrift", "ticket", feature="mass")
    fire(url, "SlipwayFeatureDriftLasting", "retrain", feature="mass")
    assert dict(got.get(timeout=WAIT_SECONDS) for _ in range(3)) == {
        "pages": {"SlipwayLatencyBudgetBurnFast"},
        "tickets": {"SlipwayFeatureDrift"},
        "retrain": {"SlipwayFeatureDriftLasting"},
    }


def test_when_nothing_answers_only_that_is_told(running):
    url, got = running
    fire(url, "SlipwayDown", "page", namespace="production")
    assert got.get(timeout=WAIT_SECONDS) == ("pages", {"SlipwayDown"})
    fire(url, "SlipwayPredictionDrift", "ticket", namespace="production")
    fire(url, "SlipwayUnseenCategories", "ticket", namespace="staging")
    assert got.get(timeout=WAIT_SECONDS) == ("tickets", {"SlipwayUnseenCategories"})
    assert await_event(lambda: alerts(url)["SlipwayPredictionDrift"]["inhibitedBy"], "the alert to be held back")
