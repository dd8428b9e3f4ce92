"""What /metrics tells is documented, exact, and bounded whatever a client sends."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.running import Direct, quiet, without_version
from slipway.evaluation.confidence import accuracy_by_confidence, positives_by_probability
from slipway.model.reference import CONFIDENCE_BINS, POSITIVE_BINS
from slipway.serving.expected import Expected

DOCS = Path(__file__).parents[3] / "docs"
TESTED = {
    "confidence.json": [
        {"bin": name, "rows": 10, "accuracy": 0.6 + number / 20, "deviation": 0.1}
        for number, name in enumerate(CONFIDENCE_BINS)
    ],
    "positives.json": [
        {"bin": name, "rows": 10, "share": number / 20, "deviation": 0.1} for number, name in enumerate(POSITIVE_BINS)
    ],
}


def evaluated(folder: Path, **files: Any) -> None:
    """Write files of an evaluation, as JSON, beside a bundle."""
    (folder / "evaluation").mkdir()
    for name, content in files.items():
        (folder / "evaluation" / name).write_text(json.dumps(content))


def exported(text: str) -> dict[str, set[str]]:
    """Each metric's labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if not name.startswith("slipway_"):
            continue
        found[name] = set().union(*[sample.labels.keys() for sample in family.samples]) - {"le"}
    return found


def test_docs_list_every_metric_with_its_labels(made: dict[str, Path], row: dict[str, Any], tmp_path: Path) -> None:
    found: dict[str, set[str]] = {}
    for kind in ("alive", "weight"):
        folder = tmp_path / kind
        shutil.copytree(made[kind], folder / "bundle")
        (folder / "decision.json").write_text(json.dumps({"when": "2026-11-24T10:00:00+00:00", "commit": "c" * 40}))
        evaluated(folder, **TESTED if kind == "alive" else {"confidence.json": [], "positives.json": []})
        (folder / "evaluation" / "slices.json").write_text('[{"slice": "site=north"}]')
        direct = Direct(quiet(folder / "bundle", predictions=str(tmp_path / "kept"), shadow=folder / "bundle"))
        answer = direct.ask("/predict", row).json()["predictions"][0]
        direct.ask("/feedback", {"id": answer["id"], "truth": answer.get("label", 1.0)})
        for name, labels in exported(direct.ask("/metrics").body.decode()).items():
            found[name] = found.get(name, set()) | labels
        direct.model.close()
        direct.close()
    table = re.findall(r"^\| `(slipway_\w+)` \| \w+ \|([^|]*)\|", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in table} == found


@pytest.mark.parametrize(
    "content", ["", "[", "{}", '[{"bin": "0 to 1", "accuracy": 1, "share": 1, "deviation": 0}]', '[{"bin": 1}]', None]
)
def test_shares_of_the_test_set_that_do_not_fit_or_are_not_there_are_left_out(
    made: dict[str, Path], row: dict[str, Any], tmp_path: Path, content: str | None
) -> None:
    shutil.copytree(made["alive"], tmp_path / "bundle")
    evaluated(tmp_path)
    for name in TESTED if content is not None else ():
        (tmp_path / "evaluation" / name).write_text(content)
    direct = Direct(quiet(tmp_path / "bundle"))
    assert direct.ask("/predict", row).status == 200
    text = direct.ask("/metrics").body.decode()
    assert "slipway_confidence_accuracy" not in text
    assert "slipway_ranked" not in text
    direct.close()


@pytest.mark.parametrize(
    ("name", "what", "metric", "by_bin"),
    [
        ("confidence.json", "accuracy", "slipway_confidence", accuracy_by_confidence),
        ("positives.json", "share", "slipway_ranked", positives_by_probability),
    ],
)
def test_predictions_are_counted_in_the_bins_of_the_test_set(
    made: dict[str, Path], row: dict[str, Any], tmp_path: Path, name: str, what: str, metric: str, by_bin: Any
) -> None:
    shutil.copytree(made["alive"], tmp_path / "bundle")
    evaluated(tmp_path, **TESTED)
    direct = Direct(quiet(tmp_path / "bundle"))
    rows = [{**row, "height": height / 4} for height in range(40)]
    direct.ask("/predict", {"rows": rows})
    text = without_version(direct.ask("/metrics").body.decode())
    predictions = direct.model.predictor.predict(rows)
    counted = by_bin(predictions.values, predictions, np.arange(40))
    share = metric + {"accuracy": "_accuracy", "share": "_positive_share"}[what]
    for one, told in zip(counted, TESTED[name], strict=True):
        assert f'{metric}_predictions_total{{bin="{one["bin"]}"}} {one["rows"]:.1f}' in text
        assert f'{share}{{bin="{one["bin"]}"}} {float(told[what])}' in text
        assert f'{share}_deviation{{bin="{one["bin"]}"}} {told["deviation"]}' in text
    direct.close()


def test_ranks_are_sums_over_lower_and_higher_bins_that_never_fall() -> None:
    shares = np.array([item["share"] for item in TESTED["positives.json"]])
    expected = Expected({}, {item["bin"]: (item["share"], 0.1) for item in TESTED["positives.json"]})
    random = np.random.default_rng(0)
    last = {}
    for _ in range(50):
        likely = random.random(7)
        expected.add(np.column_stack([1 - likely, likely]))
        found = {metric.name: [sample.value for sample in metric.samples] for metric in expected.collect()}
        assert all((np.array(found[name]) >= values).all() for name, values in last.items())
        last = found
    rows = np.array(found["slipway_ranked_predictions"])
    for number in range(len(rows)):
        negatives, positives = rows * (1 - shares), rows * shares
        below = negatives[:number].sum() + negatives[number] / 2
        above = positives[number + 1 :].sum() + positives[number] / 2
        assert found["slipway_ranked_negatives_below"][number] == pytest.approx(below)
        assert found["slipway_ranked_positives_above"][number] == pytest.approx(above)
    assert rows.sum() == 350


def test_counts_and_drift_are_exact(direct: Direct, row: dict[str, Any]) -> None:
    direct.ask("/predict", {"rows": [row] * 40 + [row | {"shade": "full", "height": 9.9}] * 2})
    direct.ask("/predict", row)
    direct.ask("/predict", row | {"site": "moon", "height": 11})
    text = without_version(direct.ask("/metrics").body.decode())
    assert 'slipway_feature_values_total{bin="north",feature="site"} 43.0' in text
    assert 'slipway_feature_values_total{bin="missing",feature="shade"} 41.0' in text
    assert 'slipway_feature_values_total{bin="full",feature="shade"} 2.0' in text
    assert 'slipway_feature_missing_total{feature="shade"} 41.0' in text
    assert 'slipway_feature_unseen_total{feature="site"} 1.0' in text
    assert 'slipway_feature_out_of_range_total{feature="height"} 1.0' in text
    assert 'slipway_requests_total{route="/predict",status="422"} 1.0' in text
    assert "slipway_prediction_confidence_count 43.0" in text
    families = {f.name: f for f in text_string_to_metric_families(text)}
    assert sum(s.value for s in families["slipway_predictions"].samples) == 43
    shares = [s.value for s in families["slipway_feature_reference_share"].samples if s.labels["feature"] == "height"]
    assert sum(shares) == pytest.approx(1)


def test_no_client_can_make_series(direct: Direct, row: dict[str, Any]) -> None:
    direct.ask("/predict", row)
    for warm in ("/nothing", "/predict"):
        direct.ask(warm, method="BREW")
    before = len(direct.ask("/metrics").body.splitlines())
    direct.ask("/metrics")
    before = len(direct.ask("/metrics").body.splitlines())
    for number in range(50):
        direct.ask(f"/path/{number}")
        direct.ask("/predict", method=f"BREW{number}")
        direct.ask("/predict", row | {f"field{number}": 1})
        direct.ask("/predict", row | {"site": f"site{number}"})
    assert len(direct.ask("/metrics").body.splitlines()) <= before + 1  # /predict answered 422 for the first time
