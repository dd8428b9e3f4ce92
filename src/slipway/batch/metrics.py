"""Facts of the last run for Prometheus: a file for node_exporter's textfile collector."""

from __future__ import annotations

import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from slipway.batch.summary import Summary
from slipway.problem import SlipwayError

FACTS = {
    "last_success_timestamp_seconds": "When the last run of `slipway predict` was complete.",
    "rows": "Rows that it read.",
    "rejected_rows": "Rows of them that the contract refused.",
    "duration_seconds": "How long it took.",
    "drifted_columns": "Columns that drifted since training; absent if the reference is not known.",
    "model_info": "Always 1; `version` is the model's.",
}


def write_metrics(summary: Summary, path: Path) -> None:
    """Write the facts of a run that is complete, atomically; the label `run` is the file's name without its suffix.

    Raises SlipwayError if the file cannot be written.
    """
    values: dict[str, float] = {
        "last_success_timestamp_seconds": time.time(),
        "rows": summary.rows,
        "rejected_rows": summary.rejected,
        "duration_seconds": summary.seconds,
        "model_info": 1,
    }
    if summary.drift is not None:
        values["drifted_columns"] = sum(one.psi > one.limit for one in summary.drift)
    registry = CollectorRegistry()
    for name, value in values.items():
        labels = {"run": path.stem} | ({"version": summary.model_version} if name == "model_info" else {})
        Gauge(f"slipway_batch_{name}", FACTS[name], labels, registry=registry).labels(**labels).set(value)
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise SlipwayError(f"{path}: the run is complete, but its metrics cannot be written: {error}") from None
