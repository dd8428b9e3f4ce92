"""The service: `slipway serve` in a process, and the next process that takes over from it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from demo.processes import await_event, bare_environment, free_port, metrics_server, process
from slipway.client import Client, Prediction
from slipway.http import Service as Address
from slipway.problem import SlipwayError

KEY = "the demo's own key"  # signs the ids of predictions, so that each process takes feedback to those of the last


class Service:
    """The champion of a checkout behind one address, as a cluster's Service is; which process answers can change.

    scraped: host and port at which the present process's metrics are.
    """

    def __init__(self, checkout: Path, folder: Path, kept: Path) -> None:
        """folder: for logs. kept: for predictions."""
        self._checkout, self._folder, self.kept = checkout, folder, kept
        self._lock = threading.Lock()
        self._started = 0
        self._present = contextlib.ExitStack()
        self._answered = 0  # rows, by the present process
        self.url = ""
        self._server = contextlib.ExitStack()
        self.scraped = self._server.enter_context(metrics_server(lambda _: self._metrics()))

    def roll_over(self, **settings: Any) -> None:
        """Start a process with the present champion; once it is ready it takes over, and the one before it ends.

        settings: of the service (SLIPWAY_*).
        """
        self._started += 1
        port = free_port()
        url, log = f"http://127.0.0.1:{port}", self._folder / f"service-{self._started}.log"
        settings |= {"predictions": self.kept, "predictions_seconds": 1, "feedback_key": KEY, "log_requests": False}
        environment = bare_environment() | {f"SLIPWAY_{name.upper()}": str(value) for name, value in settings.items()}
        command = ("slipway", "serve", "--port", str(port))
        with contextlib.ExitStack() as starting:
            running = starting.enter_context(process(*command, log=log, cwd=self._checkout, env=environment))

            def ready() -> bool:
                if running.poll() is not None:
                    raise SlipwayError(f"the service ended:\n{log.read_text()}")
                return Address(url).ask("/readyz").status == 200

            await_event(ready, "the service")
            client = starting.enter_context(Client(url))
            with self._lock:
                before, self._present, self._answered = self._present, starting.pop_all(), 0
                self._client, self.url = client, url
        before.close()

    def predict(self, rows: list[dict[str, Any]]) -> list[Prediction]:
        """Ask the present process. Raises what `Client.predict_rows` does."""
        with self._lock:
            answers = self._client.predict_rows(rows)
            self._answered += len(rows)
            return answers

    def feedback(self, prediction: str, truth: str) -> str:
        """Tell the present process what was true. Raises what `Client.feedback` does."""
        with self._lock:
            return self._client.feedback(prediction, truth)

    def await_kept(self) -> None:
        """Wait until all that the present process has answered is written where predictions are kept."""
        answered = self._answered
        await_event(lambda: self._written() >= answered, "the predictions to be kept")

    def _written(self) -> float:
        families = text_string_to_metric_families(self._metrics()[0].decode())
        samples = (sample for family in families if family.name == "slipway_kept_rows" for sample in family.samples)
        return sum(s.value for s in samples if s.labels == {"kind": "predictions", "outcome": "written"})

    def _metrics(self) -> tuple[bytes, str]:
        """Read the present process's metrics, and their media type."""
        with urlopen(f"{self.url}/metrics") as answer:  # noqa: S310
            return answer.read(), answer.headers["content-type"]

    def close(self) -> None:
        """End the process."""
        self._present.close()
        self._server.close()
