"""Prediction ids: self-contained and signed, so that feedback needs no store of predictions.

An id is base64url of: the model's version (6 bytes), time (4), a unique number (8), the predicted value (class index in
2 bytes, or float64), and a MAC: 10 bytes of keyed BLAKE2 (RFC 7693) over all of these.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import struct
import time
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from typing import Literal, NamedTuple

import numpy as np

from slipway.contract import Array

VERSION, TAG = 6, 10  # bytes

Refusal = Literal["forged", "expired", "duplicate", "other_version"]


class Predicted(NamedTuple):
    """The content of an id."""

    version: str
    time: int
    number: int
    value: float


def version_in(prediction_id: str) -> str:
    """Read the model's version in an id, unverified; the empty text if it cannot be one."""
    try:
        return base64.b64decode(prediction_id.encode(), altchars=b"-_", validate=True)[:VERSION].hex()
    except ValueError:
        return ""


class Ids:
    """Makes ids, and verifies those that come back with feedback."""

    def __init__(self, version: str, *, key: bytes, numeric: bool, seconds: int, kept: int) -> None:
        self._version = bytes.fromhex(version)
        self._layout = struct.Struct(">6sIQd" if numeric else ">6sIQH")
        self._fields = np.dtype([("", "V6"), ("", ">u4"), ("", ">u8"), ("", ">f8" if numeric else ">u2")])
        self.characters = (self._layout.size + TAG) // 3 * 4
        self._mac = blake2b(key=key[:64], digest_size=TAG)
        self._number = int.from_bytes(os.urandom(8), "big") >> 1
        self._seconds, self._kept = seconds, kept
        self._seen: OrderedDict[int, int] = OrderedDict()

    def make(self, values: Iterable[float]) -> list[str]:
        """Make an id for each predicted value (class index, or number)."""
        now = int(time.time())
        pack, new_mac, version, number = self._layout.pack, self._mac.copy, self._version, self._number
        parts: list[bytes] = []
        for value in values:
            number += 1
            content = pack(version, now, number, value)
            mac = new_mac()
            mac.update(content)
            parts += (content, mac.digest())
        self._number = number
        # An id's length is a multiple of 3 bytes, so all are encoded at once, without padding.
        text = binascii.b2a_base64(b"".join(parts), newline=False).translate(URL_SAFE).decode()
        size = self.characters
        return [text[at : at + size] for at in range(0, len(text), size)]

    def joined(self, values: Array, *, signed: bool) -> bytes:
        """Make ids as `make` does for many values, shape (rows,): one after the other, each of `characters` bytes.

        signed: else the MACs are random, which takes a tenth of the time: unique ids, refused if they come as feedback.
        """
        content = np.empty(len(values), self._fields)
        columns = np.void(self._version), int(time.time()), np.arange(len(values), dtype=np.uint64), values
        for name, column in zip(self._fields.names or (), columns, strict=True):
            content[name] = column
        content["f2"] += np.uint64(self._number + 1)
        self._number += len(values)
        packed = content.tobytes()
        made = np.empty((len(values), self._layout.size + TAG), np.uint8)
        made[:, :-TAG] = np.frombuffer(packed, np.uint8).reshape(len(values), self._layout.size)
        tags = self._tags(packed) if signed else os.urandom(TAG * len(values))
        made[:, -TAG:] = np.frombuffer(tags, np.uint8).reshape(len(values), TAG)
        return binascii.b2a_base64(made.tobytes(), newline=False).translate(URL_SAFE)

    def _tags(self, packed: bytes) -> bytes:
        tags, size = [], self._layout.size
        for at in range(0, len(packed), size):
            mac = self._mac.copy()
            mac.update(packed[at : at + size])
            tags.append(mac.digest())
        return b"".join(tags)

    def read(self, text: str) -> Predicted | Refusal:
        """Decode an id, each only once; otherwise give the reason for refusing it."""
        try:
            if len(text) != self.characters:
                return "forged"
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
            content, tag = raw[:-TAG], raw[-TAG:]
            version, when, number, value = self._layout.unpack(content)
        except (ValueError, struct.error):
            return "forged"
        mac = self._mac.copy()
        mac.update(content)
        if not hmac.compare_digest(mac.digest(), tag):
            return "forged"
        now = int(time.time())
        if when < now - self._seconds:
            return "expired"
        if number in self._seen:
            return "duplicate"
        self._remember(number, now)
        if version != self._version:
            return "other_version"
        return Predicted(version.hex(), when, number, value)

    def _remember(self, number: int, now: int) -> None:
        self._seen[number] = now
        while self._seen and (len(self._seen) > self._kept or next(iter(self._seen.values())) < now - self._seconds):
            self._seen.popitem(last=False)


URL_SAFE = bytes.maketrans(b"+/", b"-_")
