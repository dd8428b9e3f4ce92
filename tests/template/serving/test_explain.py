"""POST /explain: what each field contributed to a prediction, and that predictions do not wait for it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.running import Direct, client, quiet, threaded
from slipway.model.predictor import Predictor
from slipway.serving import explaining
from trips import trips


def total(one: dict[str, Any]) -> float:
    return float(one["base"] + sum(one["contributions"].values()))


def explained(one: dict[str, Any]) -> float:
    """The number that an answer of /explain explains."""
    return float(one["value"] if "value" in one else one["probabilities"][str(one["label"]).lower()])


@pytest.mark.parametrize("kind", ["species", "alive", "weight", "skops"])
def test_each_form_of_rows_is_predicted_as_ever_and_its_contributions_add_up(
    made: dict[str, Path], kind: str, row: dict[str, Any]
) -> None:
    direct = Direct(quiet(made[kind]))
    rows = [row, {**row, "height": 9.5, "site": "south", "acidity": 7.0}]
    columns = {name: [one[name] for one in rows] for name in row}
    for body in (row, {"rows": rows}, {"columns": columns}):
        answer, predicted = direct.ask("/explain", body).json(), direct.ask("/predict", body).json()
        assert (answer["model"], answer["method"]) == (predicted["model"], "exact")
        for one, prediction in zip(answer["explanations"], predicted["predictions"], strict=True):
            del prediction["id"]
            assert prediction.items() <= one.items()
            assert [*one["contributions"]] == list(direct.model.contract.names)
            assert total(one) == pytest.approx(explained(one))
            assert one["contributions"]["acidity"] == pytest.approx(0, abs=1e-12)  # the model does not look at it
            assert one["contributions"]["height"] != 0
    direct.close()


def test_many_fields_of_every_kind_are_sampled_with_their_errors(trip_bundle: Path) -> None:
    contract = Predictor.load(trip_bundle).contract
    rows = contract.rows(contract.arrays(trips(5, seed=1)))
    assert any(value is None for value in rows[2].values())
    direct = Direct(quiet(trip_bundle))
    answer = direct.ask("/explain", {"rows": rows}).json()
    assert answer["method"] == "sampled"
    for one in answer["explanations"]:
        assert total(one) == pytest.approx(explained(one))
        assert one["standard_errors"].keys() == one["contributions"].keys() == set(contract.names)
        assert 0 < max(one["standard_errors"].values()) < 0.05
        assert one["contributions"]["start"] != 0  # by the features that are derived from it
    direct.close()


def test_explanations_count_as_no_predictions(direct: Direct, row: dict[str, Any]) -> None:
    direct.ask("/explain", row)
    metrics = direct.ask("/metrics").body.decode()
    counts = [line for line in metrics.splitlines() if line.startswith("slipway_predictions_total{")]
    assert counts
    assert all(line.endswith(" 0.0") for line in counts)


def test_rows_have_a_limit_of_their_own(bundle: Path, row: dict[str, Any]) -> None:
    direct = Direct(quiet(bundle, explain_rows=2))
    assert direct.ask("/explain", {"rows": [row] * 2}).status == 200
    refused = direct.ask("/explain", {"rows": [row] * 3})
    assert refused.status == 413
    assert "SLIPWAY_EXPLAIN_ROWS" in refused.json()["detail"]
    assert direct.ask("/explain", {"rows": [{**row, "height": 11}]}).status == 422
    assert direct.ask("/explain", b"site\nnorth", "text/csv").status == 415
    direct.close()


def test_an_explanation_that_takes_too_long_ends(bundle: Path, row: dict[str, Any]) -> None:
    direct = Direct(quiet(bundle, request_seconds=1e-6))
    late = direct.ask("/explain", row)
    assert (late.status, late.headers["retry-after"]) == (503, "1")
    assert "fewer rows" in late.json()["detail"]
    direct.close()


def test_a_stop_ends_the_explanation_that_runs(direct: Direct, row: dict[str, Any]) -> None:
    predictor, calls = direct.model.predictor, []
    inner = predictor.predict_arrays

    def stop_and_predict(arrays: Any) -> Any:
        calls.append(arrays)
        direct.model.explainer.close()
        return inner(arrays)

    predictor.predict_arrays = stop_and_predict  # type: ignore[method-assign]
    assert direct.ask("/explain", row).status == 503
    assert len(calls) == 1


class Held:
    """A service whose explanations stand still until they are released."""

    def __init__(self, bundle: Path) -> None:
        self.started, self.release = threading.Event(), threading.Event()
        self.app = quiet(bundle)
        self.running = threaded(self.app)

    def __enter__(self) -> str:
        url = self.running.__enter__()
        assert self.app.model
        inner = self.app.model.explainer._explained

        def slowly(*arguments: Any) -> Any:
            self.started.set()
            assert self.release.wait(30)
            return inner(*arguments)

        self.app.model.explainer._explained = slowly  # type: ignore[method-assign]
        return url

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self.running.__exit__(None, None, None)


def test_predictions_do_not_wait_for_explanations_and_few_wait(
    bundle: Path, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "WAITING", 2)
    held = Held(bundle)

    async def ask(url: str) -> tuple[int, str, list[int]]:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            asked = [asyncio.create_task(http.post("/explain", json=row)) for _ in range(2)]
            await asyncio.to_thread(held.started.wait, 30)
            while held.app.metrics.in_flight < 2:
                await asyncio.sleep(0)
            predicted = await http.post("/predict", json={"rows": [row] * 100})
            refused = await http.post("/explain", json=row)
            held.release.set()
            return predicted.status_code, refused.headers["retry-after"], [(await one).status_code for one in asked]

    with held as url:
        assert asyncio.run(ask(url)) == (200, "1", [200, 200])
        with client(url) as http:
            assert http.post("/explain", json=row).status_code == 200
