"""The check of a running service: is it ready, is it the right model, does it reproduce the golden rows?

It is the same after a build, a deploy or a rollback, wherever the service runs: it needs the URL and the bundle.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple

from slipway.model.bundle import Bundle
from slipway.model.predictor import alike
from slipway.problem import SlipwayError

PAUSE_SECONDS = 0.1
ANSWER_SECONDS = 10.0


class Answer(NamedTuple):
    """A status and the JSON that came with it (None for anything else). Status 0: nobody answered, and why."""

    status: int
    content: Any


class Service:
    """A service at a URL, asked with the standard library alone."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        """key: an API key, if the service asks for one. Raises SlipwayError if the URL is not of HTTP."""
        if not url.startswith(("http://", "https://")):
            raise SlipwayError(f"{url}: not the URL of a service; http://... or https://... is")
        self.url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def ask(self, path: str, body: Any = None) -> Answer:
        """GET a path, or POST a body as JSON to it."""
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({"content-type": "application/json"} if data else {})
        request = urllib.request.Request(self.url + path, data, headers)  # noqa: S310  (the scheme was checked)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:  # noqa: S310
                return Answer(response.status, _json(response.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _json(error.read()))
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, str(getattr(error, "reason", error) or type(error).__name__))


def smoke(service: Service, bundle: Bundle, *, wait: float, ops: Service | None = None) -> int:
    """Check that a service answers as its bundle says; give the number of golden rows.

    wait: seconds to wait for it to be ready. ops: where /readyz is, if not with the service.
    Raises SlipwayError if it does not become ready, serves another model, or answers a golden row differently.
    """
    ready = _wait(ops or service, wait)
    version = ready.content["model"]["version"] if isinstance(ready.content, Mapping) else None
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
            said = answer.content.get("reason") if isinstance(answer.content, Mapping) else answer.content
            raise SlipwayError(f"{service.url} is not ready after {seconds:g} s: {said or answer.status}")
        time.sleep(PAUSE_SECONDS)
    return answer


def _compare(service: Service, version: str, rows: list[Any], expected: list[Any], first: int) -> None:
    answer = service.ask("/predict", {"rows": rows})
    if answer.status != 200 or not isinstance(answer.content, Mapping):
        raise SlipwayError(f"{service.url}/predict answers {answer.status or 'nothing'}: {answer.content}")
    if answer.content["model"]["version"] != version:
        raise SlipwayError(f"{service.url}/predict answers as version {answer.content['model']['version']}")
    got = [{key: value for key, value in one.items() if key != "id"} for one in answer.content["predictions"]]
    for number, (have, want) in enumerate(zip(got, expected, strict=True), start=first):
        if not alike(have, want):
            raise SlipwayError(f"golden row {number} gives {have}, but {want} was stored with the bundle")


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
