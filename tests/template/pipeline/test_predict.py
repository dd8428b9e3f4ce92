"""Predictions for files on a schedule: the champion's, where the variables say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.remotes import champion
from pipeline.workflow import Done, Workflow

pytestmark = pytest.mark.xdist_group("pipeline")  # they share a remote that takes a minute to make


ROWS = """species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g
Gentoo,Biscoe,46.1,13.2,211,4500
Adelie,Dream,39.5,17.8,188,3300
Adelie,Dream,39.5,17.8,188,-1
"""


@pytest.fixture
def given(penguins, tmp_path) -> Path:
    """The files of a day, of which one row is wrong."""
    folder = tmp_path / "files"
    (folder / "in/2026-11-25").mkdir(parents=True)
    (folder / "in/2026-11-25/rows.csv").write_text(ROWS)
    return folder


def night(
    remote: Path, folder: Path, files: Path, *, visibility: str = "private", date: str = "2026-11-25", **variables: str
) -> Done:
    """A run by hand for a day."""
    known = {"PREDICT_INPUT": f"{files}/in/{{date}}/*.csv", "PREDICT_OUTPUT": f"{files}/out/{{date}}", **variables}
    event = {"repository": {"visibility": visibility, "default_branch": "main"}}
    workflow = Workflow("predict.yml", remote, folder, vars=known, inputs={"date": date}, github={"event": event})
    return workflow.jobs("predict")


@pytest.mark.parametrize("visibility", ["private", "public"])
def test_the_champion_predicts_for_the_day_and_refused_rows_are_not_public(visibility, given, remote, tmp_path):
    done = night(remote, tmp_path / "run", given, visibility=visibility, PREDICT_OPTIONS="--resume --max-rejected 0.5")
    assert done.result == "success", done.log
    summary = json.loads((given / "out/2026-11-25/_SUCCESS").read_text())
    assert (summary["model_version"], summary["rejected"]) == (champion(remote)[:12], 1)
    assert "- rejected: 1 (" in done.summary
    kept = {
        path.relative_to(tmp_path / "run/artifacts/predict").as_posix()
        for path in (tmp_path / "run/artifacts/predict").rglob("*.*")
    }
    private = visibility == "private"
    assert kept == {"night.prom"} | ({"rejected/part-00000.csv"} if private else set())
    assert (given / "out/2026-11-25.rejected").exists() is not private


def test_a_night_without_input_fails_and_says_why(given, remote, tmp_path):
    done = night(remote, tmp_path / "run", given, date="2026-11-26")
    assert done.result == "failure"
    assert "in/2026-11-26/*.csv: no file is there" in done.summary
    assert not (given / "out").exists()


def test_without_an_output_nothing_runs(remote, tmp_path):
    assert Workflow("predict.yml", remote, tmp_path / "run").jobs("predict").result == "skipped"
