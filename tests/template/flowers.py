"""A small made-up problem with a column of every kind: is this flower an iris or a rose?"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from slipway.problem import Problem, Unit

Colour = Literal["blue", "red", "white"]
Petals = Annotated[int, Field(gt=0, le=50)]


class Flower(BaseModel):
    """A row with a column of every kind."""

    colour: Colour
    height: Annotated[float, Field(ge=0, lt=200, description="Stem", examples=[12.5]), Unit("cm")]
    petals: Petals
    scented: bool
    bed: Literal["north", "south"] | None = None
    weight: Annotated[float | None, Field(ge=0)] = None


class Specimen(Flower):
    """A recorded flower."""

    kind: Literal["iris", "rose"]
    plant: str


def flowers(rows: int = 200, seed: int = 0) -> pd.DataFrame:
    """Make a table of specimens in which the kind can be told from height and petals together."""
    rng = np.random.default_rng(seed)
    rose = rng.random(rows) < 0.5
    return pd.DataFrame(
        {
            "colour": rng.choice(["blue", "red", "white"], rows),
            "height": np.clip(rng.normal(np.where(rose, 70, 40), 12), 1, 199).round(1),
            "petals": np.clip(rng.normal(np.where(rose, 25, 12), 4), 1, 50).astype(int),
            "scented": rng.random(rows) < 0.5,
            "bed": rng.choice(["north", "south", None], rows),
            "weight": np.where(rng.random(rows) < 0.1, np.nan, rng.random(rows).round(3)),
            "kind": np.where(rose, "rose", "iris"),
            "plant": [f"p{i // 2}" for i in range(rows)],
        },
        index=pd.RangeIndex(1, rows + 1),
    )


def build(*, strength: float = 1.0):
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    return make_pipeline(columns, LogisticRegression(C=strength))


def flower_problem(**changes) -> Problem:
    """Make the problem, whose data folder holds one CSV file; `changes` replace what it declares."""
    declared = {
        "name": "flowers",
        "row": Flower,
        "record": Specimen,
        "target": "kind",
        "group": "plant",
        "load": lambda folder: pd.read_csv(folder / "flowers.csv"),
        "build": build,
    }
    return Problem(**declared | changes)
