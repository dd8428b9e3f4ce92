"""POST /predict: what goes in, what comes out, and what is refused and how."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError, create_model

from serving.bundles import Flower, flowers
from serving.running import Direct, quiet
from slipway.contract import Contract
from slipway.model.predictor import Predictor
from slipway.serving import ProblemDetails
from slipway.serving.rows import Rows, strict_json

ROW = {
    "site": st.sampled_from(["north", "south", "west: far"]),
    "height": st.floats(0, 10) | st.integers(0, 10),
    "leaves": st.integers(0, 99),
    "potted": st.booleans(),
}
OPTIONAL = {
    "shade": st.sampled_from(["none", "full", None]),
    "acidity": st.none() | st.floats(0, 14, exclude_min=True, exclude_max=True),
}
allowed = st.fixed_dictionaries(ROW, optional=OPTIONAL)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([1e400, 2**70, -0.0]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
slow = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", ["species", "alive", "weight", "skops"])
def test_all_three_forms_give_the_predictors_own_answer(kind: str, made: dict[str, Path]) -> None:
    predictor = Predictor.load(made[kind])
    rows = predictor.contract.rows({name: values[:70] for name, values in flowers().items()})
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    expected = predictor.predict(rows).as_json()
    direct = Direct(quiet(made[kind]))
    for body in ({"rows": rows}, {"columns": columns}):
        answer = direct.ask("/predict", body)
        assert answer.status == 200, answer.body
        assert [{k: v for k, v in p.items() if k != "id"} for p in answer.json()["predictions"]] == expected
    one = direct.ask("/predict", rows[0]).json()
    assert one["model"] == {"name": "flowers", "version": predictor.version}
    assert {k: v for k, v in one["predictions"][0].items() if k != "id"} == predictor.predict(rows[:1]).as_json()[0]
    direct.close()


@slow
@given(row=allowed)
def test_a_row_that_the_contract_allows_is_answered_as_the_predictor_does(row: dict[str, Any], direct: Direct) -> None:
    answer = direct.ask("/predict", row)
    assert answer.status == 200, answer.body
    expected = direct.model.predictor.predict([row]).as_json()[0]
    got = answer.json()["predictions"][0]
    assert got["label"] == expected["label"]
    assert got["probabilities"] == expected["probabilities"]


@slow
@given(row=st.dictionaries(st.sampled_from([*ROW, *OPTIONAL, "other"]), anything, max_size=7), base=st.none() | allowed)
def test_any_other_row_is_refused_and_the_server_lives(row: dict[str, Any], base: Any, direct: Direct) -> None:
    body = {**(base or {}), **row}
    answer = direct.ask("/predict", body)
    try:
        direct.model.predictor.contract.model().model_validate(body)
        finite = "Infinity" not in json.dumps(body) and "NaN" not in json.dumps(body)
    except ValidationError:
        finite = False
    assert answer.status in ((200,) if finite else (400, 422)), answer.body
    assert direct.ask("/predict", {"site": "north", "height": 1, "leaves": 1, "potted": False}).status == 200


@slow
@given(
    body=st.binary(max_size=40) | st.text(max_size=40).map(str.encode) | anything.map(lambda v: json.dumps(v).encode())
)
def test_bytes_of_any_kind_are_never_the_servers_error(body: bytes, direct: Direct) -> None:
    for path in ("/predict", "/explain", "/invocations", "/feedback", "/v2/models/flowers/infer"):
        for kind in ("application/json", "text/csv", "application/vnd.apache.arrow.stream"):
            assert 400 <= direct.ask(path, body, kind).status < 500, (path, kind)


@slow
@given(row=st.dictionaries(st.sampled_from([*ROW, *OPTIONAL, "other"]), anything, max_size=7), base=st.none() | allowed)
def test_the_fast_decoder_never_allows_what_pydantic_refuses(row: dict[str, Any], base: Any) -> None:
    rows = Rows(Contract.from_model(Flower), limit=10)
    body = json.dumps({**(base or {}), **row}).encode()
    try:
        fast = rows._one.decode(body)
    except ValueError:
        return
    explained = rows.validate([strict_json(body)])
    arrays, expected = rows.arrays([fast]), rows.arrays(explained)
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], expected[name])


def test_a_list_of_numbers_may_not_hold_infinity() -> None:
    level: Any = (float, ...)
    rows = Rows(Contract.from_model(create_model("Reading", level=level)), limit=10)
    with pytest.raises(ProblemDetails, match="level: Input should be a finite number"):
        rows.check({"level": [0.5, strict_json(b"1e400")]})


def test_every_error_is_listed_with_row_field_rule_and_value(direct: Direct, row: dict[str, Any]) -> None:
    rows = [row, {**row, "height": "4.5", "potted": 0}, {"site": "norht", "leaves": 3.5, "potted": True, "x": 1}]
    answer = direct.ask("/predict", {"rows": rows})
    problem = answer.json()
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    errors = {(error["row"], error["field"]): (error["rule"], error["value"]) for error in problem["errors"]}
    assert errors == {
        (1, "height"): ("float_type", "4.5"),
        (1, "potted"): ("bool_type", 0),
        (2, "site"): ("literal_error", "norht"),
        (2, "leaves"): ("int_type", 3.5),
        (2, "height"): ("missing", None),
        (2, "x"): ("extra_forbidden", 1),
    }
    assert problem["error_count"] == 6


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"leaves": False}, "int_type"),
        ({"leaves": "3"}, "int_type"),
        ({"leaves": 100}, "less_than"),
        ({"leaves": 2**70}, "less_than"),
        ({"height": -0.1}, "greater_than_equal"),
        ({"height": True}, "float_type"),
        ({"acidity": 0}, "greater_than"),
        ({"potted": None}, "bool_type"),
        ({"shade": "FULL"}, "literal_error"),
    ],
)
def test_nothing_is_coerced(change: dict[str, Any], rule: str, direct: Direct, row: dict[str, Any]) -> None:
    answer = direct.ask("/predict", row | change)
    assert answer.status == 422
    assert [error["rule"] for error in answer.json()["errors"]] == [rule]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"site":"north","height":NaN,"leaves":3,"potted":true}',
        b'{"site":"north","height":Infinity,"leaves":3,"potted":true}',
        b'{"site":"north","height":4.5,"leaves":3,"potted":true,"leaves":4}',
        b'{"rows":[{"site":"north","height":4.5,"height":4.5,"leaves":3,"potted":true}]}',
        b'{"site":"nor\xff","height":4.5,"leaves":3,"potted":true}',
        '{"site":"north","height":4.5,"leaves":3,"potted":true}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"rows":' * 50_000,
        b'{"site":"north","height":' + b"1" * 5000 + b',"leaves":3,"potted":true}',
    ],
    ids=[
        "empty",
        "cut",
        "nan",
        "infinity",
        "key-twice",
        "key-twice-in-rows",
        "latin",
        "utf-16",
        "deep",
        "deeper",
        "digits",
    ],
)
def test_what_is_not_json_is_malformed(body: bytes, direct: Direct) -> None:
    answer = direct.ask("/predict", body)
    assert answer.status == 400, answer.body
    assert answer.json()["type"] == "urn:slipway:problem:malformed"


def test_a_category_with_a_colon_is_not_taken_for_a_key_twice(direct: Direct, row: dict[str, Any]) -> None:
    assert direct.ask("/predict", row | {"site": "west: far"}).status == 200


def test_infinity_by_overflow_is_refused(direct: Direct) -> None:
    body = b'{"site":"north","height":1e999,"leaves":3,"potted":true}'
    assert direct.ask("/predict", body).status == 422


def test_columns_of_different_lengths_are_refused(direct: Direct) -> None:
    answer = direct.ask(
        "/predict", {"columns": {"site": ["north"], "height": [1.0, 2.0], "leaves": [1], "potted": [True]}}
    )
    assert (answer.status, "length" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize("body", [[], 3, "x", {"rows": []}, {"rows": 3}, {"columns": {}}, {"rows": [3]}])
def test_other_forms_are_refused(body: Any, direct: Direct) -> None:
    assert direct.ask("/predict", json.dumps(body).encode()).status == 422


def test_other_media_types_are_refused_with_those_that_are_taken(direct: Direct) -> None:
    answer = direct.ask("/predict", b"<row/>", "application/xml")
    assert (answer.status, "application/json" in answer.json()["detail"]) == (415, True)


def test_a_faulty_request_in_a_batch_fails_alone(bundle: Path, row: dict[str, Any]) -> None:
    direct = Direct(quiet(bundle))
    inner = direct.model.predictor.predict_arrays

    def breaks(arrays: Any) -> Any:
        if (arrays["height"] == 6.5).any():
            raise RuntimeError("the model broke")
        return inner(arrays)

    direct.model.predictor.predict_arrays = breaks  # type: ignore[method-assign]
    asked = [json.dumps(row | {"height": height}).encode() for height in (1.5, 6.5, 2.5)]

    async def together() -> list[Any]:
        return await asyncio.gather(*[direct._ask("/predict", body, "application/json", "POST") for body in asked])

    assert [answer.status for answer in direct._runner.run(together())] == [200, 500, 200]
    direct.close()


def test_whole_numbers_beyond_float64_are_refused() -> None:
    contract = Contract.from_schema({"title": "R", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    rows = Rows(contract, limit=10)
    assert rows.arrays(rows.decode(b'{"n":9007199254740992}'))["n"] == [2.0**53]  # type: ignore[arg-type]
    with pytest.raises(ProblemDetails):
        rows.decode(b'{"n":9007199254740993}')
