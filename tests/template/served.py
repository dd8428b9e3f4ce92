"""Predictions as a service keeps them, made without one; and truths that come for them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from slipway.model.ids import Ids
from slipway.model.predictor import Predictor

KEY = b"a key of sixteen"
MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)


def write_segment(folder: Path, kind: str, lines: Iterable[dict[str, Any]], at: datetime = MONDAY) -> Path:
    """Write one segment of predictions or feedback; its path."""
    path = folder / kind / f"{at:%Y-%m-%d}" / f"{at:%H%M%S}-a-{at:%f}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(f"{json.dumps(line)}\n" for line in lines).encode()))
    return path


def answered(bundle: Path, rows: list[dict[str, Any]], shadow: Path | None = None, at: datetime = MONDAY) -> list[dict]:
    """Answer rows, a minute apart, as the service with this bundle would; what it keeps."""
    predictor = Predictor.load(bundle)
    predictions = predictor.predict(rows)
    ids = Ids(predictor.version, key=KEY, numeric=not predictor.classes, seconds=10**9, kept=1)
    kept = []
    said = zip(ids.make(predictions.values.tolist()), rows, _answers(predictor, rows), strict=True)
    for number, (made, row, answer) in enumerate(said):
        time = (at + timedelta(minutes=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        kept.append({"id": made, "time": time, "row": row, **answer})
    if shadow:
        for line, answer in zip(kept, _answers(Predictor.load(shadow), rows), strict=True):
            line["shadow"] = answer
    return kept


def _answers(predictor: Predictor, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    predictions, answers = predictor.predict(rows), []
    for label, one in zip(predictions.labels, predictions.as_json(), strict=True):
        told = {"probabilities": one["probabilities"]} if "probabilities" in one else {}
        answers.append({"version": predictor.version, "prediction": label, **told})
    return answers
