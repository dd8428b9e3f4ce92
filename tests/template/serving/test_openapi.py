"""The OpenAPI document: others can test the service by it, and make a typed client of it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from serving.running import Direct, Process, client

load_all_checks()
# A JSON Schema cannot say that columns are of one length, or that a tensor's data fill its shape. What is allowed
# and must be answered is tested row by row in test_predict.py.
BEYOND_SCHEMA = ("/predict", "/explain", "/invocations", "/v2/models/flowers/infer")


def test_a_generated_client_predicts(
    process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: dict[str, Any]
) -> None:
    with client(process.url) as http:
        (tmp_path / "openapi.json").write_text(http.get("/openapi.json").text)
    tools = Path(sys.executable).parent
    made = subprocess.run(
        [str(tools / "openapi-python-client"), "generate", "--path", "openapi.json",
         "--meta", "none",
         "--output-path", "flowers_client"],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module("flowers_client")
    models = importlib.import_module("flowers_client.models")
    predict = importlib.import_module("flowers_client.api.default.predict")
    feedback = importlib.import_module("flowers_client.api.default.feedback")
    known = {**row, "site": models.FlowerSite("north")}
    with package.Client(base_url=process.url) as connection:
        answer = predict.sync(client=connection, body=models.Flower(**known))
        assert isinstance(answer, models.Answer)
        assert answer.predictions[0].label == "lily"
        assert 0 < answer.predictions[0].probabilities.lily < 1
        many = predict.sync(client=connection, body=models.Rows(rows=[models.Flower(**known)] * 2))
        assert len(many.predictions) == 2
        judged = feedback.sync(
            client=connection, body=models.Feedback(id=answer.predictions[0].id, truth=models.FeedbackTruth("lily"))
        )
        assert judged.outcome == "correct"
        refused = predict.sync(client=connection, body=models.Flower(**{**known, "height": 11.0}))
        assert isinstance(refused, models.ProblemDocument)
        assert refused.errors[0].field == "height"


def test_the_examples_are_real(direct: Direct) -> None:
    api = direct.ask("/openapi.json").json()
    for path in ("/predict", "/explain", "/invocations", "/v2/models/flowers/infer"):
        examples = api["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        for example in examples.values():
            assert direct.ask(path, example["value"]).status == 200, example


def test_schemathesis_finds_nothing(process: Process) -> None:
    with client(process.url) as http:
        document = http.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    failures = [
        str(failure) for result in schema.get_all_operations() if (failure := violated(result.ok(), process.url))
    ]
    assert failures == []


def violated(operation: Any, url: str) -> Exception | None:
    """Call an operation with what its schema allows, and with what it does not; gives what it then does wrong."""
    unsaid = [positive_data_acceptance] if operation.path in BEYOND_SCHEMA else []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        case.call_and_validate(base_url=url, timeout=30, excluded_checks=unsaid)

    try:
        check()
    except (ExceptionGroup, AssertionError) as error:
        return error
    return None
