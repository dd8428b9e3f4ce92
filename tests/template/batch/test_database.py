"""Queries as input and tables as output, of a real PostgreSQL and of SQLite."""

from __future__ import annotations

import pandas as pd
import pytest

from batch.conftest import ROWS, Another, During, read, run, spoiled, store, table
from batch.databases import ALL, ask, clear, fill, names_of, rows_of
from postgres import PASSWORD
from slipway.batch import BundleScorer
from slipway.problem import SlipwayError
from trips import trips

pytestmark = pytest.mark.xdist_group("postgres")


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare all but the ids, which each run makes anew; SQLite has no booleans."""
    ours, theirs = (frame.drop(columns="prediction_id") for frame in (found, expected))
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, check_exact=True)


@pytest.fixture
def expected(scorer, tmp_path) -> pd.DataFrame:
    """What files give for the same rows."""
    run(store(table(), tmp_path / "expected-in.parquet"), tmp_path / "expected.parquet", scorer)
    return read(tmp_path / "expected.parquet")


def test_a_query_gives_the_predictions_of_files_in_a_file_a_folder_and_a_table(database, scorer, expected, tmp_path):
    for output in ("out.parquet", "out.arrow", "parts"):
        assert ask(database, ALL, tmp_path / output, scorer).rows == ROWS
        same(read(tmp_path / output), expected)
    assert len(list((tmp_path / "parts").glob("*.parquet"))) == 3
    ask(database, ALL, "table:predicted", scorer)
    same(rows_of(database, "predicted"), expected)


def test_a_file_is_written_into_a_table(database, scorer, expected, tmp_path):
    ask(database, store(table(), tmp_path / "in.parquet"), "table:predicted", scorer)
    same(rows_of(database, "predicted"), expected)


def test_more_rows_than_a_batch_are_streamed_in_their_order(database, scorer, many_batches):
    ask(database, ALL, "table:predicted", scorer)
    assert rows_of(database, "predicted")["code"].tolist() == table()["code"].to_pylist()


def test_refused_rows_go_to_a_table_of_their_own(database, scorer):
    fill(database, spoiled(7).to_pandas())
    assert ask(database, ALL, "table:predicted", scorer).rejected == 1
    (one,) = rows_of(database, "predicted_rejected").to_dict("records")
    assert one == {
        "file": "query",
        "row": 7,
        "field": "height",
        "rule": "less_than_equal",
        "message": "Input should be less than or equal to 10",
        "value": "11.5",
    }
    assert len(rows_of(database, "predicted")) == ROWS - 1


def test_more_refused_rows_than_allowed_leave_their_list_only(database, scorer):
    fill(database, spoiled(7).to_pandas())
    with pytest.raises(SlipwayError, match="table:predicted_rejected names each"):
        ask(database, ALL, "table:predicted", scorer, max_rejected=0)
    assert names_of(database) == {"flowers", "predicted_rejected"}


@pytest.mark.parametrize("taken", ["predicted", "predicted_rejected"])
def test_a_table_that_exists_is_not_touched(taken, database, scorer):
    fill(database, pd.DataFrame({"mine": [1]}), taken)
    with pytest.raises(SlipwayError, match=f"table {taken}: exists already"):
        ask(database, ALL, "table:predicted", scorer)
    assert rows_of(database, taken)["mine"].tolist() == [1]


@pytest.mark.parametrize("output", ["table:predicted", "out.parquet"])
def test_a_server_that_goes_away_in_the_middle_is_an_error_and_leaves_nothing(
    output, postgres, bundle, tmp_path, many_batches
):
    clear(postgres.url)
    fill(postgres.url, table().to_pandas())
    target = output if output.startswith("table:") else tmp_path / output
    try:
        with pytest.raises(
            SlipwayError, match=r"postgresql://postgres:\*\*\*@.*(was lost|cannot be written)"
        ) as raised:
            ask(postgres.url, ALL, target, During(bundle, postgres.stop, 2))
    finally:
        postgres.start()
    assert PASSWORD not in str(raised.value)
    assert names_of(postgres.url) == {"flowers"}
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_takes_its_table_back(database, bundle, many_batches):
    def fail() -> None:
        raise SlipwayError("the model failed")

    with pytest.raises(SlipwayError, match="the model failed"):
        ask(database, ALL, "table:predicted", During(bundle, fail, 2))
    assert names_of(database) == {"flowers"}


def test_two_runs_into_one_table_are_refused(postgres, bundle, scorer, many_batches):
    clear(postgres.url)
    fill(postgres.url, table().to_pandas())
    another = Another(lambda: ask(postgres.url, ALL, "table:predicted", scorer))
    ask(postgres.url, ALL, "table:predicted", During(bundle, another, 2))
    assert another.said == "table:predicted: another run is writing it"


def test_decimals_dates_and_percent_signs_of_a_query_are_read_as_they_are(postgres, trip_bundle, tmp_path):
    clear(postgres.url)
    content = trips(100, seed=1).drop(columns=["late"])
    content.to_csv(tmp_path / "in.csv", index=False)
    run(tmp_path / "in.csv", tmp_path / "expected.parquet", trip_bundle)
    stamps = {name: pd.to_datetime(content[name]) for name in ("day", "day_back", "start", "start_back")}
    fill(postgres.url, content.assign(**stamps), "trips")
    cast = ", ".join(f"{name}::date AS {name}" for name in ("day", "day_back"))
    others = ", ".join(f'"{name}"' for name in content if name not in ("day", "day_back"))
    scorer = BundleScorer(trip_bundle)
    ask(postgres.url, f"SELECT {others}, {cast}, '5 % :x' AS remark FROM trips", tmp_path / "out.parquet", scorer)
    found, files = read(tmp_path / "out.parquet"), read(tmp_path / "expected.parquet")
    probabilities = [name for name in files if name.startswith(("probability", "prediction"))][:-1]
    pd.testing.assert_frame_equal(found[probabilities], files[probabilities], check_exact=True)
    assert set(found["remark"]) == {"5 % :x"}
