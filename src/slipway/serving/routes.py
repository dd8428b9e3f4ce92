"""Slipway's routes: path, handler and errors of each. `slipway.serving.openapi` adds their types."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from slipway.serving.feedback import feedback
from slipway.serving.model import LoadedModel, explain, predict
from slipway.serving.problems import JSON, encode
from slipway.serving.protocols import arrow, inference, mlflow
from slipway.serving.route import Call, Route

PAGE = Path(__file__).parent / "page"
FILES = {path.relative_to(PAGE).as_posix(): path for path in PAGE.rglob("*") if path.is_file()}
# The pages load nothing from other origins and run no inline code.
SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
BODY = (400, 408, 413, 415, 422, 500, 503)
BINARY = {"schema": {"type": "string", "format": "binary"}}
MODEL = "/v2/models/{name}"


def add_routes(app: Any) -> None:
    """Add Slipway's routes to an `Application`. Those that need the model answer 503 until it is loaded."""
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
    get("/readyz", ready, "ready", text, (503,), public=True)
    text = "Whether the process is alive"
    get("/healthz", _constant(b'{"status":"alive"}'), "alive", text, public=True)
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
        include_in_schema=bool(name), errors=(*statuses, *locked), response_model=None,
        openapi_extra={"requestBody": {"content": also}} if also else None, **options,
    )  # fmt: skip
    (to or app).router.routes.append(route)


def name_paths(app: Any, model: LoadedModel) -> None:
    """Put the model's name and version into the paths that have them, and into the title if the project gave none."""
    if not app.titled:
        app.title, app.version = model.name, model.version
        app.description = f"{model.predictor.bundle.manifest.estimator}: predicts {model.predictor.target.column.name}."
    for route in app.router.routes:
        if isinstance(route, Route) and "/v2/models/" in route.template:
            route.describe(path=route.template.replace("{name}", model.name).replace("{version}", model.version))


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
