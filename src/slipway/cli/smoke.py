"""The check of a running service: is it ready, is it the right model, does it reproduce the golden rows?

It is the same after a build, a deploy or a rollback, wherever the service runs: it needs the URL and the bundle.
"""

from __future__ import annotations

import time
from typing import Any

from slipway.http import Answer, Service
from slipway.model.bundle import Bundle
from slipway.model.predictor import alike
from slipway.problem import SlipwayError

PAUSE_SECONDS = 0.1


def smoke(service: Service, bundle: Bundle, *, wait: float, ops: Service | None = None) -> int:
    """Check that a service answers as its bundle says; give the number of golden rows.

    wait: seconds to wait for it to be ready. ops: where /readyz is, if not with the service.
    Raises SlipwayError if it does not become ready, serves another model, or answers a golden row differently.
    """
    ready = _wait(ops or service, wait)
    version = ready.at("model", "version")
    if version is None:
        raise SlipwayError(f"{service.url} is no Slipway service: {ready.content}")
    if version != bundle.version:
        raise SlipwayError(f"{service.url} serves version {version}, not {bundle.version}")
    examples = bundle.examples
    rows, expected = examples["rows"], examples["predictions"]
    # One by one and all at once: a server may take different ways for them.
    for first, last in [*((number, number + 1) for number in range(len(rows))), (0, len(rows))]:
        _compare(service, bundle.version, rows[first:last], expected[first:last], first)
    return len(rows)


def _wait(service: Service, seconds: float) -> Answer:
    deadline = time.monotonic() + seconds
    while (answer := service.ask("/readyz")).status != 200:
        if time.monotonic() > deadline:
            said = answer.at("reason") or answer.content or answer.status
            raise SlipwayError(f"{service.url} is not ready after {seconds:g} s: {said}")
        time.sleep(PAUSE_SECONDS)
    return answer


def _compare(service: Service, version: str, rows: list[Any], expected: list[Any], first: int) -> None:
    answer = service.ask("/predict", {"rows": rows})
    predictions, served = answer.at("predictions"), answer.at("model", "version")
    if answer.status != 200 or not isinstance(predictions, list) or len(predictions) != len(rows):
        raise SlipwayError(f"{service.url}/predict answers {answer.status or 'nothing'}: {answer.content}")
    if served != version:
        raise SlipwayError(f"{service.url}/predict answers as version {served}")
    got = [{key: value for key, value in one.items() if key != "id"} for one in predictions]
    for number, (have, want) in enumerate(zip(got, expected, strict=True), start=first):
        if not alike(have, want):
            raise SlipwayError(f"golden row {number} gives {have}, but {want} was stored with the bundle")
