"""The OpenAPI document: FastAPI makes it from typed models that are derived from the contract."""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, create_model

from slipway.serving.model import Served


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    version: str = Field(description="The first 12 hex digits of the bundle's digest")


class Fault(BaseModel):
    """One thing that is wrong with a row."""

    row: int
    field: str
    rule: str
    message: str
    value: Any = None


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    error: str
    faults: list[Fault] = []
    faults_in_all: int = 0


def describe(served: Served) -> FastAPI:
    """Describe a model's service."""
    app = FastAPI(title=served.name, version=served.version, docs_url=None, redoc_url=None)
    row = served.predictor.contract.model()
    answer = _answer(served)
    many = create_model("Rows", __config__=ConfigDict(extra="forbid"), rows=(list[row], Field(min_length=1)))  # type: ignore[valid-type]
    _add(app, "POST", "/predict", "Predict", body=row | many, answer=answer)
    return app


def _add(app: FastAPI, method: str, path: str, summary: str, *, body: Any, answer: Any) -> None:
    def stub() -> None: ...

    stub.__signature__ = Signature([Parameter("body", Parameter.KEYWORD_ONLY, annotation=body)])  # type: ignore[attr-defined]
    problems: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (400, 413, 415, 422, 503)}
    app.add_api_route(path, stub, methods=[method], summary=summary, response_model=answer, responses=problems)


def _answer(served: Served) -> type[BaseModel]:
    classes = served.predictor.classes
    fields: dict[str, Any] = {"id": (str, Field(description="Names this prediction in feedback"))}
    if classes:
        fields["label"] = (Literal[classes], Field(description="The most probable class"))
        fields["probabilities"] = (dict[str, float], Field(description="The probability of each class"))
    else:
        fields["value"] = (float, Field(description="The predicted number"))
    prediction = create_model("Prediction", **fields)
    return create_model("Answer", model=(ModelName, ...), predictions=(list[prediction], ...))
