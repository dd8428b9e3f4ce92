"""The OpenAPI document: the types, examples and errors of Slipway's routes, derived from the model's contract.

To make them takes a tenth of a second, so it is done for the first who asks for the document, not at each start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from slipway.serving.model import LoadedModel
from slipway.serving.problems import JSON, MEDIA_TYPE
from slipway.serving.protocols import inference
from slipway.serving.route import Route

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
ANYTHING = dict[str, Any]
TEXTS = {
    400: "The body cannot be read",
    401: "An API key is needed",
    403: "The id is not one of this service",
    404: "There is no such model or version",
    408: "The body did not arrive in time",
    409: "Duplicate feedback, or another version made the prediction",
    410: "The prediction is too old",
    413: "Too many bytes or rows",
    415: "Unsupported media type",
    422: "The contract does not allow the rows; every error is listed",
    500: "The model failed",
    503: "Not ready or overloaded; retry",
}


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


def describe(app: Any) -> None:
    """Describe the routes of an `Application`, with the types and examples of its model once that is loaded."""
    known: dict[str | None, dict[str, Any]] = {"ready": {"response_model": Status}, "alive": {"response_model": Status}}
    known |= _of_model(app.model) if app.model else {}
    for route in app.router.routes:
        if isinstance(route, Route) and route.include_in_schema:
            errors = {status: {"model": ProblemDocument, "description": TEXTS[status]} for status in route.errors}
            body = ANYTHING if "POST" in route.verbs else None
            options: dict[str, Any] = {"response_model": ANYTHING, "body": body, **known.get(route.operation_id, {})}
            if examples := options.pop("examples", None):
                content = {JSON: {"examples": {name: {"value": value} for name, value in examples.items()}}}
                more = (route.openapi_extra or {}).get("requestBody", {}).get("content", {})
                options["openapi_extra"] = {"requestBody": {"content": {**more, **content}}}
            route.describe(responses=errors, **options)


def _of_model(model: LoadedModel) -> dict[str | None, dict[str, Any]]:
    """What a model adds to the description of each operation."""
    example, classes = model.contract.example, model.predictor.target.classes
    columns = {name: [value] for name, value in example.items()}
    shown = {"row": example, "rows": {"rows": [example]}, "columns": {"columns": columns}}
    truth = {"id": "an id that /predict gave", "truth": classes[0] if classes else 1.0}
    body = request(model)
    return {
        "predict": {"body": body, "response_model": answer(model), "examples": shown},
        "explain": {"body": body, "response_model": explained(model), "examples": shown},
        "feedback": {"body": feedback(model), "response_model": Judged, "examples": {"truth": truth}},
        "invocations": {"examples": {"records": {"dataframe_records": [example]}}},
        "infer": {"examples": {"tensors": {"inputs": inference.example(model)}}},
    }


def errors_described(document: dict[str, Any]) -> dict[str, Any]:
    """Describe all errors in an OpenAPI document, also a project's own, as problem documents."""
    problem = {"$ref": "#/components/schemas/ProblemDocument"}
    for operations in document["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                content = response.get("content", {})
                name = content.get(JSON, {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
                if name in ("ProblemDocument", "HTTPValidationError"):
                    response["content"] = {MEDIA_TYPE: {"schema": problem}}
    return document


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
