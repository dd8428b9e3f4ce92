"""An address at which another program answers, such as a proxy with its page: each command names it and what came."""

from types import SimpleNamespace

import pytest

from answering import Answer, answering
from slipway import http
from slipway.batch.service import ServiceScorer
from slipway.cli.smoke import smoke
from slipway.http import Service
from slipway.monitor import query
from slipway.problem import SlipwayError

BUNDLE = SimpleNamespace(version="0" * 12, examples={"rows": [{}], "predictions": [{"label": "rose"}]})
READY = {"model": {"version": BUNDLE.version}}


@pytest.fixture
def say():
    """A server that answers everything alike; a call sets what it says, and gives its URL."""
    said = [b""]
    with answering(lambda asked: Answer(200, said[0])) as url:

        def answer(content):
            said[0] = content.encode() if isinstance(content, str) else content
            return url

        yield answer


@pytest.mark.parametrize("content", ["<html>Sign in</html>", {"status": "ok"}, ["ok"], {"model": "ok", "data": None}])
@pytest.mark.parametrize(
    "ask",
    [lambda url: smoke(Service(url), BUNDLE, wait=0), lambda url: query(url, "up"), ServiceScorer],
    ids=["smoke", "monitor", "predict"],
)
def test_the_answer_of_another_program_is_shown(say, ask, content):
    url = say(content)
    with pytest.raises(SlipwayError) as refused:
        ask(url)
    assert url in str(refused.value)
    assert str(content) in str(refused.value)


@pytest.mark.parametrize("predictions", [None, "rose", [], [{}, {}]])
def test_a_service_that_is_ready_but_gives_no_prediction_for_each_row_is_refused(say, predictions):
    url = say({**READY, "predictions": predictions})
    with pytest.raises(SlipwayError, match="/predict answers 200"):
        smoke(Service(url), BUNDLE, wait=0)


def test_of_an_answer_what_is_not_there_is_none():
    answer = http.Answer(200, {"a": {"b": 1}, "c": [2]})
    assert [answer.at("a", "b"), answer.at("c"), answer.at("c", "d"), answer.at("x", "y")] == [1, [2], None, None]
