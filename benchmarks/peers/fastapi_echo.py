"""A bare FastAPI echo: the body parsed and given back, with nothing between."""

from typing import Any

from fastapi import FastAPI

app = FastAPI()


@app.post("/predict")
async def echo(body: dict[str, Any]) -> dict[str, Any]:
    return body
