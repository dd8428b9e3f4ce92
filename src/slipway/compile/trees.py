"""Trees as ONNX that takes the same branch for every value.

skl2onnx stores thresholds as float32 and forgets where a tree sends missing values; a value that lies between a
threshold and its rounding then takes the other branch. Here thresholds stay float64, rows are rounded to float32
only where the library that fitted them does it too, and every sum and link function is computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx.helper import np_dtype_to_tensor_dtype
from onnx.numpy_helper import from_array
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType
from sklearn import ensemble, tree

from slipway.contract import Array
from slipway.fitting import classes_of

SINGLE = (
    *(tree.DecisionTreeClassifier, tree.DecisionTreeRegressor),
    *(tree.ExtraTreeClassifier, tree.ExtraTreeRegressor),
)
FORESTS = (
    *(ensemble.RandomForestClassifier, ensemble.RandomForestRegressor),
    *(ensemble.ExtraTreesClassifier, ensemble.ExtraTreesRegressor),
)
BOOSTED = (ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor)
BINNED = (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)
TREES = (*SINGLE, *FORESTS, *BOOSTED, *BINNED)

# From the link function of a loss to the ONNX operator that is its inverse.
LINKS = {
    "IdentityLink": "",
    "LogLink": "Exp",
    "LogitLink": "Sigmoid",
    "HalfLogitLink": "Sigmoid",
    "MultinomialLogit": "Softmax",
}


class Graph:
    """Adds nodes to the graph that skl2onnx is making."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def add(
        self, kind: str, *inputs: str | Array, output: str | None = None, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node, whose inputs are names or constants, and give the name of its output."""
        names = [item if isinstance(item, str) else self._constant(item) for item in inputs]
        output = output or str(self._scope.get_unique_variable_name(kind))
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, names, output, op_domain=domain, name=name, **attributes)
        return output

    def number(self, texts: str, known: Array, other: int) -> str:
        """Number texts by their places among the known ones; any other has the number `other`."""
        keys, places = [str(text) for text in known], list(range(len(known)))
        options: dict[str, Any] = {"keys_strings": keys, "values_int64s": places, "default_int64": other}
        return self.add("LabelEncoder", texts, domain="ai.onnx.ml", **options)

    def _constant(self, values: Array) -> str:
        name = str(self._scope.get_unique_variable_name("constant"))
        self._container.add_initializer(name, np_dtype_to_tensor_dtype(values.dtype), values.shape, values.ravel())
        return name


class Nodes(NamedTuple):
    """The n nodes of one tree, whose leaves add their weights to the targets `first`, `first` + 1, ...

    left, right, feature: int, shape (n,). threshold: float64, shape (n,). missing_left, leaf: bool, shape (n,).
    weights: float64, shape (n, targets).
    """

    left: Array
    right: Array
    feature: Array
    threshold: Array
    missing_left: Array
    leaf: Array
    weights: Array
    first: int = 0


class Ensemble(NamedTuple):
    """Trees, and what their sum becomes: the inverse of `link` of `base`, shape (targets,), plus the sum.

    rounded: whether the rows are rounded to float32 before they are compared with a threshold.
    in_turn: whether each tree has a target of its own, and these are added one after the other, in float32.
    zero_missing: whether the zeros that sparse rows leave out are missing values.
    """

    trees: list[Nodes]
    base: Array
    link: str
    rounded: bool
    in_turn: bool = False
    zero_missing: bool = False


# From the class of another library's estimator to the reader of its trees.
READERS: dict[type, Callable[[Any], Ensemble]] = {}


def convert_trees(scope: Any, operator: Any, container: Any) -> None:
    """Convert any model of TREES or READERS; skl2onnx calls this."""
    model, graph = operator.raw_operator, Graph(scope, container)
    options = container.get_options(model, {}, fail=False) or {}
    rows, found = _compared(graph, operator, sparse=options.get("sparse", False))
    answer = graph.add("TreeEnsembleRegressor", rows, domain="ai.onnx.ml", **_attributes(found))
    if found.in_turn:
        answer = graph.add("Gather", graph.add("CumSum", answer, np.array(1)), np.array([-1]), axis=1)
    answer = graph.add("Add", graph.add("Cast", answer, to=onnx.TensorProto.DOUBLE), found.base)
    raw = options.get("raw_scores", False)  # scikit-learn's decision function, which a calibration asks for
    if found.link == "HalfLogitLink" and not raw:
        answer = graph.add("Mul", answer, np.array([2.0]))
    inverse = LINKS[found.link]
    if inverse and not raw:
        answer = graph.add(inverse, answer)
    if inverse == "Sigmoid" and len(operator.outputs) == 2:  # of two classes, the second one
        other = graph.add("Neg", answer) if raw else graph.add("Sub", np.array([1.0]), answer)
        answer = graph.add("Concat", other, answer, axis=1)
    if classes_of(model).size:
        index = graph.add("ArgMax", answer, axis=1, keepdims=0)
        graph.add("Gather", classes_of(model).astype(np.int64), index, output=operator.outputs[0].full_name)
    graph.add("Identity", answer, output=operator.outputs[-1].full_name)


def _compared(graph: Graph, operator: Any, *, sparse: bool) -> tuple[str, Ensemble]:
    """Add the rows to the graph as they are compared with thresholds; give their name, and the trees over them."""
    model, names = operator.raw_operator, [item.full_name for item in operator.inputs]
    found = READERS.get(type(model), _ensemble)(model)
    if getattr(model, "is_categorical_", None) is not None:
        from slipway.compile.categories import encode

        if len(names) == 1:
            names = [graph.add("Gather", *names, np.array([index]), axis=1) for index in range(model.n_features_in_)]
        rows, trees = encode(model, found.trees, graph, names)
        return graph.add("Cast", rows, to=onnx.TensorProto.DOUBLE), found._replace(trees=trees)
    rows = names[0]
    if sparse and found.zero_missing:
        rows = graph.add("Cast", rows, to=onnx.TensorProto.DOUBLE)
        rows = graph.add("Where", graph.add("Equal", rows, np.array(0.0)), np.array(np.nan), rows)
    if found.rounded:
        rows = graph.add("Cast", rows, to=onnx.TensorProto.FLOAT)
    return graph.add("Cast", rows, to=onnx.TensorProto.DOUBLE), found


def tree_shapes(operator: Any) -> None:
    """Announce the outputs of `convert_trees`; skl2onnx calls this."""
    rows, classes = operator.inputs[0].get_first_dimension(), classes_of(operator.raw_operator)
    if len(operator.outputs) == 2:
        operator.outputs[0].type = Int64TensorType([rows])
    operator.outputs[-1].type = DoubleTensorType([rows, max(classes.size, 1)])


def _ensemble(model: Any) -> Ensemble:
    if isinstance(model, BINNED):
        trees = [_binned(part.nodes, first) for parts in model._predictors for first, part in enumerate(parts)]
        return Ensemble(trees, np.ravel(model._baseline_prediction), _link(model), rounded=False)
    if isinstance(model, BOOSTED):
        if model.init not in (None, "zero"):
            raise NotImplementedError("gradient boosting that starts from another estimator")
        parts = [(part.tree_, first) for parts in model.estimators_ for first, part in enumerate(parts)]
        trees = [_plain(part, part.value[:, 0] * model.learning_rate, first) for part, first in parts]
        base = model._raw_predict_init(np.zeros((1, model.n_features_in_)))
        return Ensemble(trees, np.ravel(base), _link(model), rounded=True)
    forest = [part.tree_ for part in (model.estimators_ if isinstance(model, FORESTS) else [model])]
    if (classes := classes_of(model)).size:
        base = np.zeros(len(classes))
        weights = [part.value[:, 0] / part.value[:, 0].sum(axis=1, keepdims=True) for part in forest]
    else:  # the sum is answered in float32, so the trees add differences from the mean
        base = np.mean([part.value[0, 0] for part in forest], axis=0)
        weights = [part.value[:, 0] - base for part in forest]
    trees = [_plain(part, weight / len(forest)) for part, weight in zip(forest, weights, strict=True)]
    return Ensemble(trees, base, "IdentityLink", rounded=True)


def _link(model: Any) -> str:
    link = type(model._loss.link).__name__
    if link not in LINKS:
        raise NotImplementedError(f"the loss {type(model._loss).__name__}")
    return link


def _plain(tree: Any, weights: Array, first: int = 0) -> Nodes:
    return Nodes(
        left=tree.children_left,
        right=tree.children_right,
        feature=tree.feature,
        threshold=tree.threshold,
        missing_left=tree.missing_go_to_left,
        leaf=tree.children_left < 0,
        weights=weights,
        first=first,
    )


def _binned(nodes: Array, first: int) -> Nodes:
    return Nodes(
        left=nodes["left"],
        right=nodes["right"],
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"].copy(),
        missing_left=nodes["missing_go_to_left"],
        leaf=nodes["is_leaf"].astype(bool),
        weights=nodes["value"][:, np.newaxis],
        first=first,
    )


def _attributes(found: Ensemble) -> dict[str, Any]:
    """Give the trees as the attributes of ONNX's TreeEnsembleRegressor."""
    trees = found.trees
    leaf = np.concatenate([nodes.leaf for nodes in trees])
    tree = np.repeat(np.arange(len(trees)), [len(nodes.leaf) for nodes in trees])
    node = np.concatenate([np.arange(len(nodes.leaf)) for nodes in trees])
    weights = np.concatenate([nodes.weights[nodes.leaf] for nodes in trees])
    first = np.repeat([nodes.first for nodes in trees], [nodes.leaf.sum() for nodes in trees])
    width = weights.shape[1]

    def of_branches(name: str) -> Array:
        return np.where(leaf, 0, np.concatenate([getattr(nodes, name) for nodes in trees]))

    integers = {
        "nodes_treeids": tree,
        "nodes_nodeids": node,
        "nodes_featureids": of_branches("feature"),
        "nodes_truenodeids": of_branches("left"),
        "nodes_falsenodeids": of_branches("right"),
        "nodes_missing_value_tracks_true": of_branches("missing_left"),
        "target_treeids": np.repeat(tree[leaf], width),
        "target_nodeids": np.repeat(node[leaf], width),
        "target_ids": (first[:, np.newaxis] + np.arange(width)).ravel(),
    }
    return {
        **{name: values.astype(np.int64).tolist() for name, values in integers.items()},
        "n_targets": int(first.max()) + width,
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_values_as_tensor": from_array(of_branches("threshold").astype(np.float64)),
        "target_weights_as_tensor": from_array(weights.ravel().astype(np.float64)),
    }
