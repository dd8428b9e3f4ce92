"""Preprocessing that skl2onnx converts in float32, in part, or not at all: in float64, as scikit-learn computes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx.common._registration import get_converter, get_shape_calculator
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from sklearn import preprocessing
from sklearn.impute import SimpleImputer

from slipway.compile.trees import Graph
from slipway.contract import Array

# NumPy's functions that ONNX has: its operators, one after the other, each with its second input if it has one.
ONE, TWO = np.array([1.0]), np.array([2.0])
FUNCTIONS: dict[Any, tuple[tuple[Any, ...], ...]] = {
    np.exp: (("Exp",),),
    np.expm1: (("Exp",), ("Sub", ONE)),
    np.log: (("Log",),),
    np.log1p: (("Add", ONE), ("Log",)),
    np.log2: (("Log",), ("Div", np.log(TWO))),
    np.log10: (("Log",), ("Div", np.log(np.array([10.0])))),
    np.sqrt: (("Sqrt",),),
    np.square: (("Pow", TWO),),
    np.abs: (("Abs",),),
    np.negative: (("Neg",),),
    np.sin: (("Sin",),),
    np.cos: (("Cos",),),
    np.tanh: (("Tanh",),),
    np.sinh: (("Sinh",),),
}


def apply_function(graph: Graph, function: Any, values: str) -> str:
    """Apply one of NumPy's functions; None is the identity. Raises NotImplementedError for any other function."""
    if function is None:
        return values
    if function not in FUNCTIONS:
        raise NotImplementedError(f"the function {getattr(function, '__name__', function)}")
    for kind, *second in FUNCTIONS[function]:
        values = graph.add(kind, values, *second)
    return values


def convert_step(scope: Any, operator: Any, container: Any) -> None:
    """Convert a step of `STEPS`; skl2onnx calls this."""
    model, graph = operator.raw_operator, Graph(scope, container)
    if not _is_ours(operator):
        get_converter(operator.type)(scope, operator, container)
        return
    made = STEPS[type(model)](graph, model, _concatenate(graph, operator))
    graph.add("Identity", made, output=operator.outputs[0].full_name)


def step_shapes(operator: Any) -> None:
    """Announce the output of `convert_step`; skl2onnx calls this."""
    model = operator.raw_operator
    if not _is_ours(operator):
        get_shape_calculator(operator.type)(operator)
        return
    same = isinstance(model, preprocessing.FunctionTransformer)
    width = sum(item.type.shape[1] for item in operator.inputs) if same else len(model.get_feature_names_out())
    operator.outputs[0].type = DoubleTensorType([operator.inputs[0].get_first_dimension(), width])


def _is_ours(operator: Any) -> bool:
    """Whether a step needs what skl2onnx's converter of it lacks."""
    model, text = operator.raw_operator, isinstance(operator.inputs[0].type, StringTensorType)
    if isinstance(model, preprocessing.FunctionTransformer):
        return model.func is not None
    if isinstance(model, preprocessing.OneHotEncoder | preprocessing.OrdinalEncoder):
        return text and (model.min_frequency is not None or model.max_categories is not None)
    if isinstance(model, preprocessing.TargetEncoder):
        return text and model.target_type_ == "multiclass"
    return not text


def _concatenate(graph: Graph, operator: Any) -> str:
    names = [item.full_name for item in operator.inputs]
    return graph.add("Concat", *names, axis=1) if len(names) > 1 else names[0]


def _impute(graph: Graph, model: Any, values: str) -> str:
    fillers = np.asarray(model.statistics_, dtype=np.float64)
    if np.isnan(fillers).any():
        raise NotImplementedError("an imputer that drops a column that has no values")
    if np.isnan(model.missing_values):
        missing = graph.add("IsNaN", values)
    else:
        missing = graph.add("Equal", values, np.array([float(model.missing_values)]))
    filled = graph.add("Where", missing, fillers, values)
    if not model.add_indicator:
        return filled
    flags = graph.add("Cast", graph.add("Gather", missing, model.indicator_.features_, axis=1), to=TensorProto.DOUBLE)
    return graph.add("Concat", filled, flags, axis=1)


def _polynomial(graph: Graph, model: Any, values: str) -> str:
    """Multiply columns; a last column of ones stands for a factor that a product lacks."""
    ones = model.n_features_in_
    factors = [np.repeat(np.arange(ones), powers) for powers in model.powers_]
    most = max(map(len, factors))
    index = np.array([np.append(some, [ones] * (most - len(some))) for some in factors], dtype=np.int64)
    padded = graph.add("Pad", values, np.array([0, 0, 0, 1]), np.array(1.0))
    product = graph.add("Gather", padded, index[:, 0], axis=1)
    for column in range(1, most):
        product = graph.add("Mul", product, graph.add("Gather", padded, index[:, column], axis=1))
    return product


def _bins(graph: Graph, model: Any, values: str) -> str:
    """Count the inner edges that a value reaches."""
    most = int(max(model.n_bins_))
    edges = np.full((len(model.n_bins_), max(most - 1, 1)), np.nan)
    for row, cuts in zip(edges, model.bin_edges_, strict=True):
        row[: len(cuts) - 2] = cuts[1:-1]
    reached = graph.add("GreaterOrEqual", graph.add("Unsqueeze", values, np.array([2])), edges)
    number = graph.add("ReduceSum", graph.add("Cast", reached, to=TensorProto.DOUBLE), np.array([2]), keepdims=0)
    if model.encode == "ordinal":
        return number
    hot = graph.add("Equal", graph.add("Unsqueeze", number, np.array([2])), np.arange(most, dtype=np.float64))
    flat = graph.add("Reshape", graph.add("Cast", hot, to=TensorProto.DOUBLE), np.array([0, -1]))
    there = np.flatnonzero(np.arange(most) < np.asarray(model.n_bins_)[:, None])
    return graph.add("Gather", flat, there, axis=1)


def _power(graph: Graph, model: Any, values: str) -> str:
    if model.method == "box-cox":
        changed = _box_cox(graph, values, model.lambdas_)
    else:  # Yeo and Johnson (2000): Box and Cox's of x + 1 for x from 0, and of 1 - x below
        above = graph.add("Add", graph.add("Max", values, np.array([0.0])), ONE)
        below = graph.add("Sub", ONE, graph.add("Min", values, np.array([0.0])))
        lower = graph.add("Neg", _box_cox(graph, below, 2 - model.lambdas_))
        positive = graph.add("GreaterOrEqual", values, np.array([0.0]))
        changed = graph.add("Where", positive, _box_cox(graph, above, model.lambdas_), lower)
    if not model.standardize:
        return changed
    return graph.add("Div", graph.add("Sub", changed, model._scaler.mean_), model._scaler.scale_)


def _box_cox(graph: Graph, values: str, powers: Array) -> str:
    log = np.abs(powers) < np.finfo(np.float64).eps
    power = np.where(log, 1.0, powers)
    raised = graph.add("Div", graph.add("Sub", graph.add("Pow", values, power), ONE), power)
    return graph.add("Where", log, graph.add("Log", values), raised) if log.any() else raised


def _by_category(graph: Graph, model: Any, values: str) -> str:
    """Look up, column by column, the encoder's values for each category, and for an unknown one."""
    categories = model.categories_
    rows = np.array([kinds[0] for kinds in categories], dtype=object)
    strange = [] if getattr(model, "handle_unknown", "") == "error" else ["\0 unknown"]
    each = len(model.get_feature_names_out()) // len(categories)  # OneHotEncoder alone has another width for each
    widths = getattr(model, "_n_features_outs", [each] * len(categories))
    found = []
    for column, (start, stop) in enumerate(pairwise(np.cumsum([0, *widths]))):
        asked = np.tile(rows, (len(categories[column]) + len(strange), 1))
        asked[:, column] = [*categories[column], *strange]
        made = model.transform(asked)
        table = np.asarray(made.todense() if hasattr(made, "todense") else made, dtype=np.float64)[:, start:stop]
        texts = graph.add("Gather", values, np.array(column), axis=1)
        number = graph.number(texts, categories[column], len(table) - 1)
        found.append(graph.add("Gather", table, number, axis=0))
    return graph.add("Concat", *found, axis=1)


def _splines(graph: Graph, model: Any, values: str) -> str:
    """Add up the Taylor series of each spline at the knot before the value."""
    if model.extrapolation != "constant" or model.handle_missing != "error":
        raise NotImplementedError("splines with another extrapolation than constant, or of missing values")
    found = []
    for column, spline in enumerate(model.bsplines_):
        knots = spline.t[spline.k : len(spline.t) - spline.k]
        x = graph.add("Gather", values, np.array([column]), axis=1)
        x = graph.add("Max", graph.add("Min", x, knots[-1:]), knots[:1])
        passed = graph.add("Cast", graph.add("GreaterOrEqual", x, knots[1:-1]), to=TensorProto.INT64)
        interval = graph.add("ReduceSum", passed, np.array([1]), keepdims=0)
        beyond = graph.add("Sub", x, graph.add("Gather", knots[:-1, None], interval, axis=0))
        made = ""
        for order in range(spline.k, -1, -1):
            terms = spline(knots[:-1], nu=order)[:, : None if model.include_bias else -1] / math.factorial(order)
            term = graph.add("Gather", terms, interval, axis=0)
            made = graph.add("Add", graph.add("Mul", made, beyond), term) if made else term
        found.append(made)
    return graph.add("Concat", *found, axis=1)


STEPS: dict[Any, Callable[[Graph, Any, str], str]] = {
    SimpleImputer: _impute,
    preprocessing.FunctionTransformer: lambda graph, model, values: apply_function(graph, model.func, values),
    preprocessing.KBinsDiscretizer: _bins,
    preprocessing.OneHotEncoder: _by_category,
    preprocessing.OrdinalEncoder: _by_category,
    preprocessing.PolynomialFeatures: _polynomial,
    preprocessing.PowerTransformer: _power,
    preprocessing.SplineTransformer: _splines,
    preprocessing.TargetEncoder: _by_category,
}
