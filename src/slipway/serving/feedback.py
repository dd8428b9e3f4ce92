"""POST /feedback: the truth about a prediction, told later by its id."""

from __future__ import annotations

from typing import Any

from slipway.serving.exchange import JSON, Exchange, Reply, encode
from slipway.serving.model import Served
from slipway.serving.problems import Problem, shape, wrong_type
from slipway.serving.rows import strict_json

REFUSALS = {
    "forged": (403, "this id was not made here (or with another SLIPWAY_FEEDBACK_KEY)"),
    "expired": (410, "the prediction is too old"),
    "duplicate": (409, "feedback to this prediction was given already"),
    "other_version": (409, "another version of the model made this prediction; it is not judged by this one"),
}


async def feedback(served: Served, exchange: Exchange) -> Reply:
    """Judge one prediction. Raises Problem."""
    if exchange.type not in (JSON, b""):
        raise wrong_type(exchange.type, ["application/json"])
    content = strict_json(exchange.body)
    if not isinstance(content, dict) or content.keys() != {"id", "truth"} or not isinstance(content["id"], str):
        raise shape('feedback is {"id": "...", "truth": ...}')
    truth = _truth(served, content["truth"])
    predicted = served.ids.read(content["id"])
    counters = served.counters
    if isinstance(predicted, str):
        counters.feedback[predicted] += 1
        status, detail = REFUSALS[predicted]
        raise Problem(status, predicted.replace("_", "-"), detail)
    if served.predictor.classes:
        outcome = "correct" if predicted.value == truth else "incorrect"
    else:
        outcome = "scored"
        counters.absolute_error += abs(predicted.value - truth)
    counters.feedback[outcome] += 1
    return Reply(encode({"outcome": outcome}))


def _truth(served: Served, truth: Any) -> float:
    classes = served.predictor.classes
    if classes:
        for index, label in enumerate(classes):
            if truth == label and type(truth) is type(label):
                return index
        raise shape(f"the truth is one of {', '.join(served.classes)}")
    if isinstance(truth, bool) or not isinstance(truth, (int, float)) or abs(truth) > 1e300:
        raise shape("the truth is a number")
    return float(truth)
