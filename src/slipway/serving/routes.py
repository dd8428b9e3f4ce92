"""Slipway's routes: path, OpenAPI description and handler of each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from slipway.serving import schemas
from slipway.serving.feedback import feedback
from slipway.serving.model import LoadedModel
from slipway.serving.problems import MEDIA_TYPE, encode, wrong_type
from slipway.serving.protocols import arrow, inference, mlflow
from slipway.serving.route import JSON, Call, Route

PAGE = Path(__file__).parent / "page"
FILES = {path.relative_to(PAGE).as_posix(): path for path in PAGE.rglob("*") if path.is_file()}
# The pages load nothing from other origins and run no inline code.
SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
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
BODY = (400, 408, 413, 415, 422, 500, 503)
BINARY = {"schema": {"type": "string", "format": "binary"}}
MODEL = "/v2/models/{name}"
ANYTHING = dict[str, Any]


def add_routes(app: Any) -> None:
    """Add Slipway's routes to an `Application`.

    Routes that need the model answer 503 until it is loaded; `describe` then adds its types.
    """
    post, get = partial(_add, app, "POST"), partial(_add, app, "GET")
    post("/predict", predict, "predict", "Predict for one row or many", BODY, also={arrow.TYPE: BINARY})
    post("/explain", explain, "explain", "Explain the prediction for one row or many, field by field", BODY)
    post("/feedback", feedback, "feedback", "Report the true outcome of a prediction", (*BODY, 403, 409, 410))
    post("/invocations", mlflow.invocations, "invocations", "Predict, as MLflow's scoring server does", BODY,
         also={mlflow.CSV: {"schema": {"type": "string"}}})  # fmt: skip
    text = "Predict, by the Open Inference Protocol"
    post(f"{MODEL}/infer", inference.infer, "infer", text, BODY, also={inference.OCTETS: BINARY})
    get(MODEL, _tensors, "tensors", "The model's tensors", (503,))
    get("/model", _card, "card", "The model's card: schema, metrics with intervals, verdict, lineage", (503,))
    get(f"{MODEL}/ready", _model_ready, public=True)
    post(f"{MODEL}/versions/{{version}}/infer", inference.infer)
    get(f"{MODEL}/versions/{{version}}", _tensors)
    get(f"{MODEL}/versions/{{version}}/ready", _model_ready, public=True)
    get("/v2", _server, needs_model=False)
    get("/plots/{name}", _plot, public=True)
    get("/", _page("index.html"), public=True, needs_model=False)
    get("/docs", _page("docs.html"), public=True, needs_model=False)
    _add_probes(app)
    get("/page/{name:path}", _file, public=True, needs_model=False)


def _add_probes(app: Any) -> None:
    """Add probes and metrics to the operations application if there is one, else to the application."""
    get = partial(_add, app, "GET", to=app.ops or app, needs_model=False)

    async def ready(_: None, __: Call) -> Response:
        model = app.model
        if app.reason or model is None:
            return Response(encode({"status": "not ready", "ready": False, "reason": app.reason}), 503, None, JSON)
        about = {"name": model.name, "version": model.version}
        return Response(encode({"status": "ready", "ready": True, "model": about}), media_type=JSON)

    async def metrics(_: None, call: Call) -> Response:
        content, kind = app.metrics.exposition(call.raw.get(b"accept", b"").decode("latin-1"))
        return Response(content, headers={"content-type": kind})

    text = "Whether the model serves, and why not"
    get("/readyz", ready, "ready", text, (503,), public=True, response_model=schemas.Status)
    text = "Whether the process is alive"
    get("/healthz", _constant(b'{"status":"alive"}'), "alive", text, public=True, response_model=schemas.Status)
    get("/metrics", metrics, public=app.ops is not None)
    get("/ping", ready, public=True)
    get("/version", _constant(version("slipway").encode(), "text/plain"), public=True)
    get("/v2/health/live", _constant(b'{"live":true}'), public=True)
    get("/v2/health/ready", ready, public=True)


def _add(
    app: Any, method: str, path: str, handler: Any, name: str = "", summary: str = "",
    statuses: Sequence[int] = (), *, to: Any = None, also: dict[str, Any] | None = None, **options: Any,
) -> None:  # fmt: skip
    """Add a route. Routes without a name, for clients of other servers, are left out of the OpenAPI document."""
    locked = (401,) if app.lock and not options.get("public") else ()
    route = Route(
        app, handler, path, methods=[method], template=path, operation_id=name or None, summary=summary or None,
        include_in_schema=bool(name), response_model=options.pop("response_model", ANYTHING if name else None),
        responses={s: {"model": schemas.ProblemDocument, "description": TEXTS[s]} for s in (*statuses, *locked)},
        openapi_extra={"requestBody": {"content": also}} if also else None, body=ANYTHING if method == "POST" else None,
        **options,
    )  # fmt: skip
    (to or app).router.routes.append(route)


def describe(app: Any, model: LoadedModel) -> None:
    """Describe the routes with the types, paths and examples of a model."""
    example, target = model.contract.example, model.predictor.target
    columns = {name: [value] for name, value in example.items()}
    truth = {"id": "an id that /predict gave", "truth": target.classes[0] if target.classes else 1.0}
    shown = {"row": example, "rows": {"rows": [example]}, "columns": {"columns": columns}}
    tensors = {"inputs": inference.example(model)}
    described: dict[str | None, dict[str, Any]] = {
        "predict": {"body": schemas.request(model), "response_model": schemas.answer(model), "examples": shown},
        "explain": {
            "body": schemas.request(model), "response_model": schemas.explained(model), "examples": shown,
        },
        "feedback": {
            "body": schemas.feedback(model), "response_model": schemas.Judged, "examples": {"truth": truth},
        },
        "invocations": {"examples": {"records": {"dataframe_records": [example]}}},
        "infer": {"examples": {"tensors": tensors}},
    }  # fmt: skip
    for route in app.router.routes:
        if isinstance(route, Route):
            options = described.get(route.operation_id, {})
            if examples := options.pop("examples", None):
                content = {JSON: {"examples": {name: {"value": value} for name, value in examples.items()}}}
                more = (route.openapi_extra or {}).get("requestBody", {}).get("content", {})
                options["openapi_extra"] = {"requestBody": {"content": {**more, **content}}}
            path = route.template.replace("{name}", model.name, int("/v2" in route.template))
            route.describe(path=path.replace("{version}", model.version), **options)
    if not app.titled:
        app.title, app.version = model.name, model.version
        app.description = f"{model.predictor.bundle.manifest.estimator}: predicts {target.column.name}."
    app.openapi_schema = None


def problems_described(document: dict[str, Any]) -> dict[str, Any]:
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


async def predict(model: LoadedModel, call: Call) -> bytes | Response:
    """POST /predict: JSON in and out, or an Arrow stream in and out."""
    if call.type == JSON:
        body, call.rows = await model.answer(call.content)
        return body
    if call.type == arrow.TYPE:
        body, call.rows = await model.batcher.many(lambda: arrow.answer(model, call.content))
        return Response(body, media_type=arrow.TYPE)
    raise wrong_type(call.type, [JSON, arrow.TYPE])


async def explain(model: LoadedModel, call: Call) -> bytes:
    """POST /explain: JSON in and out."""
    if call.type != JSON:
        raise wrong_type(call.type, [JSON])
    body, call.rows = await model.explain(call.content)
    return body


async def _card(model: LoadedModel, _: Call) -> bytes:
    return encode(model.card.content)


async def _tensors(model: LoadedModel, _: Call) -> bytes:
    return encode(inference.metadata(model))


async def _model_ready(model: LoadedModel, _: Call) -> bytes:
    return encode({"name": model.name, "ready": True})


async def _server(_: None, __: Call) -> bytes:
    return encode({"name": "slipway", "version": version("slipway"), "extensions": ["binary_tensor_data"]})


async def _plot(model: LoadedModel, call: Call) -> Response:
    plot = model.card.plots.get(call.path_params["name"])
    if plot is None:
        raise HTTPException(404)
    return Response(plot, media_type="image/svg+xml", headers=SECURITY)


async def _file(_: None, call: Call) -> Response:
    path = FILES.get(call.path_params["name"])
    if path is None:
        raise HTTPException(404)
    return FileResponse(path, headers={"x-content-type-options": "nosniff"})


def _page(name: str) -> Any:
    return _constant((PAGE / name).read_bytes(), "text/html", SECURITY)


def _constant(content: bytes, kind: str = JSON, headers: dict[str, str] | None = None) -> Any:
    """A handler with a constant response."""

    async def handler(_: None, __: Call) -> Response:
        return Response(content, media_type=kind, headers=headers)

    return handler
