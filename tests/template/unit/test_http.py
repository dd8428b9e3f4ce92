"""An address at which another program answers, such as a proxy with its page: each command names it and what came."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from slipway.batch.service import ServiceScorer
from slipway.cli.smoke import smoke
from slipway.http import Answer, Service
from slipway.monitor import query
from slipway.problem import SlipwayError

BUNDLE = SimpleNamespace(version="0" * 12, examples={"rows": [{}], "predictions": [{"label": "rose"}]})
READY = {"model": {"version": BUNDLE.version}}


@pytest.fixture
def say():
    """A server that answers everything alike; a call sets what it says, and gives its URL."""
    said = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer()

        def do_POST(self):
            self.answer()

        def answer(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-length", str(len(said[0])))
            self.end_headers()
            self.wfile.write(said[0])

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def answer(content):
            said[0] = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            return f"http://127.0.0.1:{server.server_address[1]}"

        yield answer
        server.shutdown()


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
    answer = Answer(200, {"a": {"b": 1}, "c": [2]})
    assert [answer.at("a", "b"), answer.at("c"), answer.at("c", "d"), answer.at("x", "y")] == [1, [2], None, None]
