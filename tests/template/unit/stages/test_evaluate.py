import csv
import json

import pandas as pd
import pytest

from slipway.evaluation import metrics
from slipway.evaluation.test_set import TestSet
from slipway.model.predictor import Predictor
from slipway.problem import SlipwayError
from slipway.problem.params import Evaluate
from slipway.stages.evaluate import evaluate

FILES = {
    "metrics.json", "slices.json", "classes.json", "confusion.csv", "calibration.csv", "importance.csv", "slices.csv",
    "confusion.svg", "calibration.svg", "importance.svg", "slices.svg", "confidence.json",
    "positives.json",
}  # fmt: skip


def run(workspace, out, **changes):
    params = Evaluate(**{"slices": ["species", "island"], "bootstrap": 200, **changes})
    return evaluate(workspace.problem, params, workspace.bundle, workspace.table, out)


def test_it_writes_metrics_slices_plots_and_their_data(original, tmp_path):
    run(original, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_its_files_are_the_same_bytes_each_time(original, tmp_path):
    for out in ("a", "b"):
        run(original, tmp_path / out)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_every_score_has_an_interval_around_it(original, tmp_path):
    run(original, tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_bytes())
    assert set(found) == set(metrics.names(original.target))
    assert all(score["low"] <= score["value"] <= score["high"] for score in found.values())


def test_slices_are_listed_with_their_counts_and_missing_is_one(released, tmp_path):
    path = released.table / "test.parquet"
    rows = pd.read_parquet(path)
    rows.assign(island=rows["island"].where(rows.index >= 3)).to_parquet(path)
    run(released, tmp_path)
    rows = {item["slice"]: item["rows"] for item in json.loads((tmp_path / "slices.json").read_bytes())}
    species = {"species=Adelie", "species=Chinstrap", "species=Gentoo"}
    assert set(rows) == species | {"island=Biscoe", "island=Dream", "island=Torgersen", "island=missing"}
    test_set = TestSet(released.problem, path)
    assert rows["island=Dream"] == (test_set.table["island"] == "Dream").sum()
    assert rows["island=missing"] == 3
    assert sum(count for name, count in rows.items() if name.startswith("island")) == len(test_set.table)


def test_the_rows_of_each_class_are_counted(original, tmp_path):
    run(original, tmp_path)
    counts = json.loads((tmp_path / "classes.json").read_bytes())
    truth = TestSet(original.problem, original.table / "test.parquet").table[original.problem.target]
    assert counts == {name: (truth == name).sum() for name in original.target.classes}


def test_a_column_of_too_many_values_is_no_slice(original, tmp_path):
    with pytest.raises(SlipwayError, match=r"evaluate.slices: sample has \d+ values .* at most 50"):
        run(original, tmp_path, slices=["sample"])


def test_a_feature_that_matters_is_more_important_than_one_that_does_not(original, tmp_path):
    run(original, tmp_path)
    with (tmp_path / "importance.csv").open() as file:
        order = [row["feature"] for row in csv.DictReader(file)]
    assert set(order) == set(original.features.names)
    assert order.index("body_mass_g") < order.index("island")


def test_the_scores_are_of_the_bundle_and_of_no_other_object(original, tmp_path):
    scores = run(original, tmp_path)
    test_set = TestSet(original.problem, original.table / "test.parquet")
    predictor = Predictor.load(original.bundle)
    assert scores["accuracy"].value == predictor.score(test_set.table, test_set.table["sex"])


def test_without_the_held_out_rows_it_says_what_to_run(original, tmp_path):
    with pytest.raises(SlipwayError, match=r"test.parquet: missing.*slipway run"):
        evaluate(original.problem, Evaluate(), original.bundle, tmp_path, tmp_path)
