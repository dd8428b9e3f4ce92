"""Target leakage: how well each feature alone predicts the target, on rows that were not used for fitting.

A feature that alone predicts (nearly) perfectly was most likely recorded after the target was known.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from slipway.contract import Array, Column, Contract, Target
from slipway.problem import SlipwayError

MIN_ROWS = 5  # in a leaf and in a category: fewer may agree by chance
LARGEST = 1e30
MAX_ROWS = 20_000  # sampled of each part: more do not change the score


def scores(features: Contract, target: Target, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """Score each feature by a decision tree, 0 to 1; features with values of another kind are left out.

    The tree fitted on one part predicts the other (two-fold cross-validation). Classification: balanced accuracy, so
    that a rare class counts like any other. Regression: R2 of ranks, so that a few huge values do not dominate.
    """
    parts = [part.sample(min(len(part), MAX_ROWS), random_state=0) for part in (train, test)]
    table, fold = pd.concat(parts), np.repeat([0, 1], [len(part) for part in parts])
    truth = _truth(target, table)
    known = ~np.isnan(truth)
    table, fold, truth = table[known], fold[known], truth[known]
    if any(len(np.unique(truth[fold == part])) < 2 for part in (0, 1)):
        return {}  # a single class or value
    if not target.classes:
        truth = np.unique(truth, return_inverse=True)[1].astype(float)
    result = {}
    for column in features.columns:
        try:
            values = column.array(table[column.name])
        except (KeyError, SlipwayError):
            continue  # missing, or of another kind: another expectation reports it
        if column.numeric:  # trees use float32, in which large numbers are equal or infinite
            finite = values[np.isfinite(values)]
            values = np.clip(values - (np.median(finite) if len(finite) else 0), -LARGEST, LARGEST)
        split = PredefinedSplit(fold)
        found = cross_val_predict(_tree(column, bool(target.classes)), values.reshape(-1, 1), truth, cv=split)
        score = balanced_accuracy_score(truth, found) if target.classes else r2_score(truth, found)
        result[column.name] = round(max(0.0, float(score)), 6)
    return result


def _truth(target: Target, table: pd.DataFrame) -> Array:
    """Give the target as float64, classes as their index; NaN if the value is invalid."""
    try:
        values = target.column.array(table[target.column.name])
    except (KeyError, SlipwayError):
        return np.full(len(table), np.nan)
    if not target.classes:
        return values
    return np.select([values == label for label in target.classes], range(len(target.classes)), default=np.nan)


def _tree(column: Column, classes: bool) -> object:
    options = {"min_samples_leaf": MIN_ROWS, "random_state": 0}
    tree = DecisionTreeClassifier(class_weight="balanced", **options) if classes else DecisionTreeRegressor(**options)
    if column.numeric:
        return tree
    rare = {"handle_unknown": "use_encoded_value", "unknown_value": -1, "min_frequency": MIN_ROWS}
    return make_pipeline(OrdinalEncoder(**rare), tree)
