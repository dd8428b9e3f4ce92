"""Rows to learn from: predictions whose truth came, as a new file in `data/live`, each at most once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slipway.contract import Contract, Target
from slipway.evaluation.live import CHAMPION, ID, ORIGIN, TIME, UNUSABLE, VERSION, answers
from slipway.problem import SlipwayError
from slipway.problem.files import LIVE
from slipway.stages.prepare import read_live
from slipway.versioning import DATA

if TYPE_CHECKING:
    import pandas as pd

PROVENANCE = (ID, TIME, VERSION, ORIGIN)
LEAST = 20  # rows, before a model that is always right is suspected
CHANCE = 1e-3


def is_own_answer(table: pd.DataFrame, target: Target) -> bool:
    """Whether the truths can only be the model's own answers.

    All equal what was predicted, though by its own probabilities the model is that often right once in a thousand times
    at most; of numbers, all are equal.
    """
    scored = table[table[f"{CHAMPION}.prediction"].notna()]
    if len(scored) < LEAST:
        return False
    given = answers(scored, target, CHAMPION)
    if (given.values != target.encode(scored[target.column.name])).any():
        return False
    if given.probabilities is None:
        return True
    sure = given.probabilities[np.arange(len(scored)), given.values]
    return bool(np.log(np.maximum(sure, CHANCE)).sum() < np.log(CHANCE))


def new_rows(table: pd.DataFrame, data: Path, on: Sequence[str]) -> pd.DataFrame:
    """Choose the rows that can be trained on and are not in `data/live` yet, by id or by key."""
    rows = table[table[UNUSABLE] == ""].sort_values([TIME, ID])
    for part in sorted((data / LIVE).glob("*.csv")):
        known = read_live(part)
        for names in ([ID], list(on)):
            if names and set(names) <= set(known):
                rows = rows[~_texts(rows, names).isin(_texts(known, names))]
    return rows


def _texts(table: pd.DataFrame, names: list[str]) -> pd.Series:
    """Write columns as they are in the file, as one text."""
    return reduce(
        lambda text, name: text + "\x1f" + table[name].astype("str"), names[1:], table[names[0]].astype("str")
    )


def write_part(rows: pd.DataFrame, record: Contract, root: Path) -> Path:
    """Write rows into a new file of `data/live`; the same rows give the same file.

    Raises SlipwayError if `data/` belongs to another source, from which `dvc update` renews it.
    """
    pointer = root / DATA
    if pointer.exists() and "\ndeps:" in f"\n{pointer.read_text('utf-8')}":
        raise SlipwayError(
            f"{DATA} imports its data from elsewhere, where new rows belong, too; --no-learn leaves them"
        )
    text = rows[[*record.names, *PROVENANCE]].to_csv(index=False, lineterminator="\n")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    path = root / "data" / LIVE / f"{rows[TIME].iloc[-1][:10]}-{digest}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = root / "build" / LIVE / path.name  # outside of data/: an interrupted call leaves nothing there
    temporary.write_text(text, "utf-8")
    shutil.move(temporary, path)
    return path
