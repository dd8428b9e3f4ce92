"""A shadow answers what the champion has answered, and nothing that it does harms the champion."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving import bundles
from serving.running import Direct, Process, client, quiet
from slipway.model.bundle import MODELS
from slipway.model.predictor import Predictor
from slipway.model.process import Answer, PredictorProcess
from slipway.problem import SlipwayError
from slipway.serving.outbox import Answered


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another bundle for the same rows and classes."""
    folder: Path = tmp_path_factory.mktemp("other") / "bundle"
    bundles.write(folder, name="rival")
    return folder


def shadowed(bundle: Path, shadow: Path, events: list[str] | None = None, **settings: Any) -> Direct:
    """A service whose shadow has been loaded, or has ended."""
    app = quiet(bundle, shadow=shadow, **settings)
    happened = threading.Event()

    def line(event: str, **fields: Any) -> None:
        if event.startswith("shadow"):
            happened.set()
            if events is not None:
                events.append(f"{event}: {fields.get('reason', '')}{fields.get('error', '')}")

    app.log.line = line  # type: ignore[method-assign]
    direct = Direct(app)
    assert happened.wait(60)
    return direct


def metrics(direct: Direct) -> dict[str, float]:
    """The shadow's metrics, without the versions of the two models."""
    text = re.sub(r',?(shadow|version)="\w*"', "", direct.ask("/metrics").body.decode())
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("slipway_shadow")]
    return {name.replace("{,", "{").replace("{}", ""): float(value) for name, value in lines}


def kept(folder: Path) -> list[dict[str, Any]]:
    texts = [gzip.decompress(path.read_bytes()) for path in folder.glob("predictions/*/*")]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def answered(direct: Direct, rows: int) -> None:
    """Wait until the shadow has answered so many rows."""
    while direct.model.shadow.up and metrics(direct)["slipway_shadow_distance_count"] < rows:
        threading.Event().wait(0.01)


@pytest.fixture
def service(bundle: Path, other: Path, tmp_path: Path) -> Iterator[Direct]:
    direct = shadowed(bundle, other, predictions=str(tmp_path / "kept"), shadow_share=1)
    yield direct
    direct.model.close()
    direct.close()


def test_both_answers_are_compared_and_kept(
    service: Direct, row: dict[str, Any], other: Path, tmp_path: Path, bundle: Path
) -> None:
    service.ask("/predict", {"rows": [row] * 300})
    service.ask("/predict", row | {"site": "south", "height": 0.0, "leaves": 0})
    answered(service, 301)
    found = metrics(service)
    service.model.close()
    assert found["slipway_shadow_up"] == 1
    assert sum(rows for name, rows in found.items() if 'agrees="true"' in name) == 301
    assert sum(rows for name, rows in found.items() if 'agrees="false"' in name) == 0
    assert found["slipway_shadow_distance_count"] == 301
    assert found["slipway_shadow_distance_sum"] == pytest.approx(0, abs=1e-6)
    assert found["slipway_shadow_duration_seconds_count"] >= 1
    rival = Predictor.load(other)
    lines = kept(tmp_path / "kept")
    assert len(lines) == 301
    for line in lines:
        assert line["version"] != rival.version
        assert line["shadow"] == {
            "version": rival.version,
            "prediction": line["prediction"],
            "probabilities": pytest.approx(line["probabilities"]),
        }


def test_what_differs_is_counted_by_the_champions_outcome(service: Direct, row: dict[str, Any]) -> None:
    shadow = service.model.shadow
    ours = service.model.predictor.predict([row, row])
    theirs = type(ours)(np.array([ours.values[0], 2]), np.array([[1.0, 0, 0], [0, 0, 1.0]]), ours.classes)
    ours = type(ours)(ours.values, np.array([[0.5, 0.5, 0], [0, 0.75, 0.25]]), ours.classes)
    shadow.differences.add({}, ours, theirs, 0.1)
    name = service.model.counters.outcomes[int(ours.values[0])]
    found = metrics(service)
    assert found[f'slipway_shadow_answers_total{{agrees="true",outcome="{name}"}}'] == 1
    assert found[f'slipway_shadow_answers_total{{agrees="false",outcome="{name}"}}'] == 1
    assert found["slipway_shadow_distance_sum"] == 0.5 + 0.75


def test_a_regressions_values_are_compared_by_bin_and_relative_distance(
    made: dict[str, Path], row: dict[str, Any]
) -> None:
    direct = shadowed(made["weight"], made["weight"])
    reference = direct.model.predictor.bundle.reference["predictions"]["value"]["edges"]
    ours = direct.model.predictor.predict([row])
    moved = type(ours)(ours.values + (reference[-1] - reference[0]), None, ())
    direct.model.shadow.differences.add({}, ours, ours, 0.1)
    direct.model.shadow.differences.add({}, ours, moved, 0.1)
    found = metrics(direct)
    assert sum(rows for name, rows in found.items() if 'agrees="true"' in name) == 1
    assert sum(rows for name, rows in found.items() if 'agrees="false"' in name) == 1
    assert found["slipway_shadow_distance_sum"] == pytest.approx(1)
    direct.model.close()
    direct.close()


def test_rows_agreement_distance_seconds_and_failures_are_counted_by_the_slices_that_the_evaluation_has(
    bundle: Path, other: Path, row: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(bundle, tmp_path / "bundle")
    (tmp_path / "evaluation").mkdir()
    slices = [{"slice": f"{name}=x"} for name in ("site", "potted", "season")]  # the last is no feature
    (tmp_path / "evaluation/slices.json").write_text(json.dumps(slices))
    direct = shadowed(tmp_path / "bundle", other)
    sites = np.array(["north", "south", "south"], object)
    potted = np.array([0.0, 1.0, np.nan])
    ours = direct.model.predictor.predict([row] * 3)
    moved = ours.probabilities + 0.25 * np.array([[0, 0, 0], [1, -1, 0], [1, -1, 0]])
    theirs = type(ours)((ours.values + np.array([0, 0, 1])) % 3, moved, ours.classes)
    arrays = {"site": sites, "potted": potted}
    direct.model.shadow.differences.add(arrays, ours, theirs, 0.5)
    direct.model.shadow._miss(Answered([0.0] * 3, arrays, ours, ["1", "2", "3"]), "failed")
    found = {name: value for name, value in metrics(direct).items() if "shadow_slice" in name}

    def of(what: str, feature: str) -> dict[str, float]:
        name = re.compile(rf'slipway_shadow_slice_{what}_total{{bin="(.*)",feature="{feature}"}}')
        return {found_name[1]: value for key, value in found.items() if (found_name := name.fullmatch(key)) and value}

    assert of("rows", "site") == of("failed", "site") == {"north": 1, "south": 2}
    assert of("agreed", "site") == {"north": 1, "south": 1}
    assert of("distance", "site") == {"south": pytest.approx(0.5)}
    assert of("seconds", "site") == {"north": 0.5, "south": 1}
    assert of("rows", "potted") == {"false": 1, "true": 1, "missing": 1}
    assert of("agreed", "potted") == {"false": 1, "true": 1}
    assert not any('feature="season"' in name for name in found)
    direct.model.close()
    direct.close()


def tampered(folder: Path, bundle: Path) -> Path:
    shutil.copytree(bundle, folder)
    with (folder / MODELS["onnx"]).open("ab") as file:
        file.write(b"x")
    return folder


def narrower(folder: Path) -> Path:
    """A bundle whose row has a field that the champion's has not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "Flower", type("Flower", (bundles.Flower,), {"__annotations__": {"scent": float}}))
        patch.setattr(bundles, "flowers", lambda made=bundles.flowers: made() | {"scent": np.arange(400.0)})
        bundles.write(folder)
    return folder


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("none", "no bundle is here"),
        ("tampered", "bytes, manifest.json says"),
        ("classes", "it predicts alive, False, True; the champion predicts species, rose, lily, fern"),
        ("fields", "it needs scent, a number; to the champion that is unknown"),
    ],
)
def test_a_bundle_that_cannot_be_the_shadow_is_refused_and_the_champion_serves(
    fault: str, reason: str, bundle: Path, made: dict[str, Path], row: dict[str, Any], tmp_path: Path
) -> None:
    folder = {
        "none": lambda: tmp_path / "none",
        "tampered": lambda: tampered(tmp_path / "bundle", bundle),
        "classes": lambda: made["alive"],
        "fields": lambda: narrower(tmp_path / "bundle"),
    }[fault]()
    events: list[str] = []
    direct = shadowed(bundle, folder, events, predictions=str(tmp_path / "kept"))
    assert direct.ask("/predict", row).status == 200
    found = metrics(direct)
    assert (found["slipway_shadow_up"], found['slipway_shadow_missed_total{reason="skipped"}']) == (0, 1)
    assert len(events) == 1
    assert events[0].startswith("shadow ended: ")
    assert reason in events[0]
    direct.model.close()
    assert ["shadow" in line for line in kept(tmp_path / "kept")] == [False]
    direct.close()


@pytest.mark.parametrize("fault", ["crash", "hang"])
def test_a_shadow_that_crashes_or_hangs_is_ended_and_its_rows_are_kept(
    fault: str, service: Direct, row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = service.model.shadow
    pid = shadow._process._process.pid
    if fault == "hang":
        monkeypatch.setattr(PredictorProcess.predict, "__defaults__", (0.2,))
    os.kill(pid, signal.SIGSEGV if fault == "crash" else signal.SIGSTOP)
    assert service.ask("/predict", row).status == 200
    shadow._thread.join(30)
    assert not shadow._thread.is_alive()
    assert not Path(f"/proc/{pid}").exists()
    assert service.ask("/predict", row).status == 200
    found = metrics(service)
    assert found["slipway_shadow_up"] == 0
    missed = {reason: found[f'slipway_shadow_missed_total{{reason="{reason}"}}'] for reason in ("failed", "skipped")}
    assert missed == {"failed": 1, "skipped": 1}
    service.model.close()
    assert ["shadow" in line for line in kept(tmp_path / "kept")] == [False, False]


def test_a_shadow_that_fails_on_some_rows_goes_on(
    service: Direct, row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = service.model.shadow._process
    with monkeypatch.context() as patch:
        patch.setattr(process, "predict", lambda arrays: Answer(None, 0, 0, "ValueError: no"))
        service.ask("/predict", row)
        while not metrics(service)['slipway_shadow_missed_total{reason="failed"}']:
            pass
    service.ask("/predict", row)
    answered(service, 1)
    service.model.close()
    assert sorted("shadow" in line for line in kept(tmp_path / "kept")) == [False, True]


def test_an_error_of_the_model_comes_back_as_an_answer(other: Path) -> None:
    process = PredictorProcess(other, Predictor.load(other).bundle.digest)
    process.load()
    assert "KeyError" in process.predict({"site": np.array(["north"], object)}).error
    arrays = Predictor.load(other).contract.arrays(Predictor.load(other).bundle.examples["rows"])
    answer = process.predict(arrays)
    assert answer.predictions.as_json() == pytest.approx(Predictor.load(other).bundle.examples["predictions"])
    process.close()


def test_a_shadow_of_another_digest_is_refused_by_its_process(other: Path) -> None:
    process = PredictorProcess(other, "0" * 64)
    with pytest.raises(SlipwayError, match="expected is 000000000000"):
        process.load()
    process.close()


def test_its_share_of_the_core_is_kept_by_rest_and_what_finds_no_room_is_skipped(
    bundle: Path, other: Path, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    direct = shadowed(bundle, other, predictions=str(tmp_path / "kept"), shadow_share=0.01)
    shadow = direct.model.shadow
    answer = Answer(direct.model.predictor.predict([row] * 10), 0.0, cpu=2.0)
    rests: list[float] = []
    asked = threading.Event()
    monkeypatch.setattr(shadow._process, "predict", lambda arrays: answer)
    rest = shadow._ask
    monkeypatch.setattr(shadow, "_ask", lambda *given: (rests.append(rest(*given)), asked.set(), rests[-1])[2])
    shadow._queue.limit = 20 * shadow._queue.width
    for count in range(4):
        direct.ask("/predict", {"rows": [row] * 10})
        assert count or asked.wait(30)
    assert rests == [pytest.approx(200, abs=5)]  # 2 seconds are 1 % of 200
    assert metrics(direct)['slipway_shadow_missed_total{reason="skipped"}'] == 10  # two requests wait, the fourth went
    direct.model.close()
    assert metrics(direct)['slipway_shadow_missed_total{reason="skipped"}'] == 30
    assert len(kept(tmp_path / "kept")) == 40
    direct.close()


def test_without_kept_predictions_there_are_the_metrics(bundle: Path, other: Path, row: dict[str, Any]) -> None:
    direct = shadowed(bundle, other, shadow_share=1)
    direct.ask("/predict", row)
    answered(direct, 1)
    assert metrics(direct)["slipway_shadow_distance_count"] == 1
    direct.model.close()
    direct.close()


def test_a_server_with_a_hanging_shadow_stops_at_once_and_takes_it_along(
    bundle: Path, other: Path, row: dict[str, Any]
) -> None:
    with Process(bundle, shadow=other, until="shadow") as process, client(process.url) as http:
        threads = Path(f"/proc/{process.process.pid}/task")
        (child,) = (int(pid) for path in threads.glob("*/children") for pid in path.read_text().split())
        os.kill(child, signal.SIGSTOP)
        assert http.post("/predict", json=row).status_code == 200
        assert process.stop() == 0
        assert not Path(f"/proc/{child}").exists()
