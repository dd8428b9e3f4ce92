"""Predictions for files: the service's own, to the last bit, with all that the rows had."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.conftest import ROWS, read, run, store, table, trip_table
from serving.bundles import Flower
from serving.running import Direct, quiet, threaded
from slipway.batch import BundleScorer, Table
from slipway.batch.service import ServiceScorer
from slipway.contract import Contract
from slipway.model.predictor import label_name
from slipway.problem import SlipwayError
from trips import trips

FORMATS = ("csv", "parquet", "arrow")
FEATURES = list(Contract.from_model(Flower).names)


def answers(service: Direct, content: pa.Table) -> list[dict[str, Any]]:
    """Give what the service answers to the same rows as JSON, without ids."""
    rows = content.select(FEATURES).to_pylist()
    predictions = service.ask("/predict", {"rows": rows}).json()["predictions"]
    return [{name: value for name, value in one.items() if name != "id"} for one in predictions]


def as_answers(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Give predictions in a file as the service writes them."""
    classes = [name.removeprefix("probability.") for name in found if name.startswith("probability.")]
    if not classes:
        return [{"value": value} for value in found["prediction"]]
    return [
        {"label": row["prediction"], "probabilities": {name: row[f"probability.{name}"] for name in classes}}
        for row in found.to_dict("records")
    ]


@pytest.mark.parametrize("kind", ["species", "alive", "weight", "skops"])
@pytest.mark.parametrize("form", FORMATS)
def test_each_row_gets_the_services_prediction_to_the_last_bit(kind, form, made, tmp_path):
    given = store(table(), tmp_path / f"in.{form}")
    summary = run(given, tmp_path / f"out.{form}", made[kind])
    service = Direct(quiet(made[kind]))
    assert as_answers(read(tmp_path / f"out.{form}")) == answers(service, table())
    service.close()
    assert (summary.rows, summary.rejected) == (ROWS, 0)


@pytest.mark.parametrize("form", [*FORMATS, "url"])
def test_dates_and_whole_numbers_as_classes_give_the_services_predictions(form, trip_bundle, tmp_path):
    given = store(trip_table(), tmp_path / f"in.{form.replace('url', 'parquet')}")
    if form == "csv":
        trips(100, seed=1).drop(columns=["late"]).to_csv(given, index=False)
    output = tmp_path / f"out{given.suffix}"
    service = Direct(quiet(trip_bundle))
    with threaded(quiet(trip_bundle)) as url:
        run(given, output, ServiceScorer(url) if form == "url" else trip_bundle)
    contract = service.model.contract
    rows = contract.rows(contract.arrays(trips(100, seed=1)))
    predictions = service.ask("/predict", {"rows": rows}).json()["predictions"]
    service.close()
    assert as_answers(read(output)) == [
        {name: value for name, value in one.items() if name != "id"} for one in predictions
    ]


@pytest.mark.parametrize("kind", ["species", "alive", "weight"])
def test_a_running_service_gives_the_same_table_over_arrow(kind, made, tmp_path):
    given = store(table(), tmp_path / "in.parquet")
    with threaded(quiet(made[kind])) as url:
        run(given, tmp_path / "served.parquet", ServiceScorer(url))
    run(given, tmp_path / "own.parquet", made[kind])
    served, own = (read(tmp_path / f"{name}.parquet").drop(columns="prediction_id") for name in ("served", "own"))
    pd.testing.assert_frame_equal(served, own, check_exact=True)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("form", FORMATS)
def test_all_columns_are_carried_over_and_those_of_the_prediction_added(form, to, scorer, tmp_path):
    given = store(table(), tmp_path / f"in.{form}")
    run(given, tmp_path / f"out.{to}", scorer)
    found, before = read(tmp_path / f"out.{to}"), read(given)
    added = [
        "prediction",
        *(f"probability.{name}" for name in ("rose", "lily", "fern")),
        "model_version",
        "prediction_id",
    ]
    assert list(found) == [*before, *added]
    pd.testing.assert_frame_equal(
        found[list(before)].replace("", None), before.replace("", None), check_dtype=False, check_exact=True
    )
    assert set(found["model_version"]) == {scorer.version}
    assert found["prediction_id"].is_unique


def test_numbers_of_a_csv_have_their_types_in_parquet_and_what_no_model_knows_stays_text(scorer, tmp_path):
    run(store(table(), tmp_path / "in.csv"), tmp_path / "out.parquet", scorer)
    schema = pq.read_schema(tmp_path / "out.parquet")
    kinds = {name: str(schema.field(name).type) for name in ("height", "leaves", "potted", "site", "code")}
    assert kinds == {"height": "double", "leaves": "int64", "potted": "bool", "site": "string", "code": "string"}


def test_an_id_is_accepted_as_feedback_by_a_service_with_the_same_key(bundle, tmp_path):
    key = "k" * 16
    run(store(table(5), tmp_path / "in.csv"), tmp_path / "out.csv", BundleScorer(bundle, key=key))
    found = read(tmp_path / "out.csv")
    service = Direct(quiet(bundle, feedback_key=key))
    for row in found.to_dict("records"):
        answer = service.ask("/feedback", {"id": row["prediction_id"], "truth": row["prediction"]})
        assert answer.status < 300, answer.body
    assert service.model.counters.feedback["correct"] == 5
    service.close()


def test_rows_of_more_batches_and_row_groups_keep_their_order(scorer, tmp_path):
    rows = 70_000  # more than a batch
    content = table(1000)
    content = pa.concat_tables([content] * 70).set_column(0, "code", pa.array(np.arange(rows)))
    pq.write_table(content, tmp_path / "in.parquet", row_group_size=999)
    run(tmp_path / "in.parquet", tmp_path / "out", scorer, part_rows=30_000)
    assert [len(pd.read_parquet(part)) for part in sorted((tmp_path / "out").glob("part-*"))] == [
        30_000,
        30_000,
        10_000,
    ]
    assert read(tmp_path / "out")["code"].tolist() == list(range(rows))


def test_a_folder_a_glob_and_a_uri_are_read_in_the_order_of_their_names(scorer, tmp_path):
    for number in (2, 0, 1):
        store(table().slice(number * 100, 100), tmp_path / "in" / f"day={number}" / "x.parquet")
    (tmp_path / "in" / "_SUCCESS").touch()
    for number, given in enumerate((tmp_path / "in", f"{tmp_path}/in/day=*/*.parquet", f"file://{tmp_path}/in")):
        run(given, f"file://{tmp_path}/out-{number}", scorer)
        assert read(tmp_path / f"out-{number}")["code"].tolist() == table()["code"].to_pylist()


def test_a_compressed_csv_with_semicolons_and_a_byte_order_mark_is_read(scorer, tmp_path):
    table().to_pandas().to_csv(tmp_path / "in.csv.gz", sep=";", index=False, encoding="utf-8-sig")
    run(tmp_path / "in.csv.gz", tmp_path / "out.csv.gz", scorer)
    assert pd.read_csv(tmp_path / "out.csv.gz", dtype=str)["code"].tolist() == table()["code"].to_pylist()


def test_drift_is_told_where_rows_are_not_as_in_training(scorer, tmp_path):
    content = table()
    same = run(store(content, tmp_path / "same.parquet"), tmp_path / "a.parquet", scorer)
    assert same.drift is not None
    assert not [one.name for one in same.drift if one.psi > one.limit]
    low = content.set_column(content.schema.get_field_index("height"), "height", pa.array(np.full(ROWS, 0.5)))
    moved = run(store(low, tmp_path / "low.parquet"), tmp_path / "b.parquet", scorer)
    assert moved.drift is not None
    assert "height" in [one.name for one in moved.drift if one.psi > one.limit]
    assert {label_name(name) for name in scorer.classes} == set(moved.predictions)


def test_a_service_that_changes_its_model_meanwhile_ends_the_run(made, tmp_path):
    with threaded(quiet(made["species"])) as url:
        asked = ServiceScorer(url)
        asked.version = "0" * 12
        with pytest.raises(SlipwayError, match="the model changed from 000000000000 to"):
            run(store(table(), tmp_path / "in.parquet"), tmp_path / "out.parquet", asked)
    assert not (tmp_path / "out.parquet").exists()


def test_a_file_is_never_held_in_memory_as_a_whole(tmp_path):
    columns = {f"x{n}": np.random.default_rng(n).random(1_000_000) for n in range(4)}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet", row_group_size=20_000)
    del columns
    before, peak = pa.total_allocated_bytes(), 0
    for _ in Table.open(str(tmp_path / "in.parquet")).batches(None):
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < (tmp_path / "in.parquet").stat().st_size / 4


def test_a_decimal_gives_the_prediction_of_the_nearest_number(scorer, tmp_path):
    random = np.random.default_rng(0)
    heights = [Decimal(int(n)).scaleb(-11) for n in random.integers(0, 10**12, 2000)]
    plain = pa.concat_tables([table()] * 7).slice(0, 2000)
    position = plain.schema.get_field_index("height")
    exact = store(plain.set_column(position, "height", pa.array([float(h) for h in heights])), tmp_path / "f.parquet")
    kept = store(plain.set_column(position, "height", pa.array(heights, pa.decimal128(20, 11))), tmp_path / "d.parquet")
    run(exact, tmp_path / "f-out.parquet", scorer)
    run(kept, tmp_path / "d-out.parquet", scorer)
    names = [name for name in read(tmp_path / "f-out.parquet") if name.startswith("probability")]
    pd.testing.assert_frame_equal(
        read(tmp_path / "f-out.parquet")[names], read(tmp_path / "d-out.parquet")[names], check_exact=True
    )


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_the_header_of_a_csv_may_follow_empty_lines_and_have_quotes_and_any_lines_end(ends, scorer, tmp_path):
    content = table(5).drop(["note"]).to_pandas().assign(**{'a "b,\nc"': "x"})
    (tmp_path / "in.csv").write_text(f"{ends}{content.to_csv(index=False, lineterminator=ends)}", newline="")
    assert run(tmp_path / "in.csv", tmp_path / "out.csv", scorer).rejected == 0
    assert list(read(tmp_path / "out.csv"))[: len(content.columns)] == list(content)


def test_a_compressed_csv_may_have_its_name_in_capitals(scorer, tmp_path):
    table(5).to_pandas().to_csv(tmp_path / "IN.CSV.GZ", index=False, compression="gzip")
    run(tmp_path / "IN.CSV.GZ", tmp_path / "OUT.CSV.GZ", scorer)
    assert len(pd.read_csv(tmp_path / "OUT.CSV.GZ", compression="gzip")) == 5


def test_a_file_is_found_by_its_name_though_it_may_be_read_as_a_glob(scorer, tmp_path):
    assert run(store(table(5), tmp_path / "day[1].csv"), tmp_path / "out.csv", scorer).rows == 5


def test_a_column_without_values_in_one_part_has_the_type_of_the_others(scorer, tmp_path):
    empty = table(5).set_column(7, "note", pa.nulls(5))
    for name, part in (("a", empty), ("b", table(5)), ("c", empty)):
        store(part, tmp_path / "in" / f"{name}.parquet")
    run(tmp_path / "in", tmp_path / "out.parquet", scorer)
    assert read(tmp_path / "out.parquet")["note"].notna().sum() == len(table(5)["note"].drop_null())


@pytest.mark.parametrize("kind", [pa.time64("us"), pa.duration("us")])
def test_a_time_of_day_is_no_date(kind, trip_bundle, tmp_path):
    content = trip_table()
    wrong = content.set_column(content.schema.get_field_index("day"), "day", pa.nulls(len(content), kind))
    with pytest.raises(SlipwayError, match=r"in\.parquet: day is of type .*, not date"):
        run(store(wrong, tmp_path / "in.parquet"), tmp_path / "out.parquet", trip_bundle)
