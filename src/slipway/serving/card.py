"""The model's card: what it is, how good it is, where it comes from. Read once, when the bundle is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from slipway.model.predictor import Predictor


@dataclass(frozen=True)
class Card:
    """The parts of the card, and the plots beside the bundle by name."""

    content: dict[str, Any]
    lineage: dict[str, Any]
    plots: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, predictor: Predictor) -> Card:
        """Read what stands beside the bundle in `folder`: decision, metrics, slices and plots, as far as they exist."""
        manifest = predictor.bundle.manifest
        decision = _json(folder / "decision.json")
        evaluation = folder / "evaluation"
        plots = {path.name: path.read_bytes() for path in sorted(evaluation.glob("*.svg"))}
        lineage = {
            "bundle": predictor.bundle.digest,
            "data": manifest.data,
            "params": manifest.params,
            "commit": decision.get("commit"),
            "run": decision.get("run") or decision.get("mlflow_run"),
            "released": _timestamp(decision.get("when") or decision.get("time")),
        }
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
            "schema": predictor.contract.schema(),
            "example": predictor.contract.example,
            "metrics": _json(evaluation / "metrics.json"),
            "slices": _json(evaluation / "slices.json", []),
            "verdict": decision,
            "lineage": lineage,
            "plots": [f"/plots/{name}" for name in plots],
        }
        return cls(content, lineage, plots)


def _json(path: Path, default: Any = None) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):  # optional, and none of it takes part in predicting
        return {} if default is None else default


def _timestamp(when: Any) -> float | None:
    if isinstance(when, (int, float)):
        return float(when)
    try:
        return datetime.fromisoformat(when).timestamp()
    except (TypeError, ValueError):
        return None
