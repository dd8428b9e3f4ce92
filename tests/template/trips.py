"""A made-up problem with a field of every kind, each of which may also be missing: will this trip be late?"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from flowers import build
from slipway.problem import Function, Problem
from slipway.problem.params import Params
from slipway.stages.prepare import prepare
from slipway.stages.train import train

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
Kilometres = Annotated[float, Field(ge=0, le=900, description="Way", examples=[12.5])]
Seats = Annotated[int, Field(ge=1, le=60, examples=[4])]
Line = Literal["north", "south"]
Zone = Literal[1, 2, 5]
Day = Annotated[date, Field(ge=date(2020, 1, 1), lt=date(2030, 1, 1), examples=["2024-05-17"])]
Start = Annotated[datetime, Field(ge=FIRST, description="Departure", examples=["2024-05-17T06:30:00Z"])]


class Trip(BaseModel):
    """A row with a field of every kind."""

    km: Kilometres
    seats: Seats
    rain: Annotated[bool, Field(examples=[False])]
    line: Line
    zone: Zone
    note: Annotated[str, Field(examples=["by the river"])]
    day: Day
    start: Start
    km_back: Kilometres | None = None
    seats_back: Seats | None = None
    rain_back: bool | None = None
    line_back: Line | None = None
    zone_back: Zone | None = None
    note_back: str | None = None
    day_back: Day | None = None
    start_back: Start | None = None


class Recorded(Trip):
    """A recorded trip: by how many quarters of an hour it was late."""

    late: Literal[0, 1, 2]
    bus: str


def trips(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """Make a table of recorded trips, as `load` gives it; late are those that start in the morning and go far."""
    rng = np.random.default_rng(seed)
    start = pd.Series(pd.to_datetime(1.71e9 + rng.integers(0, 300 * 86400, rows), unit="s", utc=True))
    km = rng.uniform(0, 900, rows).round(1)
    one = pd.DataFrame(
        {
            "km": km,
            "seats": rng.integers(1, 61, rows),
            "rain": rng.random(rows) < 0.5,
            "line": rng.choice(["north", "south"], rows),
            "zone": rng.choice([1, 2, 5], rows),
            "note": rng.choice(["by the river", "over the hill", "größer"], rows),
            "day": start.dt.strftime("%Y-%m-%d"),
            "start": start.dt.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
        }
    )
    back = one.sample(frac=1, random_state=seed, ignore_index=True).astype(object)
    back = back.where(rng.random(back.shape) > 0.2, None).add_suffix("_back")
    late = (km > 300).astype(int) + ((start.dt.hour < 10) & (km > 300)).astype(int)
    return pd.concat([one, back], axis=1).assign(late=late.to_numpy(), bus=[f"b{row // 2}" for row in range(rows)])


def trip_problem(**changes) -> Problem:
    """Make the problem; `changes` replace what it declares."""
    declared = {
        "name": "trips",
        "row": Trip,
        "record": Recorded,
        "target": "late",
        "group": "bus",
        "load": lambda folder: trips(),
        "build": build,
        "features": Function("trip_features:features"),
    }
    return Problem(**declared | changes)


def make_trip_bundle(root: Path) -> Path:
    """Make the candidate's folder by the stages of the pipeline."""
    problem = trip_problem()
    params = Params.model_validate({"gate": {"thresholds": {"accuracy": 0.5}, "champion": {"metric": "accuracy"}}})
    (root / "data").mkdir()
    (root / "data" / "trips.csv").write_text("made in memory")
    prepare(problem, params.prepare, root / "data", root / "table")
    digest = hashlib.sha256((root / "table" / "train.parquet").read_bytes()).hexdigest()
    (root / "passed.json").write_text(json.dumps({"train": digest}))
    train(problem, params, root / "table", root, root / "bundle")
    return root / "bundle"
