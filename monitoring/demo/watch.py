"""Prometheus with the shipped rules, Alertmanager with the shipped routes, both on the fast clock, and a receiver."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import yaml

from demo.clock import STEP, faster
from demo.processes import WAIT_SECONDS, await_event, free_port, process, program
from slipway.http import Service
from slipway.problem import SlipwayError

MONITORING = Path(__file__).parents[1]
LOCAL = "127.0.0.1"


class Notice(NamedTuple):
    """An alert as a receiver got it. status: firing or resolved."""

    receiver: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]


class Receiver:
    """A webhook for every receiver of Alertmanager; it remembers what came last of each alert."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, frozenset[tuple[str, str]]], Notice] = {}
        self._came = threading.Condition()
        outer = self

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer._take(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((LOCAL, 0), Hook)
        self.url = f"http://{LOCAL}:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _take(self, body: dict[str, Any]) -> None:
        with self._came:
            for alert in body["alerts"]:
                notice = Notice(body["receiver"], alert["status"], alert["labels"], alert["annotations"])
                self._latest[notice.receiver, frozenset(notice.labels.items())] = notice
            self._came.notify_all()

    def _firing(self, alert: str) -> Notice | None:
        of_it = (notice for notice in self._latest.values() if notice.labels["alertname"] == alert)
        return next((notice for notice in of_it if notice.status == "firing"), None)

    def wait_firing(self, alert: str) -> Notice:
        """Wait until an alert of this name fires. Raises SlipwayError if it does not."""
        with self._came:
            if notice := self._came.wait_for(lambda: self._firing(alert), WAIT_SECONDS):
                return notice
        raise SlipwayError(f"waited {WAIT_SECONDS} s in vain for {alert} to fire")

    def wait_resolved(self, alert: str) -> None:
        """Wait until no alert of this name fires any more. Raises SlipwayError if one goes on."""
        with self._came:
            if not self._came.wait_for(lambda: not self._firing(alert), WAIT_SECONDS):
                raise SlipwayError(f"waited {WAIT_SECONDS} s in vain for {alert} to be resolved")

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Watch:
    """What watches the service. url: of Prometheus. alertmanager: its URL. receiver: gets the alerts."""

    def __init__(self, url: str, alertmanager: str, receiver: Receiver) -> None:
        self.url, self.alertmanager, self.receiver = url, alertmanager, receiver

    def ask(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """Ask Prometheus; the elements of its answer, none while it is not there."""
        answer = Service(self.url).ask(f"/api/v1/{path}?{urlencode(parameters)}")
        if answer.status in (0, 503):
            return []
        if answer.status != 200:
            raise SlipwayError(f"Prometheus answers {answer.status} to {parameters}: {answer.content}")
        found: list[dict[str, Any]] = answer.content["data"]["result"]
        return found

    def value(self, expression: str) -> float | None:
        """Ask Prometheus for the first value of an expression, if it has any."""
        return next((float(item["value"][1]) for item in self.ask("query", query=expression)), None)

    def about_models(self) -> set[str]:
        """Ask Alertmanager for the alerts about a version of the model. Raises SlipwayError without an answer."""
        answer = Service(self.alertmanager).ask("/api/v2/alerts")
        if answer.status != 200:
            raise SlipwayError(f"Alertmanager answers {answer.status}: {answer.content}")
        return {alert["labels"]["alertname"] for alert in answer.content if "version" in alert["labels"]}


@contextlib.contextmanager
def watching(folder: Path, target: str) -> Iterator[Watch]:
    """Run all three for as long as the block. folder: for their files. target: host and port that are scraped."""
    receiver, ports = Receiver(), (free_port(), free_port())
    watch = Watch(*(f"http://{LOCAL}:{port}" for port in ports), receiver)
    prometheus, alertmanager = program("prometheus"), program("alertmanager", "prometheus-alertmanager")
    _configure(folder, target, f"{LOCAL}:{ports[1]}", receiver.url)
    with contextlib.ExitStack() as stack:
        stack.callback(receiver.close)
        command = [prometheus, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/prometheus"]
        command += [f"--web.listen-address={LOCAL}:{ports[0]}"]
        stack.enter_context(process(*command, log=folder / "prometheus.log"))
        await_event(lambda: watch.value('up{job="slipway"}'), "Prometheus to scrape the service")
        # Only now, as until the first scrape there is an alert that there is none.
        command = [alertmanager, f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/alertmanager"]
        command += [f"--web.listen-address={LOCAL}:{ports[1]}", "--cluster.listen-address="]
        stack.enter_context(process(*command, log=folder / "alertmanager.log"))
        await_event(lambda: Service(watch.alertmanager).ask("/api/v2/status").status == 200, "Alertmanager")
        yield watch


def _configure(folder: Path, target: str, alertmanager: str, hook: str) -> None:
    """Write the shipped configuration on the fast clock, with the addresses of this run."""
    config = yaml.safe_load((MONITORING / "prometheus/local.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": STEP, "evaluation_interval": STEP}
    config["scrape_configs"] = [{**config["scrape_configs"][0], "static_configs": [{"targets": [target]}]}]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
    (folder / "rules").mkdir()
    for path in (MONITORING / "prometheus/rules").glob("*.yml"):
        (folder / "rules" / path.name).write_text(faster(path.read_text("utf-8")), "utf-8")
    routes = yaml.safe_load(faster((MONITORING / "alertmanager/alertmanager.yml").read_text("utf-8")))
    for receiver in routes["receivers"]:
        for webhook in receiver.setdefault("webhook_configs", [{}]):
            webhook["url"] = hook
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(routes), "utf-8")
