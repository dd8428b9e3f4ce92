"""Arrow IPC streams, in and out, for large batches: columns travel as they lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from slipway.contract import Array
from slipway.serving.model import LoadedModel
from slipway.serving.problems import ProblemDetails, malformed

TYPE = "application/vnd.apache.arrow.stream"


def answer(model: LoadedModel, body: bytes) -> tuple[bytes, int]:
    """Predict for a stream's rows; gives a stream of `label` and `probability_<class>`, or `value`, and `id`.

    Raises ProblemDetails.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise ProblemDetails(415, "wrong-type", "this server lacks Arrow: install slipway[arrow]") from None
    try:
        with pa.ipc.open_stream(pa.BufferReader(body)) as stream:
            table = stream.read_all()
        table.validate(full=True)
        optional = {column.name for column in model.contract.columns if column.optional}
        columns = {name: _values(pa, table.column(name), name in optional) for name in table.column_names}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise malformed(f"not an Arrow stream: {error}"[:300]) from None
    if len(columns) != table.num_columns:
        raise malformed("a column stands twice in the stream")
    outputs = model.columns(model.rows.check(columns))
    made: dict[str, Any] = {}
    for name, values in outputs.items():
        if name == "probabilities":
            made |= {f"probability_{c}": values[:, n] for n, c in enumerate(model.classes)}
        else:
            made[name] = pa.array(values)
    result = pa.table(made)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, result.schema) as writer:
        writer.write_table(result)
    return sink.getvalue().to_pybytes(), table.num_rows


def _values(pa: Any, column: Any, optional: bool) -> Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array([*column.to_pylist(), None], dtype=object)[:-1]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values: Array = column.to_numpy()
        if optional and pa.types.is_floating(kind) and np.count_nonzero(np.isnan(values)) > column.null_count:
            raise ValueError("NaN; a missing value is null")
        return values
    raise ValueError(f"a column of {kind}; use numbers, booleans and strings")
