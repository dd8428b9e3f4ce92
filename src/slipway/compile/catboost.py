"""CatBoost's trees: a number, rounded to float32, goes right where it is more than the border."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from slipway.compile.trees import Ensemble, Nodes
from slipway.contract import Array

ESTIMATORS = ("CatBoostClassifier", "CatBoostRegressor")
# From a loss to the link function whose inverse its predictions are.
LINKS = {
    **dict.fromkeys(("Logloss", "CrossEntropy"), "LogitLink"),
    "MultiClass": "MultinomialLogit",
    **dict.fromkeys(("Poisson", "Tweedie"), "LogLink"),
    **dict.fromkeys(("RMSE", "MAE", "Quantile", "MAPE", "Huber", "Expectile", "Lq"), "IdentityLink"),
}


def read(model: Any) -> Ensemble:
    """Read the trees of a fitted estimator. Raises NotImplementedError, naming the option to leave out."""
    loss = str(model.get_all_params()["loss_function"]).partition(":")[0]
    if loss not in LINKS:
        raise NotImplementedError(f"CatBoost's loss_function {loss}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.json")
        model.save_model(str(path), format="json")
        content = json.loads(path.read_text("utf-8"))
    if len(content["features_info"]) > 1:
        raise NotImplementedError("CatBoost's features of categories or texts; encode them as one-hot")
    missing_right = [part["nan_value_treatment"] == "AsTrue" for part in content["features_info"]["float_features"]]
    scale, base = content["scale_and_bias"]
    roots = content.get("trees") or [_unfolded(tree, len(base)) for tree in content["oblivious_trees"]]
    trees = [_nodes(root, scale, np.array(missing_right)) for root in roots]
    return Ensemble(trees, np.array(base, dtype=np.float64), LINKS[loss], rounded=True)


def _unfolded(tree: dict[str, Any], targets: int) -> dict[str, Any]:
    """Give a symmetric tree, which asks the same of all rows at a depth, as one of nodes."""
    level: list[dict[str, Any]] = [
        {"value": value} for value in np.reshape(tree["leaf_values"], (-1, targets)).tolist()
    ]
    for split in tree["splits"] or []:  # the first decides the last bit of a leaf's number
        level = [{"split": split, "left": a, "right": b} for a, b in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def _nodes(root: dict[str, Any], scale: float, missing_right: Array) -> Nodes:
    parts = [root]
    left, right = [], []
    for part in parts:  # which grows
        inner = "split" in part
        left.append(len(parts) if inner else -1)
        right.append(len(parts) + 1 if inner else -1)
        parts += [part["left"], part["right"]] if inner else []
    leaf = np.array(left) < 0
    targets = np.size(next(part["value"] for part in parts if "value" in part))
    feature = np.array([part["split"]["float_feature_index"] if "split" in part else 0 for part in parts])
    return Nodes(
        left=np.array(left),
        right=np.array(right),
        feature=feature,
        threshold=np.array([part["split"]["border"] if "split" in part else 0.0 for part in parts]),
        missing_left=~missing_right[feature],
        leaf=leaf,
        weights=scale * np.array([np.ravel(part.get("value", np.zeros(targets))) for part in parts]),
    )
