"""Predictions and feedback as services kept them: JSON Lines in gzip, below a folder or in an object store.

A segment is complete or absent. Their names begin with day and time, so that they sort by age.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from slipway.batch.places import Place, reported
from slipway.problem import SlipwayError
from slipway.serving.segments import PREDICTIONS

BATCH_ROWS = 1 << 16

T = TypeVar("T")


class Answer(Struct, kw_only=True):
    """The answer of a version of the model."""

    version: str
    prediction: str | bool | int | float
    probabilities: dict[str, float] | None = None


class Kept(Answer, kw_only=True):
    """A prediction. row: the features without private ones. shadow: the answer of another version, if there was one."""

    id: str
    time: str
    row: dict[str, Any]
    shadow: Answer | None = None


class Told(Struct):
    """A truth that came by /feedback."""

    id: str
    truth: str | bool | int | float | None


def segments(folder: str, kind: str) -> list[Place]:
    """List the segments of predictions or feedback, oldest first. Raises SlipwayError if the store does not answer."""
    base = Place.of(folder) / kind
    names = [str(info.path).removeprefix(f"{base.path}/") for info in base.below()]
    return [base / name for name in names if name.endswith(".jsonl.gz")]


def read(segment: Place, kind: type[T]) -> list[T]:
    """Read a segment. Raises SlipwayError, naming it and the line, if no service wrote it."""
    with reported(segment.shown, "cannot be read"):
        content = segment.read()
    try:
        return Decoder(kind).decode_lines(content)
    except DecodeError as error:
        raise SlipwayError(
            f"{segment.shown}: not as a service writes it: {error} ($[0] is the first line); move the file away"
        ) from None


def predictions(folder: str) -> Iterator[list[Kept]]:
    """Yield the kept predictions, newest first, in batches. Raises SlipwayError if there are none."""
    found, batch = segments(folder, PREDICTIONS), list[Kept]()
    if not found:
        raise SlipwayError(
            f"{Place.of(folder).shown}: holds no predictions; SLIPWAY_PREDICTIONS tells a service to keep its own there"
        )
    for segment in reversed(found):
        batch += reversed(read(segment, Kept))
        if len(batch) >= BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
