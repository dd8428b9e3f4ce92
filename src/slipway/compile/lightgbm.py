"""LightGBM's trees: a float64 goes left where it is at most the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from slipway.compile.trees import Ensemble, Nodes
from slipway.contract import Array

ESTIMATORS = ("LGBMClassifier", "LGBMRegressor")
# From an objective to the link function whose inverse its predictions are.
LINKS = {
    "binary": "LogitLink",
    "cross_entropy": "LogitLink",
    "multiclass": "MultinomialLogit",
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "LogLink"),
    **dict.fromkeys(
        ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg"),
        "IdentityLink",
    ),
}
# Numbers as close to zero as this are zero to LightGBM when it predicts.
ZERO = float(np.float32(1e-35))


def read(model: Any) -> Ensemble:
    """Read the trees of a fitted estimator. Raises NotImplementedError, naming the option to leave out."""
    dump = model.booster_.dump_model()
    objective, *settings = (dump.get("objective") or "of your own").split(" ")
    if objective not in LINKS or "sqrt" in settings:
        raise NotImplementedError(f"LightGBM's objective {dump.get('objective') or 'of your own'}")
    if model.get_params().get("pred_early_stop"):
        raise NotImplementedError("LightGBM's pred_early_stop")
    scale = float(dict(item.split(":") for item in settings).get("sigmoid", 1))
    targets = dump["num_tree_per_iteration"]
    parts = dump["tree_info"]
    if dump["average_output"]:
        scale /= len(parts) // targets
    trees, base = [], np.zeros(targets)
    for number, part in enumerate(parts):
        nodes = _nodes(part, number % targets)
        # The first trees hold the mean of the target. ONNX adds up in float32, so it is given what differs from it.
        mean = nodes.weights[nodes.leaf].mean()
        base[nodes.first] += mean * scale
        trees.append(nodes._replace(weights=(nodes.weights - mean) * scale))
    return Ensemble(trees, base, LINKS[objective], rounded=False)


def _nodes(part: dict[str, Any], first: int) -> Nodes:
    """List the branches of a tree, then its leaves."""
    branches, size = part["num_leaves"] - 1, 2 * part["num_leaves"] - 1
    left, right, feature = np.zeros((3, size), dtype=np.int64)
    threshold, weights = np.zeros((2, size))
    missing_left = np.zeros(size, dtype=bool)

    def index(node: dict[str, Any]) -> int:
        return int(node["split_index"] if "split_index" in node else branches + node.get("leaf_index", 0))

    waiting = [part["tree_structure"]]
    while waiting:
        node = waiting.pop()
        here = index(node)
        if here >= branches:
            if "leaf_const" in node:
                raise NotImplementedError("LightGBM's linear_tree")
            weights[here] = node["leaf_value"]
            continue
        threshold[here], missing_left[here] = _decision(node)
        feature[here] = node["split_feature"]
        left[here], right[here] = index(node["left_child"]), index(node["right_child"])
        waiting += [node["left_child"], node["right_child"]]
    leaf: Array = np.arange(size) >= branches
    return Nodes(left, right, feature, threshold, missing_left, leaf, weights[:, np.newaxis], first)


def _decision(node: dict[str, Any]) -> tuple[float, bool]:
    """Give a threshold, and whether missing values go left."""
    if node["decision_type"] != "<=":
        raise NotImplementedError("LightGBM's splits by category (categorical_feature); encode them as one-hot")
    if node["missing_type"] == "Zero":
        raise NotImplementedError("LightGBM's zero_as_missing")
    threshold = float(node["threshold"])
    missing_left = node["default_left"] if node["missing_type"] == "NaN" else threshold >= 0  # as zero
    if abs(threshold) <= ZERO:  # whatever is as close to zero takes the same branch
        threshold = ZERO if threshold >= 0 else float(np.nextafter(-ZERO, -np.inf))
    return threshold, bool(missing_left)
