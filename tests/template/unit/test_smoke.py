"""A smoke test of a service must go red for each way in which a service can be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from answering import Answer, Asked, answering
from slipway.cli.smoke import Service, smoke
from slipway.problem import SlipwayError

ROWS = [{"height": 1.0}, {"height": 2.0}, {"height": None}]
PREDICTIONS = [{"label": "rose", "probabilities": {"rose": 0.9, "lily": 0.1}}, {"label": "lily"}, {"value": 1.5}]
BUNDLE = SimpleNamespace(version="0123456789ab", examples={"rows": ROWS, "predictions": PREDICTIONS})


@dataclass
class Fake:
    """What a service answers; a test makes one part of it wrong."""

    url: str = ""
    ready_after: int = 0
    version: str = BUNDLE.version
    predicting: str = BUNDLE.version
    wrong_in_batches: bool = False
    key: str | None = None
    wrong: str | None = None
    asked: int = 0

    def ready(self) -> tuple[int, object]:
        self.asked += 1
        if self.asked <= self.ready_after:
            return 503, {"status": "not ready", "reason": "the model is being loaded"}
        return 200, {"status": "ready", "model": {"name": "flowers", "version": self.version}}

    def predict(self, rows: list[object], key: str) -> tuple[int, object]:
        if self.key is not None and key != f"Bearer {self.key}":
            return 401, {"detail": "an API key is needed"}
        answers = [dict(PREDICTIONS[ROWS.index(row)], id="abc") for row in rows]
        if self.wrong is not None:
            answers[-1]["label"] = self.wrong
        if self.wrong_in_batches and len(rows) > 1:
            answers.reverse()
        return 200, {"model": {"version": self.predicting}, "predictions": answers}


@pytest.fixture
def fake() -> Iterator[Fake]:
    service = Fake()

    def answer(asked: Asked) -> Answer:
        if asked.path == "/readyz":
            return Answer(*service.ready())
        return Answer(*service.predict(json.loads(asked.body)["rows"], asked.headers.get("authorization", "")))

    with answering(answer) as service.url:
        yield service


def test_counts_the_golden_rows_of_a_service_that_becomes_ready(fake):
    fake.ready_after = 2
    assert smoke(Service(fake.url), BUNDLE, wait=30) == len(ROWS)
    assert fake.asked == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"ready_after": 1_000_000}, "not ready after 0 s: the model is being loaded"),
        # pragma: allowlist nextline secret
        ({"version": "ba9876543210"}, "serves version ba9876543210, not 0123456789ab"),
        # pragma: allowlist nextline secret
        ({"predicting": "ba9876543210"}, "answers as version ba9876543210"),
        ({"wrong": "fern"}, "golden row 0 gives"),
        ({"wrong_in_batches": True}, "golden row 0 gives"),
        ({"key": "secret"}, "answers 401"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_tells_what_is_wrong_with_the_service(fake, fault, message):
    for name, value in fault.items():
        setattr(fake, name, value)
    with pytest.raises(SlipwayError, match=message):
        smoke(Service(fake.url), BUNDLE, wait=0)


def test_shows_the_key_that_it_was_given(fake):
    fake.key = "secret"
    assert smoke(Service(fake.url, key="secret"), BUNDLE, wait=30) == len(ROWS)


def test_says_that_nobody_answers(fake):
    with pytest.raises(SlipwayError, match="refused"):
        smoke(Service("http://127.0.0.1:1"), BUNDLE, wait=0)


def test_takes_only_urls_of_http():
    with pytest.raises(SlipwayError, match="not the URL of a service"):
        Service("file:///etc/passwd")
