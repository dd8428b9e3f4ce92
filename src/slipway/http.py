"""Requests to services that answer with JSON, by the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, NamedTuple

from slipway.problem import SlipwayError


class Answer(NamedTuple):
    """A status and the JSON that came with it; other content as text. Status 0: no answer, and why."""

    status: int
    content: Any

    def at(self, *names: str) -> Any:
        """Give what the content has below some names; None if it has nothing there, as another program's answer."""
        found = self.content
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found


class Service:
    """A service at a URL."""

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 10.0) -> None:
        """key: sent as a bearer token. timeout: in seconds. Raises SlipwayError if the URL is not of HTTP."""
        if not url.startswith(("http://", "https://")):
            raise SlipwayError(f"{url}: not the URL of a service, http://... or https://...")
        self.url, self._timeout = url.rstrip("/"), timeout
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def ask(self, path: str, body: Any = None, *, method: str | None = None) -> Answer:
        """GET a path, or POST a body to it as JSON, unless another method is named."""
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({"content-type": "application/json"} if data else {})
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310
                return Answer(response.status, _parsed(response.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _parsed(error.read()))
        except (OSError, HTTPException) as error:
            return Answer(0, str(getattr(error, "reason", error) or type(error).__name__))


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")[:500]
