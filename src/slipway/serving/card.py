"""The model card: schema, metrics, verdict and lineage. Read once, when the bundle is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.model.predictor import Predictor
from slipway.model.reference import CONFIDENCE_BINS, POSITIVE_BINS
from slipway.serving.expected import Tested


@dataclass(frozen=True)
class Card:
    """The card as JSON, the time of the release, the plots by file name, and the test set's shares by probability.

    sliced: the columns that the evaluation has slices of.
    """

    content: dict[str, Any]
    released: datetime | None
    plots: dict[str, bytes]
    accuracies: Tested
    positives: Tested
    sliced: frozenset[str]

    @classmethod
    def read(cls, folder: Path, predictor: Predictor) -> Card:
        """Read the decision, metrics, slices and plots beside the bundle in `folder`; each may be missing."""
        manifest = predictor.bundle.manifest
        decision = _json(folder / "decision.json")
        evaluation = folder / "evaluation"
        plots = {path.name: path.read_bytes() for path in sorted(evaluation.glob("*.svg"))}
        released = _time(decision.get("when") or decision.get("time"))
        content = {
            "name": manifest.name,
            "version": predictor.version,
            "kind": manifest.kind,
            "runtime": manifest.runtime,
            "runtime_reason": manifest.runtime_reason,
            "estimator": manifest.estimator,
            "versions": manifest.versions,
            "target": predictor.target.column.name,
            "classes": list(predictor.classes),
            **({"decision": manifest.decision.model_dump(exclude_none=True)} if manifest.decision else {}),
            "schema": predictor.contract.schema(),
            "example": predictor.contract.example,
            "metrics": _json(evaluation / "metrics.json"),
            "slices": _json(evaluation / "slices.json", []),
            "verdict": decision,
            "lineage": {
                "bundle": predictor.bundle.digest,
                "data": manifest.data,
                "params": manifest.params,
                "commit": decision.get("commit"),
                "run": decision.get("run") or decision.get("mlflow_run"),
                "released": released.isoformat(" ", "minutes") if released else None,
            },
            "plots": [f"plots/{name}" for name in plots],
        }
        accuracies = _tested(evaluation / "confidence.json", "accuracy", CONFIDENCE_BINS)
        positives = _tested(evaluation / "positives.json", "share", POSITIVE_BINS)
        return cls(content, released, plots, accuracies, positives, _sliced(content["slices"]))


def _tested(path: Path, what: str, bins: tuple[str, ...]) -> Tested:
    try:
        found = {item["bin"]: (float(item[what]), float(item["deviation"])) for item in _json(path, [])}
    except (KeyError, TypeError, ValueError):
        return {}
    return found if tuple(found) == bins else {}  # else of a release that had other bins


def _sliced(slices: Any) -> frozenset[str]:
    try:
        return frozenset(item["slice"].partition("=")[0] for item in slices)
    except (AttributeError, KeyError, TypeError):
        return frozenset()


def _json(path: Path, default: Any = None) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):  # optional: predictions do not depend on it
        return {} if default is None else default


def _time(when: Any) -> datetime | None:
    try:
        if isinstance(when, (int, float)):
            return datetime.fromtimestamp(when, UTC)
        return datetime.fromisoformat(when).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
