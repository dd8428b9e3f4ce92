"""The paths of a loaded model, and what answers each."""

from __future__ import annotations

from slipway.serving.app import Service
from slipway.serving.exchange import JSON, Exchange, Reply, encode
from slipway.serving.model import Served
from slipway.serving.openapi import describe
from slipway.serving.problems import wrong_type


def paths(service: Service, served: Served) -> None:
    """Add a model's paths to the service."""
    app = describe(served)

    async def predict(exchange: Exchange) -> Reply:
        if exchange.type not in (JSON, b""):
            raise wrong_type(exchange.type, ["application/json"])
        answer, exchange.rows = await served.answer(exchange.body)
        return Reply(answer)

    document = encode(app.openapi())
    card = encode(served.card.content)

    async def openapi(_: Exchange) -> Reply:
        return Reply(document)

    async def model(_: Exchange) -> Reply:
        return Reply(card)

    service.add("POST", "/predict", predict)
    service.add("GET", "/openapi.json", openapi, public=True)
    service.add("GET", "/model", model)
