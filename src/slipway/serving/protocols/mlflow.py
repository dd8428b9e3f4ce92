"""POST /invocations: the protocol of MLflow's scoring server, and of SageMaker."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from slipway.contract import Array, Column
from slipway.serving.model import LoadedModel
from slipway.serving.problems import JSON, encode, malformed, shape, wrong_type
from slipway.serving.route import Call
from slipway.serving.rows import Rows, json_content

CSV = "text/csv"
INDEX = ("", "Unnamed: 0")
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


async def invocations(model: LoadedModel, call: Call) -> bytes:
    """Answer with one label or value for each row, as MLflow does. Raises ProblemDetails."""
    if call.type not in (JSON, CSV):
        raise wrong_type(call.type, [JSON, CSV])
    arrays = await model.read(lambda: _arrays(model.rows, call), call.content)
    call.rows = len(next(iter(arrays.values())))
    outputs = await model.outputs(arrays)
    return encode({"predictions": outputs["label"] if "label" in outputs else outputs["value"].tolist()})


def _arrays(reader: Rows, call: Call) -> dict[str, Array]:
    reader.check_size(call.content)
    rows = _csv(call.content, reader) if call.type == CSV else _json(json_content(call.content, _missing), reader)
    integers = [column.name for column in reader.contract.columns if column.kind == "integer"]
    for row in rows:
        for name in integers:  # pandas writes the integers of a column with missing values as 3.0
            if isinstance(row, dict) and isinstance(value := row.get(name), float) and value.is_integer():
                row[name] = int(value)
    return reader.arrays(reader.validate(rows))


def _missing(constant: str) -> None:
    """Decode NaN as a missing value, as MLflow's client writes it."""
    if constant != "NaN":
        raise ValueError(f"{constant} is not JSON")


def _json(content: Any, reader: Rows) -> list[Any]:
    given = [form for form in FORMS if isinstance(content, dict) and form in content]
    if len(given) != 1:
        raise shape(f"the body needs exactly one of {', '.join(FORMS)}")
    data = content[given[0]]
    if given[0] == "dataframe_split":
        if not isinstance(data, dict) or not {"columns", "data"} <= data.keys():
            raise shape('dataframe_split is {"columns": [...], "data": [[...], ...]}')
        return _named(data["data"], data["columns"], reader)
    if isinstance(data, dict) and data and not any(isinstance(value, (list, dict)) for value in data.values()):
        return [data]  # one row of scalars
    if isinstance(data, dict):
        return reader.transposed({name: _flat(values) for name, values in data.items()})
    if isinstance(data, list) and data and isinstance(data[0], list):
        return _named(data, reader.contract.names, reader)
    if not isinstance(data, list):
        raise shape(f"{given[0]} is a list of rows")
    reader.check_count(len(data))
    return data


def _named(rows: Any, columns: Any, reader: Rows) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not isinstance(columns, Sequence) or not all(isinstance(c, str) for c in columns):
        raise shape("rows are lists of values, columns are names")
    if len(set(columns)) != len(columns):
        raise shape("a column name is given twice")
    reader.check_count(len(rows))
    for row in rows:
        if not isinstance(row, list) or len(row) != len(columns):
            raise shape(f"a row is a list of {len(columns)} values")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _flat(values: Any) -> Any:
    if isinstance(values, list):
        return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]
    return values


def _csv(body: bytes, reader: Rows) -> list[dict[str, Any]]:
    columns = {column.name: column for column in reader.contract.columns}
    found: list[list[str]] = []
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        names = next(lines, [])
        for number, line in enumerate(lines):
            if line:
                found.append(line)
            if len(found) > reader.limit or number > 2 * reader.limit:  # the surplus lines are empty
                reader.check_count(number + 1)
    except (UnicodeDecodeError, csv.Error) as error:
        raise malformed(f"not CSV: {error}") from None
    if not names:
        raise malformed("not CSV: there is no header line")
    index = names[0] in INDEX and names[0] not in columns
    if index:  # pandas writes it by default
        names, found = names[1:], [line[1:] for line in found]
    rows = _named(found, names, reader)
    return [{name: _value(text, columns.get(name)) for name, text in row.items()} for row in rows]


def _value(text: str, column: Column | None) -> Any:
    """Parse a cell as its column's kind; on an error it stays text, which the contract then refuses."""
    if text == "":
        return None
    if column is None or not column.numeric or column.temporal:
        return text
    if column.kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return float(text) if "_" not in text else text
    except ValueError:
        return text
