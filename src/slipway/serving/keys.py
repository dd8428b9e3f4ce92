"""API keys: optional, several at once, compared in constant time."""

from __future__ import annotations

import hmac
import os
import stat
import time
from codecs import BOM_UTF8
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from slipway.problem import SlipwayError
from slipway.serving.problems import CLOSE, ProblemDetails

MAX_BYTES = 1 << 20
CHECK_SECONDS = 5.0  # between two reads of the file


class Keys(SecurityBase):
    """A FastAPI security scheme with the keys of a file: one on each line, lines that begin with # are comments.

    The file is read again every few seconds, since a mounted Kubernetes secret may change.
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises SlipwayError if it cannot be read or holds no key."""
        self.model, self.scheme_name = HTTPBearer(), "ApiKey"
        self._path = path
        self._digests: list[bytes] = []
        self._checked = time.monotonic()
        if not self._read():
            raise SlipwayError(f"SLIPWAY_API_KEYS_FILE: {path} cannot be read or holds no key")

    async def __call__(self, request: Request) -> None:
        """Raise ProblemDetails (401) unless the request has one of the keys."""
        self.check(dict(request.scope["headers"]))

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise ProblemDetails (401) unless the headers have one of the keys."""
        if time.monotonic() > self._checked + CHECK_SECONDS:
            self._checked = time.monotonic()
            self._read()
        given = headers.get(b"x-api-key", b"")
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer":
            given = token.strip()
        digest = sha256(given).digest()
        # All keys are compared, each in constant time, so that the duration reveals nothing about them.
        if not sum([hmac.compare_digest(digest, known) for known in self._digests]):
            detail = "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY"
            raise ProblemDetails(401, "unauthorized", detail, headers={"www-authenticate": "Bearer", **CLOSE})

    def _read(self) -> bool:
        """Read the keys; if the file is unreadable or empty, keep the known ones and return False."""
        try:
            # Without O_NONBLOCK, opening a FIFO without a writer would block forever.
            with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return False
                lines = file.read(MAX_BYTES).removeprefix(BOM_UTF8).splitlines()
        except OSError:
            return False
        keys = [line.strip() for line in lines]
        digests = [sha256(key).digest() for key in keys if key and not key.startswith(b"#")]
        self._digests = digests or self._digests
        return bool(digests)
