"""The Pydantic models of Slipway's routes in the OpenAPI document; those of rows are derived from the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from slipway.serving.model import LoadedModel

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class RowError(BaseModel):
    """One error in a row."""

    row: int | None
    field: str
    rule: str
    message: str
    value: Any = None


class ProblemDocument(BaseModel):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    error: str
    errors: list[RowError] = []
    error_count: int = 0


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    version: Annotated[str, Field(description="The first 12 hex digits of the bundle's digest")]


class Judged(BaseModel):
    """How the prediction compares with the truth."""

    outcome: Literal["correct", "incorrect", "scored"]


class Status(BaseModel):
    """Whether the service is alive or ready, and why not."""

    status: str
    ready: bool | None = None
    reason: str | None = None
    model: ModelName | None = None


def request(model: LoadedModel) -> Any:
    """The body of `/predict`: one row, or many as rows or as columns."""
    row = model.contract.model()
    length = Field(min_length=1, max_length=model.rows.limit)
    fields: dict[str, Any] = {
        name: (_list(_annotated(field.annotation, field.metadata)), ... if field.is_required() else None)
        for name, field in row.model_fields.items()
    }
    columns = create_model("Columns", __config__=STRICT, **fields)
    many: Any = create_model("Rows", __config__=STRICT, rows=(_list(row), length))
    columnar: Any = create_model("Columnar", __config__=STRICT, columns=(columns, ...))
    return row | many | columnar


def answer(model: LoadedModel) -> Any:
    """The response of `/predict`."""
    names: dict[str, Any] = {"id": (str, Field(description="Names this prediction in feedback"))}
    prediction: Any = create_model("Prediction", **names, **_predicted(model))
    return create_model("Answer", model=(ModelName, ...), predictions=(_list(prediction), ...))


def explained(model: LoadedModel) -> Any:
    """The response of `/explain`."""
    fields: dict[str, Any] = {f"f{n}": (float, Field(alias=name)) for n, name in enumerate(model.contract.names)}
    each: Any = create_model("Contributions", **fields)
    what = "the probability of the label" if model.predictor.classes else "the value"
    numbers: dict[str, Any] = {
        "base": (float, Field(description="The mean of the background rows' answers")),
        "contributions": (each, Field(description=f"Shapley values: they and the base add up to {what}")),
        "standard_errors": (each | None, Field(None, description="Of sampled contributions")),
    }
    explanation: Any = create_model("Explanation", **_predicted(model), **numbers)
    method: Any = Literal["exact", "sampled"]
    about: dict[str, Any] = {"model": (ModelName, ...), "method": (method, ...), "background_rows": (int, ...)}
    return create_model("Explained", **about, explanations=(_list(explanation), ...))


def _predicted(model: LoadedModel) -> dict[str, Any]:
    """The fields of a prediction, by its name in JSON."""
    fields: dict[str, Any] = {}
    if classes := model.predictor.classes:
        probabilities: dict[str, Any] = {f"c{n}": (float, Field(alias=name)) for n, name in enumerate(model.classes)}
        fields["label"] = (Literal[classes], Field(description="The most probable class"))
        fields["probabilities"] = (create_model("Probabilities", **probabilities) | None, None)
    else:
        fields["value"] = (float, Field(description="The predicted number"))
    return fields


def feedback(model: LoadedModel) -> Any:
    """The body of `/feedback`."""
    classes = model.predictor.classes
    truth: Any = Literal[classes] if classes else Annotated[float, Field(ge=-1e300, le=1e300)]
    return create_model("Feedback", __config__=STRICT, id=(str, ...), truth=(truth, ...))


def _list(kind: Any) -> Any:
    return list[kind]


def _annotated(kind: Any, metadata: Sequence[Any]) -> Any:
    return Annotated[kind, *metadata] if metadata else kind
