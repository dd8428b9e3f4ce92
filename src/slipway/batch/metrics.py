"""Facts of the last run for Prometheus: a file for node_exporter's textfile collector, or pushed to a Pushgateway."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit

from prometheus_client import CollectorRegistry, Gauge, push_to_gateway, write_to_textfile
from prometheus_client.exposition import basic_auth_handler

from slipway.batch.summary import Summary
from slipway.problem import SlipwayError

# By name: what it says, and its value for a run.
FACTS: dict[str, tuple[str, Callable[[Summary], float | None]]] = {
    "last_success_timestamp_seconds": ("When the last run of `slipway predict` was complete.", lambda _: time.time()),
    "rows": ("Rows that it read.", lambda run: run.rows),
    "rejected_rows": ("Rows of them that the contract refused.", lambda run: run.rejected),
    "duration_seconds": ("How long it took.", lambda run: run.seconds),
    "drifted_columns": (
        "Columns that drifted since training; absent if the reference is not known.",
        lambda run: None if run.drift is None else sum(one.psi > one.limit for one in run.drift),
    ),
    "model_info": ("Always 1; `version` is the model's.", lambda _: 1),
}
JOB = "slipway-predict"  # of what is pushed; a file has that of node_exporter


def write_metrics(summary: Summary, path: Path, run: str) -> None:
    """Write the facts of a run that is complete, atomically. run: its name, the label of all.

    Raises SlipwayError if the file cannot be written.
    """
    try:
        write_to_textfile(str(path), _facts(summary, run))
    except OSError as error:
        raise SlipwayError(f"{path}: the run is complete, but its metrics cannot be written: {error}") from None


def push_metrics(summary: Summary, url: str, run: str) -> None:
    """Put the facts of a run that is complete in the place of those of the last run of that name in a Pushgateway.

    url: with `user:password@` for one that asks for them. Raises SlipwayError if the gateway does not take the facts.
    """
    parts = urlsplit(url)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    user, password = (unquote(text) if text else None for text in (parts.username, parts.password))
    handler = partial(basic_auth_handler, username=user, password=password)
    try:
        push_to_gateway(shown, JOB, _facts(summary, run), {"run": run}, handler=handler)
    except (OSError, HTTPException, ValueError) as error:
        raise SlipwayError(f"{shown}: the run is complete, but its metrics cannot be pushed: {error}") from None


def _facts(summary: Summary, run: str) -> CollectorRegistry:
    registry = CollectorRegistry()
    for name, (words, value_of) in FACTS.items():
        if (value := value_of(summary)) is not None:
            labels = {"run": run} | ({"version": summary.model_version} if name == "model_info" else {})
            Gauge(f"slipway_batch_{name}", words, labels, registry=registry).labels(**labels).set(value)
    return registry
