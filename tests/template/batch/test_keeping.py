"""Rows and answers that a run keeps, as a service keeps its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from batch.conftest import ROWS, read, run, spoiled, store, table
from slipway.batch import BundleScorer, keeping
from slipway.cli import main
from slipway.contract import Contract
from slipway.feedback.kept import Kept, predictions, segments
from slipway.problem import SlipwayError


def kept(folder: Path) -> dict[str, Kept]:
    return {one.id: one for batch in predictions(str(folder)) for one in batch}


def test_each_answered_row_is_kept_under_the_id_that_the_output_gives_it(scorer: BundleScorer, tmp_path: Path) -> None:
    run(store(spoiled(7), tmp_path / "in.parquet"), tmp_path / "out.parquet", scorer, keep=tmp_path / "k")
    found, written = kept(tmp_path / "k"), read(tmp_path / "out.parquet")
    assert len(found) == len(written) == ROWS - 1
    for row in written.to_dict("records"):
        one = found[row["prediction_id"]]
        assert (one.prediction, one.version) == (row["prediction"], scorer.version)
        assert one.probabilities == {name: row[f"probability.{name}"] for name in ("rose", "lily", "fern")}
        assert [*one.row] == [*scorer.contract.names]
        assert one.row["height"] == row["height"]


def test_private_fields_are_not_kept(scorer: BundleScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [replace(column, private=column.name == "site") for column in scorer.contract.columns]
    monkeypatch.setattr(scorer, "contract", Contract(scorer.contract.title, tuple(columns)))
    run(store(table(), tmp_path / "in.parquet"), tmp_path / "out.parquet", scorer, keep=tmp_path / "k")
    assert "site" in read(tmp_path / "out.parquet")
    assert {"site"} == set(scorer.contract.names) - {name for one in kept(tmp_path / "k").values() for name in one.row}


def test_segments_are_complete_at_a_size(scorer: BundleScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "SEGMENT_BYTES", 1)
    run(store(table(), tmp_path / "in.csv"), tmp_path / "out", scorer, keep=tmp_path / "k")
    assert len(segments(str(tmp_path / "k"), "predictions")) == 3  # a batch for each part
    assert len(kept(tmp_path / "k")) == ROWS


def test_a_part_that_is_there_was_kept(scorer: BundleScorer, tmp_path: Path) -> None:
    (tmp_path / "k").write_text("in the way")
    given = store(table(), tmp_path / "in.csv")
    with pytest.raises(SlipwayError, match=r"predictions.*cannot be written"):
        run(given, tmp_path / "out", scorer, keep=tmp_path / "k")
    assert not list((tmp_path / "out").glob("part-*"))
    (tmp_path / "k").unlink()
    run(given, tmp_path / "out", scorer, keep=tmp_path / "k", resume=True)
    assert set(kept(tmp_path / "k")) == set(read(tmp_path / "out")["prediction_id"])


def test_a_service_keeps_its_own(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["predict", "in.csv", "out.csv", "--url", "http://x", "--keep", str(tmp_path)])
    assert done.exit_code == 2
    assert "--keep and --url exclude each other" in done.stderr
