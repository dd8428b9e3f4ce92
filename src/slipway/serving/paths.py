"""The paths of a loaded model, and what answers each."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version
from pathlib import Path

from slipway.serving.app import Handler, Service
from slipway.serving.exchange import JSON, Exchange, Reply, encode
from slipway.serving.feedback import feedback
from slipway.serving.model import Served
from slipway.serving.problems import wrong_type
from slipway.serving.protocols import arrow, inference, mlflow
from slipway.serving.settings import Settings

PAGE = Path(__file__).parent / "page"
TYPES = {".html": b"text/html; charset=utf-8", ".css": b"text/css", ".js": b"text/javascript", ".svg": b"image/svg+xml"}
# Nothing from elsewhere, nothing inline, nowhere to go but here.
SECURITY = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def paths(service: Service, served: Served) -> None:
    """Add a model's paths to the service."""
    service.add("POST", "/predict", partial(predict, served))
    service.add("POST", "/feedback", partial(feedback, served))
    service.add("POST", "/invocations", partial(mlflow.invocations, served))
    service.add("GET", "/model", _fixed(Reply(encode(served.card.content))))
    service.add("GET", "/openapi.json", _described(served, service.settings), public=True)
    _inference(service, served)
    for path in sorted(PAGE.iterdir()):
        url = {"index.html": "/", "docs.html": "/docs"}.get(path.name, f"/{path.name}")
        reply = Reply(path.read_bytes(), TYPES[path.suffix], headers=SECURITY)
        service.add("GET", url, _fixed(reply), template="/" if url != "/docs" else url, public=True)
    for name, plot in served.card.plots.items():
        reply = Reply(plot, TYPES[".svg"], headers=SECURITY)
        service.add("GET", f"/plots/{name}", _fixed(reply), template="/plots/{name}", public=True)


async def predict(served: Served, exchange: Exchange) -> Reply:
    """POST /predict: JSON in and out, or an Arrow stream in and out."""
    if exchange.type in (JSON, b""):
        body, exchange.rows = await served.answer(exchange.body)
        return Reply(body)
    if exchange.type == arrow.TYPE:
        body, exchange.rows = await served.lanes.many(lambda: arrow.answer(served, exchange.body))
        return Reply(body, arrow.TYPE)
    raise wrong_type(exchange.type, ["application/json", arrow.TYPE.decode()])


def _inference(service: Service, served: Served) -> None:
    about = {"name": "slipway", "version": version("slipway"), "extensions": ["binary_tensor_data"]}
    service.add("GET", "/v2", _fixed(Reply(encode(about))))
    for which in ("", f"/versions/{served.version}"):
        path = f"/v2/models/{served.name}{which}"
        name = "/v2/models/{name}" + ("/versions/{version}" if which else "")
        ready = encode({"name": served.name, "ready": True})
        service.add("GET", path, _fixed(Reply(encode(inference.metadata(served)))), template=name)
        service.add("GET", f"{path}/ready", _fixed(Reply(ready)), template=f"{name}/ready", public=True)
        service.add("POST", f"{path}/infer", partial(inference.infer, served), template=f"{name}/infer")


def _described(served: Served, settings: Settings) -> Handler:
    """Make the OpenAPI document when it is first asked for: most processes never need FastAPI."""
    made: list[Reply] = []

    def make() -> None:
        from slipway.serving.openapi import document

        made.append(Reply(encode(document(served, settings))))

    async def handler(_: Exchange) -> Reply:
        if not made:
            await asyncio.to_thread(make)
        return made[0]

    return handler


def _fixed(reply: Reply) -> Handler:
    async def handler(_: Exchange) -> Reply:
        return reply

    return handler
