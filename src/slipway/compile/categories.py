"""Splits by category of HistGradientBoosting: for each set of categories, a column that says whether a row is outside.

A tree of ONNX compares numbers, so each split by category becomes a comparison of such a column with 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from slipway.compile.trees import Graph, Nodes
from slipway.contract import Array


def encode(model: Any, trees: Sequence[Nodes], graph: Graph, columns: Sequence[str]) -> tuple[str, list[Nodes]]:
    """Add to the graph the rows that are compared, and give their name and the trees over them.

    trees: as the model has them: their features are the categorical ones, then the numbers.
    columns: the name of a column for each feature of the model, of shape (rows, 1).
    """
    parts = [part for round_ in model._predictors for part in round_]
    numbers, categorical = (np.flatnonzero(model.is_categorical_ == wanted).tolist() for wanted in (False, True))
    compared = [columns[feature] for feature in numbers]
    width = len(numbers)
    trees = [nodes._replace(feature=nodes.feature.astype(np.int64) - len(categorical)) for nodes in trees]
    encoder = model._preprocessor.named_transformers_["encoder"]
    for place, (feature, categories) in enumerate(zip(categorical, encoder.categories_, strict=True)):
        splits = [
            (number, node)
            for number, part in enumerate(parts)
            for node in np.flatnonzero(part.nodes["is_categorical"] & (part.nodes["feature_idx"] == place)).tolist()
        ]
        if not splits:
            continue
        present = categories[categories == categories]  # the last may be NaN: missing values were encoded as a category
        outside = [_outside(parts[number], node, len(present)) for number, node in splits]
        table, sets = np.unique(outside, axis=0, return_inverse=True)
        for (number, node), found in zip(splits, sets, strict=True):
            trees[number].feature[node] = width + found
            trees[number].threshold[node] = 0.5
        compared.append(graph.add("Gather", table.T.astype(np.float64), _code(graph, columns[feature], present)))
        width += len(table)
    return graph.add("Concat", *compared, axis=1), trees


def _outside(part: Any, node: int, size: int) -> Array:
    """Say for each category, and for a missing or unknown one after them, whether this split sends it to the right."""
    split, codes = part.nodes[node], np.arange(size, dtype=np.uint32)
    left = (part.raw_left_cat_bitsets[split["bitset_idx"]][codes // 32] >> (codes % 32)) & 1
    outside: Array = np.append(left, split["missing_go_to_left"]) == 0
    return outside


def _code(graph: Graph, column: str, categories: Array) -> str:
    """Number the categories of a column, shape (rows,); whatever is none of them has the number after the last."""
    size = len(categories)
    if categories.dtype.kind == "O":
        return graph.add("Reshape", graph.number(column, categories, size), np.array([-1]))
    same = graph.add("Equal", column, categories[np.newaxis].astype(np.float64))
    before = graph.add("Where", same, np.arange(size)[np.newaxis] - size, np.array(0))
    return graph.add("Add", graph.add("ReduceSum", before, np.array([1]), keepdims=0), np.array(size))
