"""Live rows whose truth has come: the answers that were kept with them, and their scores with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from slipway.contract import Target
from slipway.evaluation import intervals, metrics
from slipway.evaluation.intervals import Bootstrap
from slipway.evaluation.test_set import TestSet
from slipway.model.predictor import Predictions

# Columns of the table, besides the record's: the prediction's id, time and version, where its truth was read, and why
# the row cannot be trained on, if it cannot. Answers are in `_champion.` and `_shadow.` columns.
ID, TIME, VERSION, ORIGIN, UNUSABLE = "_id", "_time", "_version", "_truth", "_unusable"
CHAMPION, SHADOW = "_champion", "_shadow"


def versions(table: pd.DataFrame, who: str) -> pd.Series:
    """Give the version that answered each row, as CHAMPION (the one that served) or SHADOW; missing: none did."""
    return table[VERSION if who == CHAMPION else f"{SHADOW}.version"]


def answers(table: pd.DataFrame, target: Target, who: str) -> Predictions:
    """Read the answers of all rows; without probabilities, if one row has none."""
    values = table[f"{who}.prediction"].to_numpy(dtype="float64")
    if not target.classes:
        return Predictions(values, None, ())
    names = [f"{who}.probability.{number}" for number in range(len(target.classes))]
    probabilities = table[names].to_numpy(dtype="float64") if set(names) <= set(table) else None
    if probabilities is not None and np.isnan(probabilities).any():
        probabilities = None
    return Predictions(values.astype(np.int64), probabilities, target.classes)


def score(test_set: TestSet, who: str, slices: list[str], bootstrap: Bootstrap) -> dict[str, Any]:
    """Give rows, groups and scores with intervals: of all rows, by slice, and by week of the prediction."""
    table, target = test_set.table, test_set.target
    predictions = answers(table, target, who)
    statistics = test_set.statistics(predictions)
    scores = intervals.evaluate(target, statistics, bootstrap)
    at = pd.to_datetime(table[TIME], utc=True).dt.tz_localize(None)
    weeks = (at - pd.to_timedelta(at.dt.day_of_week, unit="D")).dt.strftime("%Y-%m-%d").to_numpy()
    found = []
    for week in np.unique(weeks):
        where = weeks == week
        here = intervals.evaluate(target, test_set.statistics(predictions, where), bootstrap)
        kept = {name: here[name].as_json() for name in metrics.headlines(target) if name in here}
        found.append({"slice": f"week={week}", "rows": int(where.sum()), "scores": kept})
    return {
        "rows": len(table),
        "groups": int(test_set.groups.max()) + 1,
        "scores": {name: one.as_json() for name, one in scores.items()},
        "slices": test_set.score_slices(predictions, [name for name in slices if name in table], bootstrap),
        "weeks": found,
    }
