"""API keys: optional, several at once, compared in constant time."""

from __future__ import annotations

import hmac
import time
from hashlib import sha256
from pathlib import Path

from slipway.problem import SlipwayError
from slipway.serving.exchange import Exchange
from slipway.serving.problems import CLOSE, Problem

LOOK_SECONDS = 5.0  # how often the file is looked at


class Keys:
    """The keys in a file, one a line; the file is read again when it has changed (a Kubernetes secret does)."""

    def __init__(self, path: Path | None) -> None:
        """Read the file. Raises SlipwayError if it cannot be read or holds no key."""
        self._path = path
        self._digests: list[bytes] = []
        self._looked = time.monotonic()
        if path is not None and not self._read():
            raise SlipwayError(f"SLIPWAY_API_KEYS_FILE: {path} cannot be read or holds no key")

    def check(self, exchange: Exchange) -> None:
        """Raise Problem (401) unless the request names one of the keys, or none is asked for."""
        if self._path is None:
            return
        if time.monotonic() > self._looked + LOOK_SECONDS:
            self._looked = time.monotonic()
            self._read()
        given = exchange.headers.get(b"x-api-key", b"")
        scheme, _, token = exchange.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer":
            given = token.strip()
        digest = sha256(given).digest()
        # All are compared, each in constant time: how long it takes tells nothing of the keys.
        if not sum([hmac.compare_digest(digest, known) for known in self._digests]):
            raise Problem(
                401,
                "unauthorized",
                "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY",
                headers=((b"www-authenticate", b"Bearer"), CLOSE),
            )

    def _read(self) -> bool:
        """Read the keys; while the file is unreadable or empty, those that are known stay."""
        try:
            lines = self._path.read_bytes().split(b"\n") if self._path else []
        except OSError:
            return False
        digests = [sha256(line.strip()).digest() for line in lines if line.strip()]
        self._digests = digests or self._digests
        return bool(digests)
