"""TransformedTargetRegressor: its regressor's predictions, transformed back."""

from __future__ import annotations

from typing import Any

import numpy as np
from skl2onnx._parse import _parse_sklearn
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from slipway.compile.steps import apply_function
from slipway.compile.trees import Graph


def parse_target(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Announce the regressor, then the way back; skl2onnx calls this."""
    back = scope.declare_local_operator("SlipwayTransformedTarget", model)
    back.inputs = _parse_sklearn(scope, model.regressor_, inputs, custom_parsers=custom_parsers)
    back.outputs.append(scope.declare_local_variable("value", DoubleTensorType([None, 1])))
    return back.outputs


def target_shapes(operator: Any) -> None:
    """Announce the output of `convert_target`; skl2onnx calls this."""
    operator.outputs[0].type = DoubleTensorType([operator.inputs[0].get_first_dimension(), 1])


def convert_target(scope: Any, operator: Any, container: Any) -> None:
    """Convert the way back from a transformed target; skl2onnx calls this.

    Raises NotImplementedError for a transformation whose inverse ONNX does not have.
    """
    graph = Graph(scope, container)
    predicted = graph.add("Reshape", operator.inputs[0].full_name, np.array([-1, 1]))
    values = _back(graph, operator.raw_operator.transformer_, predicted)
    graph.add("Identity", values, output=operator.outputs[0].full_name)


def _back(graph: Graph, transformer: Any, values: str) -> str:
    if isinstance(transformer, StandardScaler):
        scaled = values if transformer.scale_ is None else graph.add("Mul", values, transformer.scale_)
        return scaled if transformer.mean_ is None else graph.add("Add", scaled, transformer.mean_)
    if isinstance(transformer, MinMaxScaler) and not transformer.clip:
        return graph.add("Div", graph.add("Sub", values, transformer.min_), transformer.scale_)
    if isinstance(transformer, FunctionTransformer):
        return apply_function(graph, transformer.inverse_func, values)
    raise NotImplementedError(f"a target that is transformed by {type(transformer).__name__}")
