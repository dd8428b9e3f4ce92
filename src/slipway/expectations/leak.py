"""How well each feature alone predicts the target, on rows that it was not fitted on.

A feature that alone is (nearly) never wrong was most likely recorded after the target was known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from slipway.contract import Array, Column, Contract, Target
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    import pandas as pd

LEAST = 5  # rows that a leaf needs, and a category: fewer that agree may be chance
LARGEST = 1e30
MOST = 20_000  # rows of each part that are used: more do not change the score


def scores(features: Contract, target: Target, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """Score each feature by a decision tree, 0 to 1; features and targets that are not of their kind are left out.

    Each part is predicted by the tree of the other, so that every row is judged. Classification: balanced accuracy, so
    that a rare class counts like any other. Regression: R2 of ranks, so that a few huge values do not decide alone.
    """
    import pandas as pd
    from sklearn.metrics import balanced_accuracy_score, r2_score
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    parts = [part.sample(min(len(part), MOST), random_state=0) for part in (train, test)]
    table, fold = pd.concat(parts), np.repeat([0, 1], [len(part) for part in parts])
    truth = _truth(target, table)
    known = ~np.isnan(truth)
    table, fold, truth = table[known], fold[known], truth[known]
    if any(len(np.unique(truth[fold == part])) < 2 for part in (0, 1)):
        return {}  # nothing to tell apart
    if not target.classes:
        truth = np.unique(truth, return_inverse=True)[1].astype(float)
    result = {}
    for column in features.columns:
        try:
            values = column.array(table[column.name])
        except (KeyError, SlipwayError):
            continue  # missing, or not of its kind: another expectation says so
        if column.numeric:  # a tree reads float32, in which large numbers are alike or infinite
            finite = values[np.isfinite(values)]
            values = np.clip(values - (np.median(finite) if len(finite) else 0), -LARGEST, LARGEST)
        split = PredefinedSplit(fold)
        found = cross_val_predict(_tree(column, bool(target.classes)), values.reshape(-1, 1), truth, cv=split)
        score = balanced_accuracy_score(truth, found) if target.classes else r2_score(truth, found)
        result[column.name] = round(max(0.0, float(score)), 6)
    return result


def _truth(target: Target, table: pd.DataFrame) -> Array:
    """Give the target as float64, classes as their index; NaN where it is neither."""
    try:
        values = target.column.array(table[target.column.name])
    except (KeyError, SlipwayError):
        return np.full(len(table), np.nan)
    if not target.classes:
        return values
    return np.select([values == label for label in target.classes], range(len(target.classes)), default=np.nan)


def _tree(column: Column, classes: bool) -> object:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    options = {"min_samples_leaf": LEAST, "random_state": 0}
    tree = DecisionTreeClassifier(class_weight="balanced", **options) if classes else DecisionTreeRegressor(**options)
    if column.numeric:
        return tree
    rare = {"handle_unknown": "use_encoded_value", "unknown_value": -1, "min_frequency": LEAST}
    return make_pipeline(OrdinalEncoder(**rare), tree)
