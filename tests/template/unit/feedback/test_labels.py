"""`slipway labels` in a checkout with a champion, and `slipway gate --live` on what it joined."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from checkouts import copy_checkout, run_stages
from served import MONDAY, answered, write_segment
from slipway import feedback
from slipway.champion import read_decision
from slipway.cli import main
from slipway.contract import Contract
from slipway.evaluation.intervals import Bootstrap
from slipway.feedback import label
from slipway.feedback.learning import write_part
from slipway.gate.live import check_live
from slipway.model.predictor import Predictor
from slipway.problem import SlipwayError
from slipway.stages.prepare import load
from slipway.workspace import Workspace

BESIDE = ["individual", "season", "sample"]


def rows_of(workspace: Workspace, rows: int | None = None) -> pd.DataFrame:
    """The test set; or rows drawn from all, with replacement, each a bird of its own."""
    table = pd.read_parquet(workspace.table / "test.parquet")
    if rows:
        table = pd.concat([pd.read_parquet(workspace.table / "train.parquet"), table])
        table = table.sample(rows, replace=True, random_state=0)
        table["bill_length_mm"] += np.linspace(-0.5, 0.5, rows)  # no row is a copy
        table = table.assign(
            individual=[f"bird {n}" for n in range(rows)], sample=range(1000, 1000 + rows), season=2026
        )
    return table


def serve(workspace: Workspace, table: pd.DataFrame, folder, shadow=None, at=MONDAY):
    """Keep what the champion answers to these rows; a table with the truths for them."""
    kept = answered(
        workspace.champion / "bundle", workspace.features.rows(workspace.features.arrays(table)), shadow, at
    )
    write_segment(folder, "predictions", kept, at)
    return table[["sex", *BESIDE]].assign(id=[line["id"] for line in kept])


def call(workspace: Workspace, *arguments: str):
    return CliRunner().invoke(main, ["--root", str(workspace.root), *arguments])


@pytest.fixture
def served(released, tmp_path):
    """A checkout with a champion, the folder where its answers to the test set are kept, and a file of their truths."""
    table = rows_of(released)
    half = len(table) // 2
    parts = [serve(released, table[:half], tmp_path / "kept")]
    parts.append(serve(released, table[half:], tmp_path / "kept", at=MONDAY + timedelta(days=7)))
    pd.concat(parts).to_csv(tmp_path / "truth.csv", index=False)
    return released, str(tmp_path / "kept"), str(tmp_path / "truth.csv")


def test_the_live_scores_of_the_test_set_are_those_of_the_evaluation_by_slice_and_by_week(served):
    workspace, kept, truth = served
    (model,) = label(workspace, truth, kept)["models"]
    assert (model["role"], model["version"]) == ("champion", read_decision(workspace.root).version)
    evaluated = json.loads((workspace.evaluation / "metrics.json").read_bytes())
    assert {name: score["value"] for name, score in model["scores"].items()} == pytest.approx(
        {name: score["value"] for name, score in evaluated.items()}
    )
    slices = json.loads((workspace.evaluation / "slices.json").read_bytes())
    assert [(s["slice"], s["rows"]) for s in model["slices"]] == [(s["slice"], s["rows"]) for s in slices]
    assert [(w["slice"], w["rows"]) for w in model["weeks"]] == [("week=2026-11-23", 40), ("week=2026-11-30", 40)]


def test_the_rows_become_data_in_the_records_shape_with_where_they_came_from_and_each_once(served):
    workspace, kept, truth = served
    before = load(workspace.problem, workspace.data)
    learned = label(workspace, truth, kept)["learn"]
    part = pd.read_csv(workspace.root / learned["part"])
    assert len(part) == learned["rows"] == len(rows_of(workspace))
    assert set(part["_version"]) == {read_decision(workspace.root).version}
    assert set(part["_truth"]) == {f"truth.csv:{row}" for row in range(len(part))}
    table = load(workspace.problem, workspace.data)
    assert len(table) == len(before) + len(part)
    assert table.columns.tolist() == before.columns.tolist()
    assert table.index.is_unique
    assert label(workspace, truth, kept)["learn"]["part"] is None
    assert len(list((workspace.data / "live").iterdir())) == 1


def test_predictions_for_a_file_are_joined_like_those_of_a_service(released, tmp_path):
    kept, out = tmp_path / "kept", tmp_path / "out.parquet"
    done = call(released, "predict", str(released.table / "test.parquet"), str(out), "--keep", str(kept))
    assert done.exit_code == 0, done.output
    table = pd.read_parquet(out)
    assert set(table["sex"]) == set(table["prediction"])
    found = label(released, str(out), str(kept))  # the output holds the id and, here, the truth
    assert found["joined"] == found["learn"]["rows"] == len(table)
    correct = (table["sex"] == table["prediction"]).mean()
    assert found["models"][0]["scores"]["accuracy"]["value"] == pytest.approx(correct)


def test_a_truth_that_came_later_adds_its_row_alone(served, tmp_path):
    workspace, kept, truth = served
    told = pd.read_csv(truth)
    told[:-1].to_csv(tmp_path / "some.csv", index=False)
    label(workspace, str(tmp_path / "some.csv"), kept)
    assert label(workspace, truth, kept)["learn"]["rows"] == 1


def test_by_a_key_a_row_that_was_learned_from_is_not_added_for_a_later_prediction(served, tmp_path):
    workspace, kept, _ = served
    table = rows_of(workspace).drop_duplicates("bill_length_mm")
    table[["bill_length_mm", "sex", *BESIDE]].to_csv(tmp_path / "keyed.csv", index=False)
    first = label(workspace, str(tmp_path / "keyed.csv"), kept, on=("bill_length_mm",))
    assert first["learn"]["rows"] == len(table)
    serve(workspace, table[:5], tmp_path / "kept", at=MONDAY + timedelta(days=30))
    assert label(workspace, str(tmp_path / "keyed.csv"), kept, on=("bill_length_mm",))["learn"]["rows"] == 0


def test_the_new_rows_pass_the_pipeline_like_any_others(served, tmp_path):
    workspace, _, truth = served
    serve(workspace, rows_of(workspace, 60), tmp_path / "more").to_csv(truth, index=False)
    label(workspace, truth, str(tmp_path / "more"))
    run_stages(Workspace(workspace.root))
    rows = [len(pd.read_parquet(workspace.table / name)) for name in ("train.parquet", "test.parquet")]
    assert sum(rows) == 333 + 60


def test_a_model_does_not_learn_from_its_own_answers(served, tmp_path):
    workspace, _, truth = served
    table = rows_of(workspace, 200)
    lines = answered(workspace.champion / "bundle", workspace.features.rows(workspace.features.arrays(table)))
    write_segment(tmp_path / "own", "predictions", lines)
    own = table[BESIDE].assign(id=[line["id"] for line in lines], sex=[line["prediction"] for line in lines])
    own.to_csv(truth, index=False)
    found = label(workspace, truth, str(tmp_path / "own"))
    assert (found["learn"]["own_answers"], found["learn"]["part"]) == (True, None)
    assert not (workspace.data / "live").exists()
    assert label(workspace, truth, str(tmp_path / "own"), trusted=True)["learn"]["rows"] == 200


def test_data_that_is_imported_from_elsewhere_is_left_alone(tmp_path):
    (tmp_path / "data.dvc").write_text("md5: 0\ndeps:\n- path: s3://bucket/data\n")
    with pytest.raises(SlipwayError, match=r"data\.dvc imports its data from elsewhere"):
        write_part(pd.DataFrame(), Contract("Row", ()), tmp_path)


def test_the_command_shows_scores_rules_and_rows_and_the_report_has_them(served, monkeypatch):
    workspace, kept, truth = served
    monkeypatch.setenv("SLIPWAY_PREDICTIONS", kept)
    with Path(truth).open("a") as file:
        file.write("female,N1A1,2026,1,foreign\n")
    done = call(workspace, "labels", truth, "--no-track")
    assert done.exit_code == 0, done.output
    for text in ("joined", "foreign", "accuracy", "80 rows", "80 new rows to learn from: data/live/"):
        assert text in done.output
    assert call(workspace, "report").exit_code == 0
    for name in ("report.md", "report.html"):
        page = (workspace.root / "build" / name).read_text()
        assert "Live scores" in page
        assert "80 new rows" in page


def test_what_was_not_to_be_learned_from_is_not_said_to_be_nothing_new(served):
    workspace, kept, truth = served
    arguments = ("labels", truth, "--predictions", kept, "--no-track")
    assert "new row" not in call(workspace, *arguments, "--no-learn").output
    assert "80 new rows" in call(workspace, *arguments).output
    assert "No new row to learn from." in call(workspace, *arguments).output


def test_a_store_that_goes_away_in_the_middle_leaves_no_result_and_no_rows(served, monkeypatch):
    workspace, kept, truth = served
    label(workspace, truth, kept, learn=False)
    read = feedback.kept.read

    def read_and_lose(segment, kind):
        lines = read(segment, kind)
        shutil.rmtree(kept)
        return lines

    monkeypatch.setattr(feedback.kept, "read", read_and_lose)
    with pytest.raises(SlipwayError, match=r"predictions/2026-11-23/.*: cannot be read"):
        label(workspace, truth, kept)
    assert not workspace.live.exists()
    assert not (workspace.data / "live").exists()


def test_without_predictions_the_command_says_where_they_are_named(released):
    done = call(released, "labels")
    assert done.exit_code == 2
    assert "SLIPWAY_PREDICTIONS" in done.output


@pytest.fixture
def shadowed(challenged_original, tmp_path):
    """A checkout with a candidate, a little better than the champion, that answered as its shadow."""

    def make(rows: int) -> Workspace:
        workspace = copy_checkout(challenged_original, tmp_path / "shadowed")
        truth = serve(workspace, rows_of(workspace, rows), tmp_path / "kept", workspace.bundle)
        truth.to_csv(tmp_path / "truth.csv", index=False)
        label(workspace, str(tmp_path / "truth.csv"), str(tmp_path / "kept"), learn=False)
        return workspace

    return make


def compared(workspace: Workspace):
    candidate, champion = (Predictor.load(path) for path in (workspace.bundle, workspace.champion / "bundle"))
    return check_live(workspace, candidate, champion, Bootstrap(300, 0.95))


def test_on_the_same_live_rows_the_better_shadow_passes(shadowed):
    reason = compared(shadowed(100))
    assert reason.outcome == "pass"
    assert "on 100 live rows: log_loss -" in reason.detail


def test_of_too_few_groups_the_live_rows_decide_nothing(shadowed):
    reason = compared(shadowed(20))
    assert (reason.outcome, "in 20 groups; at least 30" in reason.detail) == ("hold", True)


def test_rows_that_another_shadow_answered_do_not_count(shadowed):
    workspace = shadowed(40)
    table = pd.read_parquet(workspace.live_rows)
    table.assign(**{"_shadow.version": "0123456789ab"}).to_parquet(workspace.live_rows)
    assert "SLIPWAY_SHADOW=build/bundle" in compared(workspace).detail


def test_without_joined_rows_the_gate_says_how_to_get_them(challenged_original):
    assert compared(challenged_original).detail == "no truth was joined here: `slipway labels` joins it"
