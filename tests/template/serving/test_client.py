"""slipway.client against a running service, and against one that is overloaded or loses connections."""

from __future__ import annotations

import asyncio
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import BaseModel

import slipway.client
from answering import Answer, Asked, answering
from serving.running import Process
from slipway.client import AsyncClient, Client, Explanation, Prediction, ServiceError

ANSWER = {"model": {"name": "flowers", "version": "0"}, "predictions": [{"label": "lily", "id": "1"}]}
OVERLOADED = Answer(503, {"type": "urn:slipway:problem:overloaded", "detail": "try again"}, {"retry-after": "0"})
FINE = Answer(200, ANSWER)
LOST = None  # the connection is closed without an answer


class Flower(BaseModel):
    """A row as the project declares it."""

    site: str
    height: float
    leaves: int
    potted: bool


@dataclass
class Script:
    """A server that answers as told, one request after the other. bodies: of the requests."""

    url: str = ""
    answers: list[Answer | None] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def answer(self, asked: Asked) -> Answer | None:
        self.bodies.append(asked.body)
        return self.answers.pop(0)


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()
    with answering(made.answer) as made.url:
        yield made


def test_a_row_is_predicted_and_its_truth_told_once(process: Process, row: dict[str, Any]) -> None:
    with Client(process.url) as client:
        prediction = client.predict(row)
        assert prediction.label == "lily"
        assert prediction.probabilities
        assert sum(prediction.probabilities.values()) == pytest.approx(1)
        assert client.predict(Flower(**row)).probabilities == prediction.probabilities
        assert client.feedback(prediction.id, "lily") == "correct"
        with pytest.raises(ServiceError) as refused:
            client.feedback(prediction.id, "lily")
    assert (refused.value.status, refused.value.kind) == (409, "duplicate")


def test_a_wrong_row_is_refused_with_its_field(process: Process, row: dict[str, Any]) -> None:
    with Client(process.url) as client, pytest.raises(ServiceError, match="row 1: height") as refused:
        client.predict_rows([row, {**row, "height": 11.0}])
    assert [(error["row"], error["field"]) for error in refused.value.errors] == [(1, "height")]


@pytest.mark.parametrize("as_numpy", [np.int64, np.int32])
def test_rows_may_hold_what_numpy_and_pandas_do(process: Process, row: dict[str, Any], as_numpy: type) -> None:
    given = {**row, "height": np.float32(row["height"]), "leaves": as_numpy(row["leaves"]), "potted": np.True_}
    with Client(process.url) as client:
        expected = client.predict({**row, "potted": True})
        assert client.predict(given).probabilities == expected.probabilities
        assert client.predict(pd.Series(given)).probabilities == expected.probabilities
        assert client.feedback(expected.id, np.str_("lily")) == "correct"


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        *((missing, None) for missing in (float("nan"), np.float32("nan"), pd.NA, pd.NaT)),
        ("nan", "nan"),
        (date(2024, 2, 29), "2024-02-29"),
        (pd.Timestamp("2024-02-29T06:30Z"), "2024-02-29T06:30:00+00:00"),
    ],
)
def test_a_missing_value_is_sent_as_null_and_a_date_as_text(script, value, sent) -> None:
    script.answers += [FINE]
    with Client(script.url) as client:
        client.predict({"x": value})
    assert [json.loads(body) for body in script.bodies] == [{"rows": [{"x": sent}]}]


def test_a_table_among_rows_is_told_where_it_belongs(process: Process, row: dict[str, Any]) -> None:
    with Client(process.url) as client, pytest.raises(TypeError, match="predict_table"):
        client.predict_rows(pd.DataFrame([row]))  # type: ignore[arg-type]


def test_a_wrong_row_of_a_table_has_its_number_in_the_table(process: Process, row: dict[str, Any]) -> None:
    async def ask(table: pd.DataFrame) -> None:
        async with AsyncClient(process.url) as client:
            await client.predict_table(table, rows=3)

    table = pd.DataFrame([row] * 7)
    table.loc[5, "height"] = 11.0
    with Client(process.url) as client, pytest.raises(ServiceError, match="row 5: height") as refused:
        client.predict_table(table, rows=3)
    assert [error["row"] for error in refused.value.errors] == [5]
    with pytest.raises(ServiceError, match="row 5: height"):
        asyncio.run(ask(table))


def test_a_refusal_survives_the_way_between_processes(process: Process) -> None:
    with Client(process.url) as client, pytest.raises(ServiceError) as refused:
        client.predict({})
    copy = pickle.loads(pickle.dumps(refused.value))
    assert (str(copy), copy.status, copy.errors) == (str(refused.value), 422, refused.value.errors)


def test_a_row_is_explained_synchronously_and_not(process: Process, row: dict[str, Any]) -> None:
    async def ask() -> Explanation:
        async with AsyncClient(process.url) as client:
            return (await client.explain([row]))[0]

    with Client(process.url) as client:
        one, two = client.explain([row, Flower(**row)])
        prediction = client.predict(row)
    assert one == two == asyncio.run(ask())
    assert (one.label, one.standard_errors) == (prediction.label, None)
    assert one.probabilities
    assert one.base + sum(one.contributions.values()) == pytest.approx(one.probabilities["lily"])


@pytest.mark.parametrize("kind", ["pandas", "arrow"])
def test_a_table_is_predicted_in_parts_as_its_rows_are(process: Process, row: dict[str, Any], kind: str) -> None:
    rows = [{**row, "height": 1 + n / 4} for n in range(7)]
    frame = pd.DataFrame(rows, index=range(100, 107))
    with Client(process.url) as client:
        one_by_one = client.predict_rows(rows)
        table = client.predict_table(frame if kind == "pandas" else pa.Table.from_pylist(rows), rows=3)
    if kind == "pandas":
        assert table.index.tolist() == frame.index.tolist()
    else:
        table = table.to_pandas()
    assert table["label"].tolist() == [prediction.label for prediction in one_by_one]
    expected = [prediction.probabilities["lily"] for prediction in one_by_one if prediction.probabilities]
    assert table["probability_lily"].tolist() == pytest.approx(expected)


def test_the_asynchronous_client_gives_the_same(process: Process, row: dict[str, Any]) -> None:
    async def ask() -> tuple[Prediction, str, Any]:
        async with AsyncClient(process.url) as client:
            one, two = await asyncio.gather(client.predict(row), client.predict(row))
            assert one.probabilities == two.probabilities
            return one, await client.feedback(two.id, "rose"), await client.predict_table(pd.DataFrame([row] * 3))

    prediction, outcome, table = asyncio.run(ask())
    assert prediction.label == "lily"
    assert outcome == "incorrect"
    assert table["label"].tolist() == ["lily"] * 3


def test_a_key_is_sent(made: dict[str, Path], tmp_path: Path, row: dict[str, Any]) -> None:
    (tmp_path / "keys").write_text("open sesame\n")
    with Process(made["weight"], api_keys_file=tmp_path / "keys") as guarded:
        with Client(guarded.url, key="open sesame") as client:
            prediction = client.predict(row)
            assert prediction.value
            assert prediction.label is None
            assert client.feedback(prediction.id, 2.5) == "scored"
        with Client(guarded.url) as client, pytest.raises(ServiceError, match="answers 401"):
            client.predict(row)


LATER = Answer(429, {}, {"retry-after": formatdate(0, usegmt=True)})


@pytest.mark.parametrize(
    ("answers", "asked"), [([OVERLOADED, FINE], 2), ([LATER, Answer(502, "no JSON"), FINE], 3), ([LOST, FINE], 2)]
)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_request_that_was_not_taken_is_repeated(script, answers, asked, asynchronous) -> None:
    script.answers += answers

    async def ask() -> Prediction:
        async with AsyncClient(script.url) as client:
            return await client.predict({})

    with Client(script.url) as client:
        assert (asyncio.run(ask()) if asynchronous else client.predict({})).label == "lily"
    assert len(script.bodies) == asked


@pytest.mark.parametrize(
    ("answers", "options", "status"),
    [
        ([OVERLOADED] * 3, {"retries": 2}, 503),
        ([Answer(503, {}, {"retry-after": "60"})], {"patience": 10}, 503),
        ([Answer(500, {"detail": "failed"})], {}, 500),
        ([Answer(422, {"detail": "wrong"})], {}, 422),
    ],
)
def test_what_would_not_help_is_not_repeated(script, answers, options, status) -> None:
    script.answers += answers
    with Client(script.url, **options) as client, pytest.raises(ServiceError) as refused:
        client.predict({})
    assert refused.value.status == status
    assert len(script.bodies) == len(answers)


@pytest.mark.parametrize("ask", [lambda client: client.feedback("1", "lily"), lambda client: client.explain([{}])])
def test_feedback_that_may_have_been_counted_and_an_explanation_under_way_are_not_sent_again(script, ask) -> None:
    script.answers += [LOST]
    with Client(script.url) as client, pytest.raises(httpx.TransportError):
        ask(client)
    assert len(script.bodies) == 1


HTML = {"content-type": "text/html"}
LESS = {"predictions": [{"label": "lily"}]}  # without an id


@pytest.mark.parametrize("content", [b"<html>Sign in</html>", {"status": "ok"}, ["ok"], {"predictions": []}, LESS])
@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.predict({}),
        lambda client: client.explain([{}]),
        lambda client: client.predict_table(pd.DataFrame({"x": [1]})),
        lambda client: client.feedback("1", "lily"),
    ],
)
def test_an_answer_of_another_program_is_no_prediction(script, ask, content) -> None:
    """Such as the page of a proxy, with status 200."""
    script.answers += [Answer(200, content, HTML)]
    with (
        Client(script.url) as client,
        pytest.raises(ServiceError, match="not an answer of a Slipway service") as refused,
    ):
        ask(client)
    assert refused.value.status == 200
    assert len(script.bodies) == 1


def test_a_field_that_a_newer_service_adds_is_passed_over(script) -> None:
    script.answers += [Answer(200, {"predictions": [{"label": "lily", "id": "1", "new": 1}]})]
    with Client(script.url) as client:
        assert client.predict({}) == Prediction(id="1", label="lily")


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("url", ["127.0.0.1:8000", "", "file:///etc"])
def test_an_address_that_is_none_is_refused_at_once(client, url) -> None:
    with pytest.raises(ValueError, match="http://"):
        client(url)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_no_answer_is_told_with_the_address(asynchronous) -> None:
    async def ask() -> None:
        async with AsyncClient("http://127.0.0.1:1", retries=1) as client:
            await client.predict({})

    with Client("http://127.0.0.1:1", retries=1) as client, pytest.raises(httpx.ConnectError) as failed:
        asyncio.run(ask()) if asynchronous else client.predict({})
    assert failed.value.__notes__ == ["POST http://127.0.0.1:1/predict"]


def test_the_file_works_without_the_rest_of_slipway(tmp_path: Path) -> None:
    shutil.copy(slipway.client.__file__, tmp_path / "flowers.py")
    code = "import sys, flowers; assert not [name for name in sys.modules if name.startswith('slipway')]"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
