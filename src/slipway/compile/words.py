"""scikit-learn's CountVectorizer and TfidfVectorizer: the terms of a text are counted and weighted in float64.

The text is split outside of the graph, by `slipway.model.words`, which is the same code for every analyzer, case and
language; the graph gets the terms by an input of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx.helper import make_tensor_value_info
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from slipway.compile.trees import Graph
from slipway.contract import Contract
from slipway.model.words import METADATA, SEPARATOR, Splitter, dump

VECTORIZERS = (CountVectorizer, TfidfVectorizer)
INPUT = "_terms"


def vectorizer_shapes(operator: Any) -> None:
    """Announce the output of `convert_vectorizer`; skl2onnx calls this."""
    size = len(operator.raw_operator.vocabulary_)
    operator.outputs[0].type = DoubleTensorType([operator.inputs[0].get_first_dimension(), size])


class Vectorizers:
    """Converts the vectorizers of one model, and gives each an input for its terms."""

    def __init__(self, contract: Contract) -> None:
        self._texts = {column.name for column in contract.columns if not column.numeric}
        self._splitters: dict[str, Splitter] = {}  # by the name of the terms in the graph

    def convert(self, scope: Any, operator: Any, container: Any) -> None:
        """Convert a vectorizer; skl2onnx calls this. Raises NotImplementedError for code of the project's own."""
        model, graph = operator.raw_operator, Graph(scope, container)
        tokens = graph.add(
            "Tokenizer", operator.inputs[0].full_name, domain="com.microsoft",
            tokenexp=f"[^{SEPARATOR}]+", mark=0, mincharnum=1, pad_value=SEPARATOR,
        )  # fmt: skip
        self._splitters[tokens] = _splitter(model, operator.inputs[0].raw_name, self._texts)
        table = graph.add("Flatten", tokens)
        terms = sorted(model.vocabulary_, key=model.vocabulary_.get)
        counts = graph.add(
            "TfIdfVectorizer", table, mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0,
            pool_strings=terms, ngram_counts=[0], ngram_indexes=list(range(len(terms))),
        )  # fmt: skip
        values = graph.add("Cast", counts, to=onnx.TensorProto.DOUBLE)
        if isinstance(model, TfidfVectorizer):
            values = _weighted(graph, model, values)
        graph.add("Identity", values, output=operator.outputs[0].full_name)

    def settle(self, model: onnx.ModelProto) -> None:
        """Give each vectorizer its input, and say how its terms are made."""
        named: dict[str, Splitter] = {}
        for node in model.graph.node:
            if node.output[0] in self._splitters:
                node.input[0] = name = f"{INPUT}{len(named)}"
                named[name] = self._splitters[node.output[0]]
                model.graph.input.append(make_tensor_value_info(name, onnx.TensorProto.STRING, [None, 1]))
        if named:
            item = model.metadata_props.add()
            item.key, item.value = METADATA, dump(named)


def _splitter(model: Any, column: str, texts: set[str]) -> Splitter:
    if column not in texts:
        raise NotImplementedError("a vectorizer whose input is not a column of the row")
    for name in ("preprocessor", "tokenizer"):
        if getattr(model, name) is not None:
            raise NotImplementedError(f"a {name} of the project's own")
    if callable(model.analyzer) or callable(model.strip_accents):
        raise NotImplementedError("an analyzer of the project's own")
    if any(SEPARATOR in term for term in model.vocabulary_):
        raise NotImplementedError("a term that holds the character U+001F")
    return Splitter(
        column=column,
        analyzer=model.analyzer,
        lowercase=model.lowercase,
        strip_accents=model.strip_accents,
        token_pattern=model.token_pattern,
        stop_words=tuple(sorted(model.get_stop_words() or ())),
        ngram_range=tuple(model.ngram_range),
        binary=model.binary,
    )


def _weighted(graph: Graph, model: TfidfVectorizer, counts: str) -> str:
    """Weigh counts by how rare a term is, and scale each row to length 1."""
    values, zero, one = counts, np.array([0.0]), np.array([1.0])
    if model.sublinear_tf:
        there = graph.add("Greater", counts, zero)
        logarithm = graph.add("Log", graph.add("Where", there, counts, one))
        values = graph.add("Where", there, graph.add("Add", logarithm, one), zero)
    if model.use_idf:
        values = graph.add("Mul", values, np.asarray(model.idf_, dtype=np.float64))
    if model.norm is None:
        return values
    kind = {"l1": "ReduceL1", "l2": "ReduceL2"}[model.norm]
    length = graph.add(kind, values, np.array([1], dtype=np.int64), keepdims=1)
    return graph.add("Div", values, graph.add("Where", graph.add("Greater", length, zero), length, one))
