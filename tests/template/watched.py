"""Replicas that export what a server exports, and a real Prometheus that scrapes them by the project's own files."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from demo.processes import await_event, free_port, metrics_server, process
from slipway.contract import Contract
from slipway.model.predictor import Predictions
from slipway.model.reference import CONFIDENCE_BINS, POSITIVE_BINS, bins_of, describe, shares
from slipway.serving.differences import SLICED
from slipway.serving.expected import Expected
from slipway.serving.families import Histogram, counter, histograms
from slipway.serving.metrics import Metrics, ModelMetrics

MONITORING = Path(__file__).parents[2] / "monitoring"
RULES = sorted((MONITORING / "prometheus" / "rules").glob("*.yml"))
VERSION = "0123456789ab"
CLASSES = ("X", "Y", "Z")
# Accuracy by confidence and share of the second class by its probability, with deviations, as of a test set.
CONFIDENCE = {name: (0.45 + 0.07 * number, 0.06 - 0.007 * number) for number, name in enumerate(CONFIDENCE_BINS)}
POSITIVES = {name: (0.03 + 0.055 * number, 0.05) for number, name in enumerate(POSITIVE_BINS)}
STREAMS = 4  # each of other sizes and shifts


def tool(name: str) -> str:
    """Find a tool, or skip the test."""
    found = shutil.which(name)
    if not found:
        pytest.skip(f"needs {name} (Debian: prometheus, prometheus-alertmanager)")
    return found


def rules() -> list[dict[str, Any]]:
    """All rules of all groups."""
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def recorded() -> dict[str, str]:
    """The expression of each recording rule."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def expanded(expression: str) -> str:
    """Put the rules' expressions in the place of the series that they record, so that raw series are all it reads."""
    known = recorded()
    return re.sub(r"[a-z_]+:\w+:\w+", lambda name: f"({expanded(known[name[0]])})", expression)


@functools.cache
def number(name: str) -> float:
    """Read a number of thresholds.yml."""
    return float(re.fullmatch(r"vector\((.+)\)", recorded()[name].split("#")[0].strip())[1])  # type: ignore[index]


def psi_threshold(bins: int, live: float, trained: float) -> float:
    """Compute the threshold of the rules, for so many bins, live rows and training rows."""
    degrees = max(bins - 1, 1)
    spread = 2 / (9 * degrees)
    quantile = degrees * (1 - spread + number("slipway:psi_chance:z") * math.sqrt(spread)) ** 3
    return number("slipway:psi:base") + quantile * (1 / live + 1 / trained)


def expected_accuracy(counts: Any, accuracies: Any, deviations: Any) -> tuple[float, float, float]:
    """Compute what the rules do of live counts by confidence: expected accuracy, and the ends of its band."""
    counts, accuracies, deviations = np.array(counts), np.array(accuracies), np.array(deviations)
    parts = counts / counts.sum()
    mean = (parts * accuracies).sum()
    chance = (parts * accuracies * (1 - accuracies)).sum() / counts.sum()
    half = number("slipway:accuracy_interval:z") * math.sqrt(((parts * deviations) ** 2).sum() + chance)
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)


def expected_roc_auc(counts: Any, shares: Any, deviations: Any) -> tuple[float, float, float]:
    """Compute what the rules do of live counts by the second class's probability: expected roc_auc, and its band."""
    counts, shares, deviations = np.array(counts), np.array(shares), np.array(deviations)
    positives, negatives = counts * shares, counts * (1 - shares)
    pairs = positives.sum() * negatives.sum()
    better = np.tril(np.ones((len(counts), len(counts))), -1) + np.eye(len(counts)) / 2  # of bins, row over column
    mean = positives @ better @ negatives / pairs
    slopes = (better @ negatives - positives @ better - mean * (negatives.sum() - positives.sum())) / pairs
    variances = (counts * deviations) ** 2 + counts * shares * (1 - shares)
    half = number("slipway:accuracy_interval:z") * math.sqrt((slopes**2 * variances).sum())
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)


class Row(BaseModel):
    """Numbers with ties, missing values and long tails."""

    plain: float
    ties: int
    tail: float | None = None
    flag: bool


def arrays(random: np.random.Generator, rows: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    """Draw rows; `shift` moves features away from where they are in training, the plain one but little."""
    tail = random.lognormal(shift, 1, rows)
    tail[random.random(rows) < 0.05 + 0.2 * shift] = np.nan
    return {
        "plain": random.normal(shift / 8, 1, rows),
        "ties": random.integers(0, 4 + round(5 * shift), rows).astype(float),
        "tail": tail,
        "flag": (random.random(rows) < 0.3 + 0.4 * shift).astype(float),
    }


def predictions(random: np.random.Generator, rows: int, shift: float = 0.0) -> Predictions:
    """Draw as many predictions."""
    probabilities = random.dirichlet((3 + 5 * shift, 2, 1), rows)
    return Predictions(probabilities.argmax(axis=1), probabilities, CLASSES)


class Replica:
    """A server's telemetry at a port of its own."""

    def __init__(self, described: dict[str, Any]) -> None:
        manifest = SimpleNamespace(name="made-up", kind="classification", runtime="onnx", data="d" * 64)
        bundle = SimpleNamespace(reference=described, manifest=manifest)
        contract = Contract.from_model(Row)
        predictor: Any = SimpleNamespace(bundle=bundle, contract=contract, version=VERSION, classes=CLASSES)
        self.metrics = Metrics()
        released = datetime.now(UTC) - timedelta(days=1)
        expected = Expected(CONFIDENCE, POSITIVES)
        self.model = ModelMetrics(predictor, commit="c" * 40, released=released, expected=expected)
        self.metrics.ready = True
        self.rows = 0
        self.metrics.parts = [self.model, SimpleNamespace(collect=self._beside)]
        self._server = contextlib.ExitStack()
        self.address = self._server.enter_context(metrics_server(self.metrics.exposition))

    def serve(self, random: np.random.Generator, rows: int, shift: float) -> dict[str, np.ndarray]:
        """Do as if rows had been asked about; some requests fail, are slow or are refused, some get feedback."""
        drawn = arrays(random, rows, shift)
        self.rows += rows
        self.model.observe(drawn, predictions(random, rows, shift))
        for number in range(rows // 20):
            self.metrics.request("/predict", 503 if number % 25 == 24 else 200, 0.3 if number % 10 == 0 else 0.002)
        for errors in ([{"field": "ties", "rule": "literal_error"}], [{"field": "plain", "rule": "less_than"}]):
            self.model.refused(errors)
        self.model.feedback["correct"] += rows // 10
        self.model.feedback["incorrect"] += rows // 100
        return drawn

    def _beside(self) -> Iterator[Any]:
        """What is exported for kept predictions and a shadow."""
        rows, of = self.rows, ("version", "shadow")
        yield counter(
            "slipway_kept_rows",
            "",
            {("predictions", "written"): rows, ("predictions", "dropped"): 0},
            "kind",
            "outcome",
        )
        answers = {(CLASSES[0], "true", VERSION, "f" * 12): rows, (CLASSES[0], "false", VERSION, "f" * 12): rows // 10}
        yield counter("slipway_shadow_answers", "", answers, "outcome", "agrees", *of)
        for what in SLICED:
            found = {("ties", "a", VERSION, "f" * 12): rows}
            yield counter(f"slipway_shadow_slice_{what}", "", found, "feature", "bin", *of)
        yield counter("slipway_shadow_missed", "", {("skipped", VERSION, "f" * 12): rows}, "reason", *of)
        distance = Histogram((0.1, 1.0))
        distance.add_all(np.full(rows, 0.05))
        for name in ("slipway_shadow_distance", "slipway_shadow_duration_seconds"):
            yield histograms(name, "", {(VERSION, "f" * 12): distance}, *of)

    def close(self) -> None:
        self._server.close()


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: Any) -> Any:
        """Ask its API; None while it is not there."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return None
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None
        except OSError:
            return None

    def query(self, expression: str, **parameters: Any) -> dict[tuple[tuple[str, str], ...], float]:
        """Ask for a vector: values by sorted labels."""
        found = self.get("query", query=expression, **parameters)
        return {tuple(sorted(item["metric"].items())): float(item["value"][1]) for item in found["result"]}

    def after(self, rest: float, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Ask for a vector a minute after the last scrape that counts: all that is extrapolated is half an interval.

        A gauge has no value for a moment after a scrape that took too long; so ask until there is one.
        """
        found: dict[tuple[tuple[str, str], ...], float] = await_event(
            lambda: self.query(expression, time=rest + 60), expression
        )
        return found

    def value(self, expression: str, **parameters: Any) -> float | None:
        """Ask for the one value that there is, if any."""
        return next(iter(self.query(expression, **parameters).values()), None)


@contextlib.contextmanager
def prometheus(folder: Path, replicas: list[Replica]) -> Iterator[Prometheus]:
    """Run Prometheus by the project's configuration and rules, with every interval a quarter of a second."""
    program, port = tool("prometheus"), free_port()
    config = yaml.safe_load((MONITORING / "prometheus" / "local.yml").read_text())
    config["global"] = {"scrape_interval": "250ms", "evaluation_interval": "250ms"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [replica.address for replica in replicas]
    del config["scrape_configs"][1:], config["alerting"]
    (folder / "rules").mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    for path in RULES:
        text = re.sub(r"    interval: \w+\n", "", path.read_text()).replace("[30d:5m]", "[2m:1s]")
        (folder / "rules" / path.name).write_text(re.sub(r"for: \d+[mh]", "for: 0s", text))
    command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with process(*command, f"--web.listen-address=127.0.0.1:{port}", log=folder / "log.txt"):
        running = Prometheus(f"http://127.0.0.1:{port}")
        seen = f"count(slipway_ready == 1) == {len(replicas)}"
        await_event(lambda: running.get("status/buildinfo") and running.query(seen), "Prometheus to scrape")
        yield running


def described(random: np.random.Generator, rows: int = 300) -> dict[str, Any]:
    """Describe made-up training rows as a bundle does."""
    drawn = predictions(random, rows)
    counts = np.bincount(drawn.values, minlength=len(CLASSES))
    confidence = {"labels": [], "edges": [], "shares": []}
    labels = {"labels": dict(zip(CLASSES, shares(counts), strict=True)), "confidence": confidence}
    return {
        "rows": rows,
        "features": describe(Contract.from_model(Row), arrays(random, rows)),
        "predictions": labels,
    }


class Seen(NamedTuple):
    """A Prometheus after traffic: the reference, the counts of both replicas by feature, and the last scrape's time."""

    server: Prometheus
    reference: dict[str, Any]
    counts: dict[str, np.ndarray]
    rest: float


@contextlib.contextmanager
def streams(folder: Path) -> Iterator[Seen]:
    """Send random streams through two replicas, each drifting in another way, and wait until Prometheus knows all."""
    random = np.random.default_rng(20261124)
    about = described(random)
    bins = bins_of(about)
    counts = {name: np.zeros(len(bins[name].labels), np.int64) for name in bins}
    replicas = [Replica(about), Replica(about)]
    try:
        with prometheus(folder, replicas) as server:
            for stream in range(STREAMS):
                for replica, shift in zip(replicas, random.permutation((0.1, 2.0)), strict=True):
                    for name, values in replica.serve(random, int(random.integers(500, 900)), shift).items():
                        counts[name] += bins[name].count(values)
                total = 'sum(slipway_feature_values_total{feature="plain"}) == ' + str(counts["plain"].sum())
                await_event(lambda total=total: server.query(total), f"stream {stream}")
            rest = server.value("max(timestamp(slipway_ready))") or 0
            for window in ("1h", "24h"):  # each is a group of rules, with a rhythm of its own
                last = f"min(timestamp(job_version:slipway_predictions:psi_threshold{window}))"
                await_event(lambda last=last: (server.value(last) or 0) > rest, f"the rules of {window}")
            yield Seen(server, about, counts, rest)
    finally:
        for replica in replicas:
            replica.close()
