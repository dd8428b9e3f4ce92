"""The loaded model of the service: rows in, predictions out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
from fastapi import Depends
from msgspec import UNSET, Struct, UnsetType, defstruct, to_builtins
from starlette.requests import Request
from starlette.responses import Response

from slipway.contract import Array
from slipway.model.bundle import MANIFEST
from slipway.model.ids import Ids
from slipway.model.predictor import Predictions, Predictor, label_name
from slipway.model.signature import SignatureError, Signer, signature_of, verify
from slipway.serving.batching import SMALL_ROWS, Batcher
from slipway.serving.card import Card
from slipway.serving.expected import Expected
from slipway.serving.explaining import Explainer
from slipway.serving.logs import Log
from slipway.serving.metrics import Metrics, ModelMetrics
from slipway.serving.outbox import Answered
from slipway.serving.problems import JSON, encode, not_ready, wrong_type
from slipway.serving.protocols import arrow
from slipway.serving.rows import SMALL_BYTES, Rows
from slipway.serving.settings import Settings

if TYPE_CHECKING:
    from slipway.serving.kept import Keeper
    from slipway.serving.route import Call
    from slipway.serving.shadow import Shadow

A = TypeVar("A")


class LoadedModel:
    """The model that serves: predictor, decoder of rows, batcher, prediction ids and counters."""

    def __init__(self, settings: Settings, metrics: Metrics, log: Log) -> None:
        """Verify, load and check the bundle. Raises SlipwayError (BundleError) if it is refused."""
        predictor = Predictor.load(settings.bundle, expected=_expected(settings), threads=settings.threads)
        self.predictor, self.contract = predictor, predictor.contract
        self.name, self.version = predictor.bundle.manifest.name, predictor.version
        self.classes = [label_name(label) for label in predictor.classes]
        self._answer, self._probabilities = _answer(self.classes)
        self.rows = Rows(predictor.contract, limit=settings.max_rows)
        self.card = Card.read(settings.bundle.parent, predictor)
        card = self.card
        expected = Expected(card.accuracies, card.positives)
        self.counters = ModelMetrics(
            predictor, commit=card.content["lineage"]["commit"], released=card.released, expected=expected
        )
        key = settings.feedback_key.get_secret_value().encode() if settings.feedback_key else os.urandom(32)
        self.ids = Ids(
            self.version,
            key=key,
            numeric=not predictor.classes,
            seconds=settings.feedback_seconds,
            kept=settings.feedback_kept,
        )
        self.batcher = Batcher(self._run, timeout=settings.request_seconds)
        self.explainer = Explainer(predictor, limit=settings.explain_rows, timeout=settings.request_seconds)
        self.keeper = self._keeper(settings, log) if settings.predictions else None
        self.shadow = self._shadow(settings, log) if settings.shadow else None
        metrics.parts = [part for part in (self.counters, self.keeper, self.shadow) if part is not None]
        self._after = self.shadow or self.keeper  # what gets the rows once they are answered
        about = encode({"name": self.name, "version": self.version})
        self._head = b'{"model":' + about + b',"predictions":'

    async def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Predict for rows, as mappings (of a Pydantic model: `row.model_dump()`); one answer for each, in order.

        An answer has `label` and `probabilities` by class, or `value`; and `id`, for feedback. As for `/predict`, the
        rows are checked against the contract, batched with those of other requests, and counted.
        Raises ProblemDetails, which becomes the response: 422 (the contract does not allow a row), 413, 503.
        """
        checked = self.rows.validate(rows)
        if len(checked) <= SMALL_ROWS:
            return list(to_builtins(await self.batcher.few(checked)))
        return list(to_builtins(await self.batcher.many(lambda: self._run(checked))))

    async def answer(self, body: bytes) -> tuple[bytes, int]:
        """Answer a JSON body of `/predict`; returns the response's body and the number of rows."""
        if len(body) > SMALL_BYTES:
            return await self.batcher.many(lambda: self._predict_body(self.rows.decode(body)))
        rows = self.rows.decode(body)
        if isinstance(rows, dict) and len(next(iter(rows.values()))) <= SMALL_ROWS:
            rows = self.rows.split(rows)
        if isinstance(rows, list) and len(rows) <= SMALL_ROWS:
            return self._body(await self.batcher.few(rows)), len(rows)
        return await self.batcher.many(lambda: self._predict_body(rows))

    async def explain(self, body: bytes) -> tuple[bytes, int]:
        """Answer a JSON body of `/explain`; returns the response's body and the number of rows."""
        arrays = await self.read(lambda: self._arrays(self.rows.decode(body)), body)
        found = await self.explainer.explain(arrays)
        return encode({"model": {"name": self.name, "version": self.version}, **found}), len(found["explanations"])

    async def read(self, parse: Callable[[], A], body: bytes) -> A:
        """Parse a body: on the event loop if it is small, else in a thread."""
        return parse() if len(body) <= SMALL_BYTES else await self.batcher.many(parse)

    async def outputs(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        """Predict for checked arrays, as `columns` does; few rows are batched with those of other requests."""
        if len(next(iter(arrays.values()))) > SMALL_ROWS:
            return await self.batcher.many(lambda: self.columns(arrays))
        answers: Any = to_builtins(await self.batcher.few(self.rows.split(arrays)))
        if not self.classes:
            return {"value": np.array([a["value"] for a in answers]), "id": [a["id"] for a in answers]}
        made: dict[str, Any] = {"label": [a["label"] for a in answers]}
        if "probabilities" in answers[0]:
            made["probabilities"] = np.array([[*a["probabilities"].values()] for a in answers])
        return made | {"id": [a["id"] for a in answers]}

    def close(self) -> None:
        """Stop the threads, after queued predictions are written."""
        self.batcher.close()
        self.explainer.close()
        for beside in (self.shadow, self.keeper):
            if beside is not None:
                beside.close()

    # Only who asks for these loads them: they would make every start slower.
    def _keeper(self, settings: Settings, log: Log) -> Keeper:
        from slipway.serving.kept import Keeper

        return Keeper(settings, self.predictor, log)

    def _shadow(self, settings: Settings, log: Log) -> Shadow:
        from slipway.serving.differences import Differences
        from slipway.serving.shadow import Shadow

        of_shadow = settings.model_copy(update={"bundle": settings.shadow, "expected": None})
        expected = partial(_expected, of_shadow)
        differences = Differences(self.predictor, self.counters, self.card.sliced)
        return Shadow(of_shadow, self.predictor, differences, self.keeper, log, expected)

    def columns(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        """Predict: `label` (a list) and `probabilities` (rows, classes), or `value`; and `id`."""
        predictions, ids = self._predict(arrays)
        made: dict[str, Any] = {"value": predictions.values}
        if self.classes:
            made = {"label": [self.predictor.classes[value] for value in predictions.values.tolist()]}
            if predictions.probabilities is not None:
                made["probabilities"] = predictions.probabilities
        return made | {"id": ids}

    def _predict(self, arrays: Mapping[str, Array]) -> tuple[Predictions, list[str]]:
        predictions = self.predictor.predict_arrays(arrays)
        self.counters.observe(arrays, predictions)
        ids = self.ids.make(predictions.values.tolist())
        if self._after is not None:
            self._after.offer(Answered([time.time()] * len(ids), arrays, predictions, ids))
        return predictions, ids

    def _arrays(self, rows: list[Struct] | dict[str, Array]) -> dict[str, Array]:
        return self.rows.arrays(rows) if isinstance(rows, list) else rows

    def _predict_body(self, rows: list[Struct] | dict[str, Array]) -> tuple[bytes, int]:
        answers = self._answers(self._arrays(rows))
        return self._body(answers), len(answers)

    def _run(self, rows: list[Struct]) -> list[Struct]:
        return self._answers(self.rows.arrays(rows))

    def _answers(self, arrays: Mapping[str, Array]) -> list[Struct]:
        predictions, ids = self._predict(arrays)
        labels = predictions.labels
        if not self.classes:
            return [self._answer(value, made) for value, made in zip(labels, ids, strict=True)]
        if predictions.probabilities is None:
            return [self._answer(label, UNSET, made) for label, made in zip(labels, ids, strict=True)]
        probabilities = predictions.probabilities.tolist()
        parts = zip(labels, probabilities, ids, strict=True)
        return [self._answer(label, self._probabilities(*row), made) for label, row, made in parts]

    def _body(self, answers: Any) -> bytes:
        return self._head + encode(answers) + b"}"


async def loaded_model(request: Request) -> LoadedModel:
    """The model that serves, as a dependency. Raises ProblemDetails (503) while there is none."""
    application = request.app.state.slipway
    if application.model is None:
        raise not_ready(application.reason)
    model: LoadedModel = application.model
    return model


Model = Annotated[LoadedModel, Depends(loaded_model)]


async def predict(model: LoadedModel, call: Call) -> bytes | Response:
    """POST /predict: JSON in and out, or an Arrow stream in and out."""
    if call.type == JSON:
        body, call.rows = await model.answer(call.content)
        return body
    if call.type == arrow.TYPE:
        body, call.rows = await model.batcher.many(lambda: arrow.answer(model, call.content))
        return Response(body, media_type=arrow.TYPE)
    raise wrong_type(call.type, [JSON, arrow.TYPE])


async def explain(model: LoadedModel, call: Call) -> bytes:
    """POST /explain: JSON in and out."""
    if call.type != JSON:
        raise wrong_type(call.type, [JSON])
    body, call.rows = await model.explain(call.content)
    return body


def _expected(settings: Settings) -> str | None:
    """The digest or version that the bundle must have; if a signature is required, the signed digest."""
    if settings.signature_key is None and settings.signer is None:
        return settings.expected
    signer = Signer(settings.signature_key, settings.signer, settings.signer_issuer, settings.signer_trust)
    digest = verify(settings.bundle, signer).get(MANIFEST)
    if digest is None:
        raise SignatureError(f"{signature_of(settings.bundle)}: it does not sign {MANIFEST}, so it signs no bundle")
    if settings.expected and not digest.startswith(settings.expected):
        raise SignatureError(f"{settings.bundle}: this is bundle {digest[:12]}, expected is {settings.expected[:12]}")
    return digest


def _answer(classes: list[str]) -> tuple[Any, Any]:
    """Make the types of an answer and of its probabilities; serialized, they equal `Predictions.as_json`."""
    names = [f"c{n}" for n in range(len(classes))]
    rename: Any = dict(zip(names, classes, strict=True))
    probabilities = defstruct("Probabilities", [(name, float) for name in names], rename=rename, gc=False)
    if not classes:
        return defstruct("Answer", [("value", float), ("id", str)], gc=False), probabilities
    fields: list[Any] = [("label", Any), ("probabilities", probabilities | UnsetType), ("id", str)]
    return defstruct("Answer", fields, gc=False), probabilities
