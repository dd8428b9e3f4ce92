"""The Open Inference Protocol (V2) over HTTP, in JSON and with the binary tensor extension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from starlette.responses import Response

from slipway.contract import Array, Column
from slipway.model.predictor import label_name
from slipway.serving.batching import SMALL_ROWS
from slipway.serving.model import LoadedModel
from slipway.serving.problems import encode, malformed, shape
from slipway.serving.route import Call
from slipway.serving.rows import json_content

HEAD = b"inference-header-content-length"
OCTETS = "application/octet-stream"
DTYPES: dict[str, str] = {
    "BOOL": "?",
    **{
        f"{sign}INT{bits}": f"<{letter}{bits // 8}"
        for sign, letter in (("", "i"), ("U", "u"))
        for bits in (8, 16, 32, 64)
    },
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}
DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL"}  # of any other kind: BYTES
LENGTH = 4  # bytes of the length prefix of each element of a BYTES tensor


class Tensor(Struct):
    """An input tensor."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class RequestedOutput(Struct):
    """A requested output."""

    name: str
    parameters: dict[str, Any] = {}


class Infer(Struct):
    """An inference request."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[RequestedOutput] = []
    parameters: dict[str, Any] = {}


async def infer(model: LoadedModel, call: Call) -> bytes | Response:
    """Answer an inference request. Raises ProblemDetails."""
    request, arrays = await model.read(lambda: _read(model, call), call.content)
    call.rows = len(next(iter(arrays.values())))
    outputs = await model.outputs(arrays)
    if call.rows <= SMALL_ROWS:
        return _response(model, request, outputs)
    return await model.batcher.many(lambda: _response(model, request, outputs))


def _read(model: LoadedModel, call: Call) -> tuple[Infer, dict[str, Array]]:
    request, rest = _request(model, call)
    values: dict[str, Any] = {}
    for tensor in request.inputs:
        if tensor.name in values:
            raise malformed(f"the input {tensor.name[:100]!r} is given twice")
        model.rows.check_count(_size(tensor))
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            values[tensor.name] = _json_values(tensor)
            continue
        if not isinstance(size, int) or not 0 <= size <= len(rest):
            raise malformed(f"{tensor.name[:100]}: binary_data_size does not match the data")
        values[tensor.name], rest = _binary_values(tensor, rest[:size]), rest[size:]
    if rest:
        raise malformed("more binary data than the inputs declare")
    if len({output.name for output in request.outputs}) < len(request.outputs):
        raise malformed("an output is requested twice")
    return request, model.rows.check(values)


def metadata(model: LoadedModel) -> dict[str, Any]:
    """Describe the model's inputs and outputs."""
    contract = model.contract
    classes = model.predictor.classes
    outputs: list[dict[str, Any]] = [{"name": "value", "datatype": "FP64", "shape": [-1]}]
    if classes:
        outputs = [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, len(classes)]},
        ]
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": f"slipway_{model.predictor.bundle.manifest.runtime}",
        "inputs": [_described(column) for column in contract.columns],
        "outputs": [*outputs, {"name": "id", "datatype": "BYTES", "shape": [-1]}],
    }


def example(model: LoadedModel) -> list[dict[str, Any]]:
    """The inputs of a request with the contract's example row."""
    values = model.contract.example
    return [
        {"name": tensor["name"], "datatype": tensor["datatype"], "shape": [1], "data": [values[tensor["name"]]]}
        for tensor in metadata(model)["inputs"]
    ]


def _described(column: Column) -> dict[str, Any]:
    # An integer tensor has no missing value; a floating-point tensor has NaN.
    datatype = "FP64" if column.kind == "integer" and column.optional else DATATYPES.get(column.kind, "BYTES")
    return {"name": column.name, "datatype": datatype, "shape": [-1], "parameters": {"optional": column.optional}}


def _request(model: LoadedModel, call: Call) -> tuple[Infer, memoryview]:
    body = call.content
    head = len(body)
    if HEAD in call.raw:
        text = call.raw[HEAD]
        if not text.isdigit() or int(text) > len(body):
            raise malformed("Inference-Header-Content-Length is not a length up to that of the body")
        head = int(text)
    model.rows.check_size(body[:head])
    try:
        return msgspec.convert(json_content(body[:head]), Infer), memoryview(body)[head:]
    except msgspec.ValidationError as error:
        raise shape(f"not an inference request: {error}") from None


def _size(tensor: Tensor) -> int:
    if not tensor.shape or any(side < 0 for side in tensor.shape) or any(side != 1 for side in tensor.shape[1:]):
        raise shape(f"{tensor.name[:100]}: the shape is [rows] or [rows, 1]")
    if tensor.datatype not in DTYPES and tensor.datatype != "BYTES":
        raise shape(f"{tensor.name[:100]}: the datatype {tensor.datatype[:100]!r} is unknown")
    return tensor.shape[0]


def _json_values(tensor: Tensor) -> list[Any]:
    values = tensor.data if tensor.data is not None else []
    if any(isinstance(value, list) for value in values):
        values = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]
    if len(values) != _size(tensor):
        raise malformed(f"{tensor.name[:100]}: the data do not fill the shape {tensor.shape}")
    return values


def _binary_values(tensor: Tensor, data: memoryview) -> Array:
    rows = _size(tensor)
    if tensor.datatype == "BYTES":
        return _text_values(tensor.name, data, rows)
    dtype = np.dtype(DTYPES[tensor.datatype])
    if len(data) != rows * dtype.itemsize:
        raise malformed(f"{tensor.name[:100]}: the data do not fill the shape {tensor.shape}")
    return np.frombuffer(data, dtype)


def _text_values(name: str, data: memoryview, rows: int) -> Array:
    texts: list[str | None] = []
    at = 0
    while at + LENGTH <= len(data):
        end = at + LENGTH + int.from_bytes(data[at : at + LENGTH], "little")
        if end > len(data):
            break
        try:
            texts.append(str(data[at + LENGTH : end], "utf-8") or None)
        except UnicodeDecodeError:
            raise malformed(f"{name[:100]}: not UTF-8") from None
        at = end
    if at != len(data) or len(texts) != rows:
        raise malformed(f"{name[:100]}: the data do not fill the shape")
    return np.array([*texts, None], dtype=object)[:-1]


def _response(model: LoadedModel, request: Infer, outputs: Mapping[str, Any]) -> bytes | Response:
    requested = request.outputs or [RequestedOutput(name) for name in outputs]
    all_binary = request.parameters.get("binary_data_output") is True
    tensors, parts = [], []
    for output in requested:
        if output.name not in outputs:
            raise malformed(f"unknown output {output.name[:100]!r}; the outputs are {', '.join(outputs)}")
        values = outputs[output.name]
        numeric = isinstance(values, np.ndarray)
        if not numeric:
            values = [label_name(value) for value in values]
        described: dict[str, Any] = {
            "name": output.name,
            "datatype": "FP64" if numeric else "BYTES",
            "shape": list(values.shape) if numeric else [len(values)],
        }
        if output.parameters.get("binary_data", all_binary) is True:
            part = np.ascontiguousarray(values, dtype="<f8").tobytes() if numeric else _packed(values)
            described["parameters"] = {"binary_data_size": len(part)}
            parts.append(part)
        else:
            described["data"] = values.reshape(-1).tolist() if numeric else values
        tensors.append(described)
    response = {"model_name": model.name, "model_version": model.version, "outputs": tensors}
    head = encode(response | ({"id": request.id} if request.id is not None else {}))
    if not parts:
        return head
    return Response(b"".join([head, *parts]), media_type=OCTETS, headers={HEAD.decode(): str(len(head))})


def _packed(texts: list[str]) -> bytes:
    parts = [text.encode() for text in texts]
    return b"".join(len(part).to_bytes(LENGTH, "little") + part for part in parts)
