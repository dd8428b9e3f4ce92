"""POST /feedback: the true outcome of a prediction, which the request names by its id."""

from __future__ import annotations

from typing import Any

from slipway.serving.model import LoadedModel
from slipway.serving.problems import JSON, ProblemDetails, encode, shape, too_large, wrong_type
from slipway.serving.route import Call
from slipway.serving.rows import json_content

MAX_BYTES = 16 << 10
REFUSALS = {
    "forged": (403, "this service did not make this id (or had another SLIPWAY_FEEDBACK_KEY)"),
    "expired": (410, "the prediction is too old"),
    "duplicate": (409, "this prediction already has feedback"),
    "other_version": (409, "another version of the model made this prediction"),
}


async def feedback(model: LoadedModel, call: Call) -> bytes:
    """Compare one prediction with the truth, and count it. Raises ProblemDetails."""
    if call.type != JSON:
        raise wrong_type(call.type, [JSON])
    if len(call.content) > MAX_BYTES:
        raise too_large(f"feedback is an id and a label or a number: at most {MAX_BYTES} bytes")
    content = json_content(call.content)
    if not isinstance(content, dict) or content.keys() != {"id", "truth"} or not isinstance(content["id"], str):
        raise shape('feedback is {"id": "...", "truth": ...}')
    truth = _truth(model, content["truth"])
    predicted = model.ids.read(content["id"])
    counters = model.counters
    if isinstance(predicted, str):
        counters.feedback[predicted] += 1
        status, detail = REFUSALS[predicted]
        raise ProblemDetails(status, predicted.replace("_", "-"), detail)
    if model.classes:
        outcome = "correct" if predicted.value == truth else "incorrect"
    else:
        outcome = "scored"
        counters.absolute_error += abs(predicted.value - truth)
    counters.feedback[outcome] += 1
    if model.keeper is not None:
        model.keeper.judged(content["id"], content["truth"])
    return encode({"outcome": outcome})


def _truth(model: LoadedModel, truth: Any) -> float:
    classes = model.predictor.classes
    if classes:
        for index, label in enumerate(classes):
            if truth == label and type(truth) is type(label):
                return index
        raise shape(f"the truth is one of {', '.join(model.classes)}")
    if isinstance(truth, bool) or not isinstance(truth, (int, float)) or abs(truth) > 1e300:
        raise shape("the truth is a number")
    return float(truth)
