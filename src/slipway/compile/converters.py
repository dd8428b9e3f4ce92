"""scikit-learn to ONNX with skl2onnx, in float64 throughout, and with the outputs that a runtime expects.

Whatever is not corrected here or in `trees` is left to skl2onnx, and the parity check judges the result.
"""

from __future__ import annotations

import importlib
import sys
from copy import copy
from typing import Any

import numpy as np
import onnx
import skl2onnx
from onnx.helper import make_node, make_opsetid, make_tensor_value_info
from scipy.sparse import issparse
from skl2onnx._parse import _parse_sklearn_simple_model, sklearn_classifier_list, sklearn_parsers_map
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from skl2onnx.operator_converters.voting_classifier import convert_voting_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import RidgeClassifier, RidgeClassifierCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.svm import LinearSVC

from slipway.compile.steps import STEPS, convert_step, step_shapes
from slipway.compile.targets import convert_target, parse_target, target_shapes
from slipway.compile.trees import READERS, TREES, convert_trees, tree_shapes
from slipway.compile.words import VECTORIZERS, Vectorizers, vectorizer_shapes
from slipway.contract import Contract
from slipway.fitting import BOOSTERS, classes_of
from slipway.model.runtimes.skops import frame

# Fixed, so that equal models give equal bytes whatever onnx is installed; every ONNX Runtime that is allowed runs them.
OPSETS = {"": 18, "ai.onnx.ml": 3}
# Every name in the graph but the columns' begins with an underscore, which no field of a Pydantic model does.
MATRIX, CLASS = "_columns", "_class"
NEIGHBOURS = (KNeighborsClassifier, KNeighborsRegressor)
MOST_NEIGHBOURS = 10_000  # ONNX has no search tree
# What may be said of them: whether their rows are sparse, and what skl2onnx says of classifiers.
OPTIONS = {"sparse": [True, False]}
CLASSIFIER_OPTIONS = {"zipmap": [True, False], "nocl": [True, False], "output_class_labels": [True, False], **OPTIONS}
ENCODERS = (ColumnTransformer, OneHotEncoder, OrdinalEncoder)  # may make numbers of strings


def convert(estimator: Any, contract: Contract) -> onnx.ModelProto:
    """Convert a fitted estimator to an ONNX model with one input, of shape (rows, 1), for each column.

    A classifier's classes must be 0, 1, ... Its outputs are the class, int64 of shape (rows,), and the probabilities
    of shape (rows, classes), if it has any; a regressor's is the value.
    Raises NotImplementedError for steps that would not serve well, and skl2onnx's errors for those it cannot convert.
    """
    _register_libraries()
    steps = _steps(estimator)
    first, last = steps[0], steps[-1]
    if isinstance(last, NEIGHBOURS) and last.n_samples_fit_ > MOST_NEIGHBOURS:
        raise NotImplementedError(f"every row would be compared with all {last.n_samples_fit_:,} training rows")
    if isinstance(last, CalibratedClassifierCV) and last.method != "sigmoid":
        raise NotImplementedError(f"calibration by {last.method}")
    columns = [
        (c.name, DoubleTensorType([None, 1]) if c.numeric else StringTensorType([None, 1])) for c in contract.columns
    ]
    # A ColumnTransformer picks columns by name. Anything else takes all of them as one matrix, which skl2onnx would
    # put together in float32.
    matrix = all(column.numeric for column in contract.columns) and not isinstance(first, ColumnTransformer)
    vectorizers = Vectorizers(contract)
    outputs = ("_label", "_scores") if classes_of(estimator).size else ("_value",)
    model: onnx.ModelProto = skl2onnx.convert_sklearn(
        estimator,
        "model",
        [(MATRIX, DoubleTensorType([None, len(columns)]))] if matrix else columns,
        target_opset=OPSETS,
        options=_options(estimator, last, sparse=type(last) in READERS and _sparse(steps, contract)),
        **_corrections(vectorizers),
        naming=lambda name, _: name if name.startswith("_") else f"_{name}",
        final_types=[(name, None) for name in outputs],
    )
    if matrix:
        columns = [make_tensor_value_info(name, onnx.TensorProto.DOUBLE, [None, 1]) for name in contract.names]
        del model.graph.input[:]
        model.graph.input.extend(columns)
        model.graph.node.insert(0, make_node("Concat", contract.names, [MATRIX], axis=1))
    vectorizers.settle(model)
    _settle(model, probable=hasattr(estimator, "predict_proba"))
    return model


def _corrections(vectorizers: Vectorizers) -> dict[str, Any]:
    ours: dict[Any, tuple[Any, Any]] = {
        **dict.fromkeys(TREES, (convert_trees, tree_shapes)),
        **dict.fromkeys(STEPS, (convert_step, step_shapes)),
        **dict.fromkeys(VECTORIZERS, (vectorizers.convert, vectorizer_shapes)),
        TransformedTargetRegressor: (convert_target, target_shapes),
    }
    conversions = {kind: convert for kind, (convert, _) in ours.items()}
    return {
        "custom_conversion_functions": {**conversions, VotingClassifier: _convert_voting},
        "custom_shape_calculators": {kind: shapes for kind, (_, shapes) in ours.items()},
        "custom_parsers": {**dict.fromkeys(ENCODERS, _parse_as_double), TransformedTargetRegressor: parse_target},
    }


def _register_libraries() -> None:
    """Make known the estimators of the libraries that are imported; of any other, there is none to convert."""
    for library in BOOSTERS:
        if library in sys.modules:
            reader = importlib.import_module(f"slipway.compile.{library}")
            for name in reader.ESTIMATORS:
                kind = getattr(sys.modules[library], name)
                READERS[kind] = reader.read
                options = dict(CLASSIFIER_OPTIONS if hasattr(kind, "predict_proba") else OPTIONS)
                if hasattr(kind, "decision_function"):
                    options["raw_scores"] = [True, False]
                skl2onnx.update_registered_converter(kind, name, tree_shapes, convert_trees, options=options)
                if hasattr(kind, "predict_proba") and kind not in sklearn_classifier_list:
                    sklearn_classifier_list.append(kind)  # CatBoost's is no ClassifierMixin


def _settle(model: onnx.ModelProto, *, probable: bool) -> None:
    """Keep only a runtime's outputs and the nodes that they need, with the operator sets in a fixed order."""
    graph = model.graph
    if probable:  # the answered class is the most probable one, which not every converter does (SVC has votes)
        graph.node.append(make_node("ArgMax", [graph.output[1].name], [CLASS], axis=1, keepdims=0))
        graph.output[0].CopyFrom(make_tensor_value_info(CLASS, onnx.TensorProto.INT64, [None]))
    else:
        del graph.output[1:]  # scores, which are not probabilities
    _prune(graph)
    versions = sorted((item.domain, item.version) for item in model.opset_import)  # they come out of a set
    del model.opset_import[:]
    model.opset_import.extend(make_opsetid(*version) for version in versions)


def _steps(estimator: Any) -> list[Any]:
    """List the steps of a pipeline, and of the pipelines in it; of anything else, itself."""
    if isinstance(estimator, TransformedTargetRegressor):
        return _steps(estimator.regressor_)
    if not isinstance(estimator, Pipeline):
        return [] if estimator in (None, "passthrough") else [estimator]
    return [step for _, part in estimator.steps for step in _steps(part)]


def _sparse(steps: list[Any], contract: Contract) -> bool:
    """Say whether the last step is given sparse rows."""
    rows = frame(contract.arrays([contract.example]))
    for step in steps[:-1]:
        rows = step.transform(rows)
    return bool(issparse(rows))


def _options(estimator: Any, last: Any, *, sparse: bool) -> dict[Any, dict[str, bool]]:
    # With probabilities these are not converted in float64, and they have none.
    options: dict[Any, dict[str, bool]] = {
        key: {"raw_scores": True} for key in (LinearSVC, RidgeClassifier, RidgeClassifierCV)
    }
    if sparse:
        options[id(last)] = {"sparse": True}
    if hasattr(estimator, "predict_proba"):
        options[id(estimator)] = {**options.get(id(estimator), {}), "zipmap": False}
        while isinstance(estimator, Pipeline):  # each says it to its own last step
            estimator = estimator.steps[-1][1]
            options[id(estimator)] = {**options.get(id(estimator), {}), "zipmap": False}
    return options


def _prune(graph: onnx.GraphProto) -> None:
    """Remove nodes that no output needs."""
    needed, kept = {item.name for item in graph.output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    constants = [item for item in graph.initializer if item.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(constants)


def _parse_as_double(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Continue in float64 after encoded strings; skl2onnx would use float32, for numbers beside them, too."""
    parse = sklearn_parsers_map.get(type(model), _parse_sklearn_simple_model)
    outputs = parse(scope, model, inputs, custom_parsers=custom_parsers)
    if isinstance(outputs[0].type, (DoubleTensorType, StringTensorType)):
        return outputs
    cast = scope.declare_local_operator("SklearnCast")
    cast.inputs = outputs
    cast.outputs.append(scope.declare_local_variable("double", DoubleTensorType([None, None])))
    return cast.outputs


def _convert_voting(scope: Any, operator: Any, container: Any) -> None:
    """Convert a vote; skl2onnx refuses the default of `flatten_transform`, which changes only transform()."""
    operator.raw_operator = copy(operator.raw_operator)
    operator.raw_operator.flatten_transform = False
    if operator.raw_operator.weights is not None:  # they may be a list, which it does not take
        operator.raw_operator.weights = np.asarray(operator.raw_operator.weights, dtype=np.float64)
    convert_voting_classifier(scope, operator, container)
