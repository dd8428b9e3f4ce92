"""XGBoost's trees: a number, rounded to float32, goes left where it is less than the threshold."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from slipway.compile.trees import Ensemble, Nodes
from slipway.fitting import classes_of

ESTIMATORS = ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor")
# From an objective to the link function whose inverse its predictions are.
LINKS = {
    "binary:logistic": "LogitLink",
    "reg:logistic": "LogitLink",
    "multi:softprob": "MultinomialLogit",
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie"), "LogLink"),
    **dict.fromkeys(
        (f"reg:{loss}" for loss in ("squarederror", "absoluteerror", "pseudohubererror", "squaredlogerror")),
        "IdentityLink",
    ),
}


def read(model: Any) -> Ensemble:
    """Read the trees of a fitted estimator. Raises NotImplementedError, naming the option to leave out."""
    if not np.isnan(model.missing):
        raise NotImplementedError(f"XGBoost's missing={model.missing}")
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]
    if objective not in LINKS:
        raise NotImplementedError(f"XGBoost's objective {objective}")
    if booster["name"] != "gbtree":
        raise NotImplementedError(f"XGBoost's booster {booster['name']}")
    parts, sizes = booster["model"], learner["learner_model_param"]
    base = np.zeros(max(int(sizes["num_class"]), 1)) + json.loads(sizes["base_score"])
    if LINKS[objective] == "LogitLink":
        base = np.log(base / (1 - base))
    elif LINKS[objective] == "LogLink":
        base = np.log(base)
    trees = [_nodes(tree, first) for tree, first in zip(parts["trees"], parts["tree_info"], strict=True)]
    if classes_of(model).size:
        return Ensemble(trees, base, LINKS[objective], rounded=True, zero_missing=True)
    # A number is as XGBoost adds it up, in float32: that loses digits which are many where the mean is far from zero.
    trees[0] = trees[0]._replace(weights=trees[0].weights.astype(np.float32) + base.astype(np.float32))
    trees = [tree._replace(first=number) for number, tree in enumerate(trees)]
    return Ensemble(trees, np.zeros(1), LINKS[objective], rounded=True, in_turn=True, zero_missing=True)


def _nodes(tree: dict[str, Any], first: int) -> Nodes:
    if any(tree["split_type"]):
        raise NotImplementedError("XGBoost's splits by category (enable_categorical); encode them as one-hot")
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise NotImplementedError("XGBoost's multi_strategy multi_output_tree")
    left = np.array(tree["left_children"])
    conditions = np.array(tree["split_conditions"], dtype=np.float32)  # of a leaf, its weight
    return Nodes(
        left=left,
        right=np.array(tree["right_children"]),
        feature=np.array(tree["split_indices"]),
        # Less than a float32 is at most the float32 before it.
        threshold=np.nextafter(conditions, np.float32(-np.inf)).astype(np.float64),
        missing_left=np.array(tree["default_left"]),
        leaf=left < 0,
        weights=conditions[:, np.newaxis].astype(np.float64),
        first=first,
    )
