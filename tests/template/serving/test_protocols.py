"""Other servers' clients work unchanged: MLflow's, SageMaker's, Triton's; and Arrow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tritonclient.http as triton

from serving.bundles import flowers
from serving.running import Direct, Process, client
from slipway.contract import Contract
from slipway.model.predictor import Predictor

ARROW = "application/vnd.apache.arrow.stream"
DATATYPES = {
    "site": "BYTES",
    "shade": "BYTES",
    "height": "FP64",
    "leaves": "INT64",
    "potted": "BOOL",
    "acidity": "FP64",
}


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    return Predictor.load(bundle)


@pytest.fixture(scope="module")
def table(predictor: Predictor) -> pd.DataFrame:
    """Ten rows, as a client has them."""
    return pd.DataFrame(predictor.contract.rows({name: values[:10] for name, values in flowers().items()}))


@pytest.fixture(scope="module")
def labels(predictor: Predictor, table: pd.DataFrame) -> list[Any]:
    return predictor.predict(predictor.contract.arrays(table)).labels


def plain(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype(object).where(table.notna(), None)


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "inputs", "instances", "instances as lists"])
def test_each_of_mlflows_json_forms(form: str, direct: Direct, table: pd.DataFrame, labels: list[Any]) -> None:
    known = plain(table)
    body = {
        "dataframe_split": lambda: {"dataframe_split": {"columns": list(known), "data": known.values.tolist()}},
        "dataframe_records": lambda: {"dataframe_records": known.to_dict(orient="records")},
        "inputs": lambda: {"inputs": known.to_dict(orient="list")},
        "instances": lambda: {"instances": known.to_dict(orient="records")},
        "instances as lists": lambda: {
            "instances": known[
                list(Contract.from_schema(direct.model.predictor.contract.schema()).names)
            ].values.tolist()  # type: ignore[union-attr]
        },
    }[form]()
    answer = direct.ask("/invocations", body)
    assert answer.json() == {"predictions": labels}


def test_mlflows_csv_with_missing_values(direct: Direct, table: pd.DataFrame, labels: list[Any]) -> None:
    answer = direct.ask("/invocations", table.to_csv(index=False).encode(), "text/csv")
    assert answer.json() == {"predictions": labels}


def test_mlflows_own_client(process: Process, table: pd.DataFrame, labels: list[Any]) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    scoring = ScoringServerClient("127.0.0.1", process.ports[0])
    scoring.ping()
    assert scoring.get_version() == "0.1.0"
    frame = scoring.invoke(table).get_predictions()
    assert frame.iloc[:, 0].tolist() == labels


def test_sagemakers_probe_and_call(process: Process, row: dict[str, Any]) -> None:
    with client(process.url) as http:
        assert http.get("/ping").status_code == 200
        assert http.post("/invocations", json={"instances": [row]}).json() == {"predictions": ["lily"]}


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client(
    binary: bool, process: Process, predictor: Predictor, table: pd.DataFrame, labels: list[Any]
) -> None:
    connection = triton.InferenceServerClient(process.url.removeprefix("http://"))
    assert connection.is_server_live()
    assert connection.is_server_ready()
    assert connection.is_model_ready("flowers")
    assert connection.is_model_ready("flowers", predictor.version)
    told = {tensor["name"]: tensor["datatype"] for tensor in connection.get_model_metadata("flowers")["inputs"]}
    assert told == DATATYPES
    inputs = []
    for name, values in predictor.contract.arrays(table).items():
        tensor = triton.InferInput(name, [len(values), 1], DATATYPES[name])
        dtype = {"BYTES": object, "FP64": np.float64, "INT64": np.int64, "BOOL": bool}[DATATYPES[name]]
        if DATATYPES[name] == "FP64" and not binary:
            values = np.nan_to_num(values, nan=7.0)  # JSON has no NaN; this column is not looked at
        if name == "shade":
            values = np.where(values == "", "none", values) if not binary else values
        tensor.set_data_from_numpy(values.reshape(-1, 1).astype(dtype), binary_data=binary)
        inputs.append(tensor)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("label", "probabilities")]
    result = connection.infer("flowers", inputs, outputs=outputs, request_id="17")
    assert result.get_response()["id"] == "17"
    got = [value.decode() if isinstance(value, bytes) else value for value in result.as_numpy("label")]
    if binary:
        assert got == labels
        expected = predictor.predict(predictor.contract.arrays(table)).probabilities
        np.testing.assert_array_equal(result.as_numpy("probabilities"), expected)
    assert result.as_numpy("probabilities").shape == (10, 3)
    with pytest.raises(triton.InferenceServerException, match="height"):
        connection.infer("flowers", [tensor for tensor in inputs if tensor.name() != "height"])
    connection.close()


def tensors(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "datatype": DATATYPES[name], "shape": [1], "data": [value]} for name, value in row.items()]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"shape": [2]}, 400),
        ({"shape": []}, 422),
        ({"shape": [1, 2]}, 422),
        ({"datatype": "FP8"}, 422),
        ({"data": ["x"]}, 422),
        ({"data": None}, 400),
        ({"parameters": {"binary_data_size": 8}}, 400),
        ({"parameters": {"binary_data_size": -1}}, 400),
        ({"name": "leaves"}, 400),
    ],
)
def test_a_wrong_tensor_is_refused(change: dict[str, Any], status: int, direct: Direct, row: dict[str, Any]) -> None:
    inputs = tensors(row)
    inputs[1] |= change
    answer = direct.ask("/v2/models/flowers/infer", {"inputs": inputs})
    assert answer.status == status, answer.body
    assert isinstance(answer.json()["error"], str)


def test_another_model_or_version_is_not_found(direct: Direct, row: dict[str, Any]) -> None:
    for path in ("/v2/models/other/infer", "/v2/models/flowers/versions/0/infer"):
        assert direct.ask(path, {"inputs": tensors(row)}).status == 404


def stream(table: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["species", "weight"])
def test_arrow_in_and_out(kind: str, made: dict[str, Path]) -> None:
    from serving.running import quiet

    predictor = Predictor.load(made[kind])
    arrays = flowers(500, seed=1)
    rows = predictor.contract.rows(arrays)
    direct = Direct(quiet(made[kind]))
    answer = direct.ask("/predict", stream(pa.Table.from_pylist(rows)), ARROW)
    assert (answer.status, answer.headers["content-type"]) == (200, ARROW), answer.body
    with pa.ipc.open_stream(answer.body) as reader:
        got = reader.read_all()
    expected = predictor.predict_arrays(arrays)
    if kind == "weight":
        np.testing.assert_array_equal(got.column("value").to_numpy(), expected.values)
    else:
        assert got.column("label").to_pylist() == expected.labels
        np.testing.assert_array_equal(got.column("probability_lily").to_numpy(), expected.probabilities[:, 1])  # type: ignore[index]
    told = direct.ask("/feedback", {"id": got.column("id")[3].as_py(), "truth": "fern" if kind == "species" else 1.5})
    assert told.status == 200
    direct.close()


@pytest.mark.parametrize(
    ("column", "values", "status"),
    [
        ("height", pa.array([float("nan")] * 3), 422),
        ("acidity", pa.array([float("nan"), None, 7.0]), 400),
        ("height", pa.array([1.0, None, 2.0]), 422),
        ("height", pa.array([1.0, float("inf"), 2.0]), 422),
        ("height", pa.array([1.0, 11.0, 2.0]), 422),
        ("height", pa.array(["1", "2", "3"]), 422),
        ("leaves", pa.array([1.5, 2.0, 3.0]), 422),
        ("potted", pa.array([0, 1, 1]), 422),
        ("site", pa.array([b"a", b"b", b"c"]), 400),
        ("other", pa.array([0, 1, 1]), 422),
    ],
)
def test_arrow_is_as_strict_as_json(column: str, values: Any, status: int, direct: Direct, row: dict[str, Any]) -> None:
    table = pa.Table.from_pylist([row] * 3)
    at = table.column_names.index(column) if column in table.column_names else None
    table = table.append_column(column, values) if at is None else table.set_column(at, column, values)
    answer = direct.ask("/predict", stream(table), ARROW)
    assert answer.status == status, answer.body
    if status == 422:
        assert column in answer.json()["detail"]


def test_a_cut_arrow_stream_is_malformed(direct: Direct, row: dict[str, Any]) -> None:
    whole = stream(pa.Table.from_pylist([row] * 3))
    for size in (0, 10, len(whole) // 2, len(whole) - 20):
        assert direct.ask("/predict", whole[:size], ARROW).status in (400, 422)
