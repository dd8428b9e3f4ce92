"""Arrow IPC streams as request and response: for large batches, columns need no decoding."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.contract import Array
from slipway.serving.problems import MAX_ERRORS, ProblemDetails, malformed, too_large

if TYPE_CHECKING:
    from slipway.serving.model import LoadedModel

TYPE = "application/vnd.apache.arrow.stream"


def answer(model: LoadedModel, body: bytes) -> tuple[bytes, int]:
    """Predict for the rows of a stream; returns a stream of `label` and `probability_<class>`, or `value`, and `id`.

    Raises ProblemDetails.
    """
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        raise ProblemDetails(415, "wrong-type", "this server lacks Arrow: install slipway[arrow]") from None
    reader, optional = model.rows, {column.name for column in model.contract.columns if column.optional}
    try:
        if any(_compressed(message) for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(body))):
            raise ProblemDetails(415, "wrong-type", "compressed Arrow streams are not accepted")
        with pa.ipc.open_stream(pa.BufferReader(body)) as stream:
            table = stream.read_all()
        table.validate(full=True)
        reader.check_count(table.num_rows)
        if table.num_columns > len(model.contract.columns) + MAX_ERRORS:
            raise too_large(f"{table.num_columns} columns; the model has {len(model.contract.columns)}")
        columns = {name: _values(pa, table.column(name), name in optional, len(body)) for name in table.column_names}
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        raise malformed(f"not an Arrow stream: {error}"[:300]) from None
    if len(columns) != table.num_columns:
        raise malformed("the stream has two columns of the same name")
    outputs = model.columns(reader.check(columns))
    result_columns: dict[str, Any] = {}
    for name, values in outputs.items():
        if name == "probabilities":
            result_columns |= {f"probability_{c}": values[:, n] for n, c in enumerate(model.classes)}
        else:
            result_columns[name] = pa.array(values)
    result = pa.table(result_columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, result.schema) as writer:
        writer.write_table(result)
    return sink.getvalue().to_pybytes(), table.num_rows


def _values(pa: Any, column: Any, optional: bool, limit: int) -> Array:
    if pa.types.is_dictionary(column.type):
        column = column.combine_chunks()
        known = np.array([*column.dictionary.to_pylist(), None], dtype=object)  # shared, not copied for each row
        values: Array = known[column.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]
        if sum(len(value) for value in values if isinstance(value, str)) > limit:
            raise too_large("the texts of the stream's dictionary, repeated for each row, are larger than the stream")
        return values
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array([*column.to_pylist(), None], dtype=object)[:-1]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = column.to_numpy()
        if optional and pa.types.is_floating(kind) and np.count_nonzero(np.isnan(values)) > column.null_count:
            raise ValueError("NaN; a missing value is null")
        return values
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz):
        finer = pa.types.is_timestamp(kind) and kind.unit == "ns"  # loses digits
        return np.asarray(column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=not finer).to_numpy())
    raise ValueError(f"a column of {kind}; use numbers, booleans, strings, dates, and timestamps with a time zone")


def _compressed(message: Any) -> bool:
    """Whether a message's body is compressed: pyarrow only says so after unpacking it, which could fill the memory.

    The metadata is a FlatBuffer: of Message (version, header_type, header), RecordBatch (length, nodes, buffers,
    compression) and DictionaryBatch (id, data: RecordBatch).
    """
    if message.type not in ("record batch", "dictionary"):
        return False
    data = message.metadata
    batch = _table(data, _field(data, _table(data, 0), 2))
    if message.type == "dictionary":
        batch = _table(data, _field(data, batch, 1))
    return _field(data, batch, 3) > 0


def _table(data: Any, at: int) -> int:
    return at + int(struct.unpack_from("<I", data, at)[0])


def _field(data: Any, table: int, number: int) -> int:
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size, at = struct.unpack_from("<H", data, vtable)[0], 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + at)[0] if at < size else 0
    return table + int(offset) if offset else 0
