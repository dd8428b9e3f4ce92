"""Birds that are asked about: like those of the record, and after a while measured with a new caliper."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from demo.service import Service
from slipway.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

DEEPER_MM = 2.0  # than the old caliper, is what the new one reads of every bill
SPREAD = {"bill_length_mm": 0.5, "bill_depth_mm": 0.2, "flipper_length_mm": 1.5, "body_mass_g": 50.0}
YEAR, FIRST = 2026, 100_000
BATCH, BATCHES_A_SECOND = 50, 5
RAMP_SECONDS = 5  # until everyone has the new caliper


class Answer(NamedTuple):
    """A bird that was answered: the prediction's id and label, and all that the laboratory will tell of it."""

    time: float
    id: str
    said: str
    sex: str
    individual: str
    season: int
    sample: int
    new_caliper: bool


class Traffic(threading.Thread):
    """Asks about birds until `stop`; remembers each answer. Each is one of the record's, a little larger or smaller."""

    def __init__(self, checkout: Path, service: Service, seed: int = 0) -> None:
        super().__init__(daemon=True)
        workspace = Workspace(checkout)
        self._columns, self._record = workspace.features, workspace.problem.load(workspace.data)
        self._service, self._random = service, np.random.default_rng(seed)
        self._ended = threading.Event()
        self._number = FIRST
        self.drifted_at: float | None = None
        self.answers: list[Answer] = []
        self.failed: list[str] = []

    def drift(self) -> None:
        """Give out the new calipers from now on."""
        self.drifted_at = time.time()

    def share(self, at: float) -> float:
        """Tell the share of birds that are measured with the new caliper at a time."""
        return 0.0 if self.drifted_at is None else float(np.clip((at - self.drifted_at) / RAMP_SECONDS, 0, 1))

    def run(self) -> None:
        """Ask about a batch of birds, again and again."""
        while not self._ended.wait(1 / BATCHES_A_SECOND):
            birds, new = self._draw(self.share(time.time()))
            rows = self._columns.rows(self._columns.arrays(birds))
            try:
                predictions = self._service.predict(rows)
            except Exception as error:  # noqa: BLE001  (whatever it is, it is an answer that a client did not get)
                self.failed.append(repr(error))
                continue
            now, told = time.time(), birds[["sex", "individual", "season", "sample"]].to_dict("records")
            self.answers += [
                Answer(now, prediction.id, str(prediction.label), new_caliper=bool(deeper), **bird)
                for prediction, bird, deeper in zip(predictions, told, new, strict=True)
            ]

    def _draw(self, share: float) -> tuple[pd.DataFrame, np.ndarray]:
        """Draw birds, and which of them are measured with the new caliper."""
        birds = self._record.sample(BATCH, replace=True, random_state=self._random)
        numbers = range(self._number, self._number + BATCH)
        self._number += BATCH
        new = self._random.random(BATCH) < share
        moved: dict[str, Any] = {
            name: (birds[name].astype(float) + self._random.normal(0, spread, BATCH)).round(1)
            for name, spread in SPREAD.items()
        }
        moved["bill_depth_mm"] += DEEPER_MM * new
        return birds.assign(**moved, individual=[f"bird {n}" for n in numbers], season=YEAR, sample=numbers), new

    def stop(self) -> None:
        """Ask about no more birds."""
        self._ended.set()
        self.join()
