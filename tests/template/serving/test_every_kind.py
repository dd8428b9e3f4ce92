"""A field of every kind, required and optional, in every protocol, on the page, in expectations, bins and OpenAPI.

The model has derived features, too.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from serving.running import Direct, Process, quiet
from slipway.contract import features, record
from slipway.model.predictor import Predictor
from slipway.problem.params import Validate
from trips import trip_problem, trips

PROBLEM = trip_problem()
NAMES = features(PROBLEM).names
ONE = 7  # of the rows, one in which something is missing


@pytest.fixture(scope="module")
def predictor(trip_bundle: Path) -> Predictor:
    return Predictor.load(trip_bundle)


@pytest.fixture(scope="module")
def service(trip_bundle: Path) -> Iterator[Direct]:
    direct = Direct(quiet(trip_bundle))
    yield direct
    direct.close()


@pytest.fixture(scope="module")
def rows(predictor: Predictor) -> list[dict[str, Any]]:
    """A hundred rows of JSON, some values of which are missing."""
    found = predictor.contract.rows(predictor.contract.arrays(trips(100, seed=1)))
    assert sum(value is None for row in found for value in row.values()) > 50
    return found


@pytest.fixture(scope="module")
def labels(predictor: Predictor, rows: list[dict[str, Any]]) -> list[Any]:
    found = predictor.predict(rows).labels
    assert set(found) == {0, 1, 2}
    return found


def test_the_model_compiles_to_onnx_and_its_inputs_are_the_derived_features(predictor: Predictor) -> None:
    manifest = predictor.bundle.manifest
    assert manifest.runtime == "onnx"
    assert manifest.features
    assert {"hour", "way", "zone"} < manifest.features.columns.keys()
    assert "start" not in manifest.features.columns


@pytest.mark.parametrize("size", [1, 10, 100])
def test_json_by_row_by_rows_and_by_column(size: int, service: Direct, rows: list[Any], labels: list[Any]) -> None:
    columns = {name: [row[name] for row in rows[:size]] for name in NAMES}
    given = [{name: value for name, value in row.items() if value is not None} for row in rows[:size]]
    bodies: list[Any] = [{"rows": rows[:size]}, {"rows": given}, {"columns": columns}]
    for body in [*bodies, *(rows[:1] if size == 1 else ())]:
        answer = service.ask("/predict", body)
        assert [one["label"] for one in answer.json()["predictions"]] == labels[:size], answer.body


def test_a_row_with_pythons_own_dates_from_a_route_of_the_project(service: Direct, rows: list[Any]) -> None:
    import asyncio

    declared = [PROBLEM.row.model_validate(row).model_dump() for row in rows]
    answers = asyncio.run(service.model.predict(declared))
    assert [a["label"] for a in answers] == service.model.predictor.predict(rows).labels


@pytest.mark.parametrize("size", [1, 100])
def test_invocations_in_json_and_csv(size: int, service: Direct, rows: list[Any], labels: list[Any]) -> None:
    table = pd.DataFrame(rows[:size])
    split = {"columns": list(NAMES), "data": [[row[name] for name in NAMES] for row in rows[:size]]}
    for body, kind in (
        ({"dataframe_split": split}, "application/json"),
        (table.to_csv(index=False).encode(), "text/csv"),
    ):
        answer = service.ask("/invocations", body, kind)
        assert answer.json() == {"predictions": labels[:size]}, answer.body


@pytest.mark.parametrize("size", [1, 100])
def test_the_open_inference_protocol(size: int, service: Direct, rows: list[Any], labels: list[Any]) -> None:
    told = {one["name"]: one["datatype"] for one in service.ask("/v2/models/trips").json()["inputs"]}
    assert (told["day"], told["start_back"], told["zone"]) == ("BYTES", "BYTES", "INT64")
    inputs = [{"name": n, "datatype": told[n], "shape": [size], "data": [row[n] for row in rows[:size]]} for n in NAMES]
    answer = service.ask("/v2/models/trips/infer", {"inputs": inputs})
    found = {one["name"]: one["data"] for one in answer.json()["outputs"]}
    assert found["label"] == [str(label) for label in labels[:size]]


def test_arrow_with_texts_and_with_its_own_dates(service: Direct, rows: list[Any], labels: list[Any]) -> None:
    texts = pa.Table.from_pylist(rows)
    dated = texts
    for name, kind in (("day", pa.date32()), ("start", pa.timestamp("ms", "Europe/Vienna"))):
        for column in (name, f"{name}_back"):
            at = dated.column_names.index(column)
            dated = dated.set_column(at, column, dated.column(column).cast(kind))
    for table in (texts, dated):
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        answer = service.ask("/predict", sink.getvalue(), "application/vnd.apache.arrow.stream")
        with pa.ipc.open_stream(answer.body) as reader:
            assert reader.read_all().column("label").to_pylist() == labels


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("day", "17.5.2024", "a date as in ISO 8601 (2024-01-31)"),
        ("day", "2024-02-30", "a date as in ISO 8601"),
        ("day", "2024-05-17T00:00:00Z", "a date as in ISO 8601"),
        ("day", 20240517, "a date as in ISO 8601"),
        ("day", "2019-12-31", "greater than or equal to 2020-01-01"),
        ("day_back", "2030-01-01", "less than 2030-01-01"),
        ("start", "2024-05-17T06:30:00", "a date-time with its offset from UTC"),
        ("start", "2024-05-17", "a date-time with its offset from UTC"),
        ("start_back", "2024-01-01T00:30:00+01:00", "greater than or equal to 2024-01-01T00:00:00Z"),
        ("start_back", "", "a date-time with its offset from UTC"),
        ("zone", 3, "one of 1, 2, 5"),
        ("zone", True, "valid integer"),
        ("zone_back", "1", "valid integer"),
    ],
)
def test_a_wrong_value_is_refused_by_every_form_with_the_same_words(
    field: str, value: Any, words: str, service: Direct, predictor: Predictor, rows: list[Any]
) -> None:
    wrong = {**rows[ONE], field: value}
    for body in (wrong, {"rows": [rows[0], wrong]}, {"columns": {name: [wrong[name]] for name in NAMES}}):
        answer = service.ask("/predict", body)
        assert answer.status == 422, answer.body
        assert words in answer.json()["errors"][0]["message"]
    assert service.ask("/invocations", {"instances": [wrong]}).status == 422
    with pytest.raises(Exception, match=f"row 0: {field} is"):
        predictor.predict([wrong])


def test_mlflows_signature_and_the_table_that_it_takes(predictor: Predictor, rows: list[Any]) -> None:
    from mlflow.models.utils import _enforce_schema

    from slipway.tracking.model import signature, signed_table

    signed = signature(predictor.bundle)
    types = {name: column.type.name for name, column in signed.inputs.input_dict().items()}
    assert (types["day"], types["start_back"], types["zone"]) == ("string", "string", "long")
    assert signed.outputs.input_dict()["label"].type.name == "long"
    table = _enforce_schema(signed_table(predictor.contract, rows), signed.inputs)
    assert predictor.predict(table).labels == predictor.predict(rows).labels


def test_drift_bins_count_every_column(predictor: Predictor, service: Direct) -> None:
    bins = predictor.bundle.reference["features"]
    assert list(bins) == list(NAMES)
    assert all(sum(one["shares"]) == pytest.approx(1) for one in bins.values())
    assert bins["zone_back"]["labels"] == ["1", "2", "5", "missing"]
    assert all(bins["zone_back"]["shares"])
    assert bins["day"]["labels"][0].startswith("below 2024-")
    metrics = service.ask("/metrics").body.decode()
    assert 'slipway_feature_values_total{bin="5",feature="zone"' in metrics
    assert f'bin="{bins["start"]["labels"][3]}",feature="start"' in metrics


def test_expectations_are_derived_for_every_column() -> None:
    from slipway.expectations.derive import legible, of_records
    from slipway.stages.prepare import shape

    contract = record(PROBLEM)
    table = legible(contract, shape(contract, trips()).drop(columns="_row"))
    found = of_records(contract, table, Validate())
    said = {name: [e.description for e in found if getattr(e, "column", None) == name] for name in NAMES}
    assert "day is from 2020-01-01 and before 2030-01-01" in said["day"]
    assert "start_back is from 2024-01-01T00:00:00Z" in said["start_back"]
    assert "zone is one of 1, 2, 5" in said["zone"]
    assert all(len(words) > 1 for words in said.values())


def test_openapi_says_what_every_field_may_be_and_its_examples_are_answered(service: Direct) -> None:
    document = service.ask("/openapi.json").json()
    fields = document["components"]["schemas"]["Trip"]["properties"]
    assert fields["day"]["format"] == "date"
    assert fields["day"]["formatMinimum"] == "2020-01-01"
    assert fields["start_back"]["anyOf"][0]["format"] == "date-time"
    assert fields["zone"]["enum"] == [1, 2, 5]
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    examples = [one["value"] for one in content.get("examples", {}).values()] or [content["example"]]
    assert "2024-05-17T06:30:00Z" in json.dumps(examples)
    for example in examples:
        assert service.ask("/predict", example).status == 200


def test_the_page_has_a_control_for_every_kind_and_sends_what_it_holds(trip_bundle: Path, browser: Chrome) -> None:
    with Process(trip_bundle) as process:
        browser.get(process.url)
        WebDriverWait(browser, 30).until(lambda b: b.find_elements(By.CSS_SELECTOR, "button, h2 + p"))
        kinds = {name: browser.find_element(By.NAME, name) for name in NAMES}
        assert kinds["day"].get_attribute("type") == "date"
        assert kinds["day"].get_attribute("value") == "2024-05-17"
        assert kinds["start_back"].get_attribute("type") == "datetime-local"
        assert "UTC" in browser.find_element(By.ID, "field-start-hint").text
        browser.find_element(By.CSS_SELECTOR, "#form button").click()
        answer = WebDriverWait(browser, 30).until(lambda b: b.find_element(By.CSS_SELECTOR, "#answer strong").text)
        assert answer in ("0", "1", "2")


def test_integers_and_dates_come_back_from_arrays_as_json_has_them(predictor: Predictor, rows: list[Any]) -> None:
    assert predictor.contract.rows(predictor.contract.arrays(rows)) == rows
    stamps = pd.DataFrame(rows).assign(
        **{name: pd.to_datetime([row[name] for row in rows]) for name in ("day", "start")}
    )
    np.testing.assert_array_equal(predictor.contract.checked(stamps)["start"], predictor.contract.arrays(rows)["start"])
