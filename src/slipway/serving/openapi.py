"""The OpenAPI document: FastAPI makes it from typed models that are derived from the contract."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from inspect import Parameter, Signature
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, create_model

from slipway.serving.model import Served
from slipway.serving.protocols.inference import metadata
from slipway.serving.settings import Settings

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
PROBLEM = "application/problem+json"
BINARY = {"schema": {"type": "string", "format": "binary"}}
ARROW = "application/vnd.apache.arrow.stream"
TEXTS = {
    400: "The body cannot be read",
    401: "An API key is needed",
    403: "The id was not made here",
    408: "The body came too slowly",
    409: "Feedback was given already, or the prediction is another version's",
    410: "The prediction is too old",
    413: "Too many bytes or rows",
    415: "The media type is not taken",
    422: "The contract does not allow it; every fault is listed",
    500: "The model failed",
    503: "Not ready, or overloaded: try again",
}
BODY = (400, 408, 413, 415, 422, 500, 503)


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


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    version: Annotated[str, Field(description="The first 12 hex digits of the bundle's digest")]


class Judged(BaseModel):
    """What the prediction turned out to be."""

    outcome: Literal["correct", "incorrect", "scored"]


class Status(BaseModel):
    """Whether the service is alive or ready, and why not."""

    status: str
    reason: str | None = None
    model: ModelName | None = None


def document(served: Served, settings: Settings) -> dict[str, Any]:
    """Make the document of a model's service."""
    target = served.predictor.target.column.name
    about = f"{served.predictor.bundle.manifest.estimator}: predicts {target}."
    app = FastAPI(title=served.name, version=served.version, description=about)
    operations = _Operations(app, secured=settings.api_keys_file is not None)
    example = served.predictor.contract.example
    truth = {"id": "an id that /predict gave", "truth": _truth(served)}
    shown = {"row": example, "rows": {"rows": [example]}, "columns": {"columns": {n: [v] for n, v in example.items()}}}
    text, tensors = {"schema": {"type": "string"}}, {"inputs": _tensors(served)}
    post, get, anything = partial(operations.add, "POST"), partial(operations.add, "GET"), dict[str, Any]
    post("/predict", "predict", "Predict for one row or many", _answer(served), BODY,
         body=_request(served, settings), examples=shown, also={ARROW: BINARY})  # fmt: skip
    post("/feedback", "feedback", "Tell the truth about a prediction", Judged, (*BODY, 403, 409, 410),
         body=_feedback(served), examples={"truth": truth})  # fmt: skip
    post("/invocations", "invocations", "Predict, as MLflow's scoring server does", anything, BODY,
         body=anything, examples={"records": {"dataframe_records": [example]}}, also={"text/csv": text})  # fmt: skip
    post(f"/v2/models/{served.name}/infer", "infer", "Predict, by the Open Inference Protocol", anything, BODY,
         body=anything, examples={"tensors": tensors}, also={"application/octet-stream": BINARY})  # fmt: skip
    get(f"/v2/models/{served.name}", "tensors", "The model's tensors", anything, (503,))
    get("/model", "card", "The model's card: schema, metrics with intervals, verdict, lineage", anything, (503,))
    get("/healthz", "alive", "Whether the process lives", Status, (), public=True)
    get("/readyz", "ready", "Whether the model serves, and why not", Status, (503,), public=True)
    return _problems(app.openapi())


class _Operations:
    """Describes operations; what answers them is in `paths`."""

    def __init__(self, app: FastAPI, *, secured: bool) -> None:
        self._app, self._secured = app, secured

    def add(
        self, method: str, path: str, name: str, summary: str, answer: Any, statuses: Sequence[int], *,
        public: bool = False, body: Any = None, examples: dict[str, Any] | None = None,
        also: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Describe an operation with its bodies, answers and problems."""

        def described() -> None: ...

        parameter = Parameter("body", Parameter.KEYWORD_ONLY, annotation=body)
        described.__signature__ = Signature([parameter] if body else [])  # type: ignore[attr-defined]
        locked = self._secured and not public
        shown = {key: {"value": value} for key, value in (examples or {}).items()}
        content: dict[str, Any] = {"application/json": {"examples": shown}, **(also or {})}
        self._app.add_api_route(
            path,
            described,
            methods=[method],
            operation_id=name,
            summary=summary,
            response_model=answer,
            responses={
                status: {"model": Status if path == "/readyz" else Problem, "description": TEXTS[status]}
                for status in sorted((*statuses, 401) if locked else statuses)
            },
            openapi_extra={"requestBody": {"content": content}} if body else None,
            dependencies=[Depends(HTTPBearer())] if locked else None,
        )


def _problems(made: dict[str, Any]) -> dict[str, Any]:
    """Say of problem documents that they are such."""
    for operations in made["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                content = answer.get("content", {})
                if content.get("application/json", {}).get("schema", {}).get("$ref", "").endswith("/Problem"):
                    content[PROBLEM] = content.pop("application/json")
    return made


def _request(served: Served, settings: Settings) -> Any:
    row = served.predictor.contract.model()
    length = Field(min_length=1, max_length=settings.max_rows)
    fields: dict[str, Any] = {
        name: (
            _list(_annotated(field.annotation, field.metadata)),
            None if not field.is_required() else ...,
        )
        for name, field in row.model_fields.items()
    }
    columns = create_model("Columns", __config__=STRICT, **fields)
    many: Any = create_model("Rows", __config__=STRICT, rows=(_list(row), length))
    columnar: Any = create_model("Columnar", __config__=STRICT, columns=(columns, ...))
    return row | many | columnar


def _list(kind: Any) -> Any:
    return list[kind]


def _annotated(kind: Any, metadata: Sequence[Any]) -> Any:
    return Annotated[kind, *metadata] if metadata else kind


def _answer(served: Served) -> Any:
    fields: dict[str, Any] = {"id": (str, Field(description="Names this prediction in feedback"))}
    if classes := served.predictor.classes:
        chances: dict[str, Any] = {f"c{n}": (float, Field(alias=name)) for n, name in enumerate(served.classes)}
        fields["label"] = (Literal[classes], Field(description="The most probable class"))
        fields["probabilities"] = (create_model("Probabilities", **chances) | None, None)
    else:
        fields["value"] = (float, Field(description="The predicted number"))
    prediction: Any = create_model("Prediction", **fields)
    return create_model("Answer", model=(ModelName, ...), predictions=(_list(prediction), ...))


def _feedback(served: Served) -> Any:
    classes = served.predictor.classes
    truth: Any = Literal[classes] if classes else Annotated[float, Field(ge=-1e300, le=1e300)]
    return create_model("Feedback", __config__=STRICT, id=(str, ...), truth=(truth, ...))


def _truth(served: Served) -> Any:
    return served.predictor.classes[0] if served.predictor.classes else 1.0


def _tensors(served: Served) -> list[dict[str, Any]]:
    example = served.predictor.contract.example
    inputs = [{**tensor, "shape": [1], "data": [example[tensor["name"]]]} for tensor in metadata(served)["inputs"]]
    return [{key: value for key, value in tensor.items() if key != "parameters"} for tensor in inputs]
