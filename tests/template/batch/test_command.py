"""The command: the champion by default, a summary in the end."""

from __future__ import annotations

import time
from datetime import datetime

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from batch.conftest import ROWS, spoiled, store, table
from slipway.batch import BundleScorer
from slipway.batch.metrics import FACTS
from slipway.champion import read_decision
from slipway.cli import main, predict
from slipway.problem.files import TEST


def call(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_last_commits_champion_predicts_by_default(released, tmp_path):
    champion = read_decision(released.root)
    (released.champion / "bundle" / "manifest.json").unlink()  # `champion.dvc` says what belongs there
    done = call("--root", released.root, "predict", released.table / TEST, tmp_path / "out.parquet")
    assert done.exit_code == 0, done.output
    found = pq.read_table(tmp_path / "out.parquet")
    assert set(found["model_version"].to_pylist()) == {champion.version}
    assert f"by model {champion.version}" in " ".join(done.output.split())
    assert "rows a second" in done.output


def test_without_a_champion_the_error_says_what_to_do(tmp_path):
    given = store(table(), tmp_path / "in.csv")
    done = call("--root", tmp_path, "predict", given, tmp_path / "out.csv")
    assert done.exit_code == 1
    assert "no champion yet; `slipway promote` makes one, and --bundle build/bundle is the candidate" in done.stderr


@pytest.mark.parametrize("options", [["--strict"], ["--max-rejected", "0.001"]])
def test_more_refused_rows_than_allowed_give_status_1(options, bundle, tmp_path):
    given = store(spoiled(*range(ROWS)), tmp_path / "in.parquet")
    done = call("predict", given, tmp_path / "out.parquet", "--bundle", bundle, *options)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "the contract refuses 300 of 300 rows" in done.stderr


def test_refused_rows_may_be_listed_elsewhere(bundle, tmp_path, monkeypatch):
    store(spoiled(7), tmp_path / "in.csv")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    places = tmp_path / "in.csv", tmp_path / "out/", "--rejected", tmp_path / "kept/rejected"
    done = call("predict", *places, "--bundle", bundle)
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "out.rejected").exists()
    assert "height" in (tmp_path / "kept/rejected/part-00000.csv").read_text()
    assert f"- rejected: 1 (0.33%), see {tmp_path}/kept/rejected" in (tmp_path / "summary.md").read_text()
    done = call("predict", tmp_path / "in.csv", "table:out", "--rejected", "elsewhere", "--bundle", bundle)
    assert (done.exit_code, "--rejected is for files" in done.stderr) == (2, True)


@pytest.mark.parametrize("other", ["--url", "--version"])
def test_two_models_exclude_each_other(other, bundle, tmp_path):
    done = call("predict", store(table(), tmp_path / "a.csv"), "b.csv", "--bundle", bundle, other, "http://x")
    assert done.exit_code == 2
    assert "exclude each other" in done.stderr


class LeapDay(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 3, 1, 1, tzinfo=tz)


@pytest.mark.parametrize("options", [[], ["--date", "2024-03-01"]])
def test_places_may_hold_the_date(options, bundle, tmp_path, monkeypatch):
    if not options:
        monkeypatch.setattr(predict, "datetime", LeapDay)
    store(table(), tmp_path / "in" / "2024-02-29" / "rows.csv")
    places = tmp_path / "in" / "{yesterday}" / "*.csv", tmp_path / "out-{date}.csv"
    done = call("predict", *places, "--bundle", bundle, *options)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out-2024-03-01.csv").exists()


def test_the_facts_of_the_last_complete_run_are_written_for_prometheus(bundle, tmp_path):
    store(spoiled(7), tmp_path / "in.csv")
    options = ["--bundle", bundle, "--metrics", tmp_path / "night.prom"]
    before = time.time()
    assert call("predict", tmp_path / "in.csv", tmp_path / "out.csv", *options).exit_code == 0
    text = (tmp_path / "night.prom").read_text()
    found = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
    assert {name: found[name].value for name in ("slipway_batch_rows", "slipway_batch_rejected_rows")} == {
        "slipway_batch_rows": 300,
        "slipway_batch_rejected_rows": 1,
    }
    assert before <= found["slipway_batch_last_success_timestamp_seconds"].value <= time.time()
    version = BundleScorer(bundle).version
    assert found["slipway_batch_model_info"].labels == {"run": "night", "version": version}
    assert set(found) == {f"slipway_batch_{name}" for name in FACTS}
    assert call("predict", tmp_path / "in.csv", tmp_path / "out.csv", *options).exit_code == 1
    assert (tmp_path / "night.prom").read_text() == text
