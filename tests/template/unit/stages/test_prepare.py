import io
import subprocess
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest
from pydantic import BaseModel

from flowers import flower_problem, flowers
from slipway.contract import Column, Contract, record
from slipway.problem import SlipwayError
from slipway.problem.params import Prepare
from slipway.stages.prepare import data_digest, in_test, prepare, shape
from trips import trip_problem, trips

CONTRACT = record(flower_problem())


def tables(problem, data, out, share=0.25):
    prepare(problem, Prepare(test_share=share), data, out)
    return pd.read_parquet(out / "train.parquet"), pd.read_parquet(out / "test.parquet")


def test_every_row_is_in_one_of_the_two_tables(problem, data, tmp_path):
    train, test = tables(problem, data, tmp_path / "table")
    assert sorted([*train["_row"], *test["_row"]]) == list(range(200))  # read_csv counts from 0


def test_the_test_share_is_about_what_was_asked(problem, data, tmp_path):
    flowers(4000).to_csv(data / "flowers.csv", index=False)
    _, test = tables(problem, data, tmp_path / "table", 0.3)
    assert len(test) / 4000 == pytest.approx(0.3, abs=0.03)


def test_an_individual_is_on_one_side_only(problem, data, tmp_path):
    train, test = tables(problem, data, tmp_path / "table")
    assert not set(train["plant"]) & set(test["plant"])


def test_a_row_keeps_its_side_as_the_data_grows_and_is_sorted_otherwise(problem, data, tmp_path):
    before = set(tables(problem, data, tmp_path / "a")[1]["plant"])
    flowers(600).sample(frac=1, random_state=1).to_csv(data / "flowers.csv", index=False)
    after = set(tables(problem, data, tmp_path / "b")[1]["plant"])
    old = {f"p{i}" for i in range(100)}
    assert after & old == before


def test_an_identity_of_two_columns_is_not_their_concatenation():
    numbers = [str(i) for i in range(100)]
    one = pd.DataFrame({"a": [n + "x" for n in numbers], "b": "yz"})
    other = pd.DataFrame({"a": [n + "xy" for n in numbers], "b": "z"})
    assert in_test(one, ("a", "b"), 0.5).tolist() != in_test(other, ("a", "b"), 0.5).tolist()


def test_the_tables_are_the_same_bytes_each_time(problem, data, tmp_path):
    for out in ("a", "b"):
        tables(problem, data, tmp_path / out)
    for name in ("train.parquet", "test.parquet", "source.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_columns_come_in_the_contracts_order_and_dtypes():
    shaped = shape(CONTRACT, flowers(50)[::-1].sample(frac=1, axis=1, random_state=0))
    assert list(shaped) == [*CONTRACT.names, "_row"]
    kinds = {name: str(shaped[name].dtype) for name in ("height", "petals", "scented", "weight", "colour")}
    assert kinds == {"height": "float64", "petals": "int64", "scented": "bool", "weight": "float64", "colour": "str"}


def test_the_rows_name_where_they_stood_in_the_source():
    assert shape(CONTRACT, flowers(5).drop(index=[2]))["_row"].tolist() == [1, 3, 4, 5]


def test_a_cell_that_is_no_number_leaves_the_column_as_recorded():
    table = flowers(5).astype({"height": object})
    table.loc[3, "height"] = "tall"
    shaped = shape(CONTRACT, table)
    assert shaped["height"].tolist()[2] == "tall"
    assert shaped["height"].dtype == "str"


def test_numbers_and_booleans_written_as_text_are_understood():
    table = flowers(4).assign(height=["1", "2.5", " 3", "4e0"], scented=["True", "false", "1", "0"])
    shaped = shape(CONTRACT, table)
    assert shaped["height"].tolist() == [1, 2.5, 3, 4]
    assert shaped["scented"].tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(pd.to_datetime(["2024-01-01", None])),
        pd.Series(pd.to_datetime(["2024-01-01", None])).astype(object),
        pd.Series(pd.to_datetime(["2024-01-01T00:00Z", None])),
        pd.Series(pd.to_timedelta(["1 h", None])),
        pd.Series(pd.period_range("2024", periods=2, freq="Y")),
        pd.Series([1 + 2j, None]),
    ],
    ids=lambda values: str(values.dtype),
)
@pytest.mark.parametrize("kind", ["number", "integer"])
def test_times_and_complex_numbers_are_no_numbers(kind, values):
    """Pandas would count the microseconds, or years, since 1970."""
    contract = Contract("Reading", (Column("x", kind, optional=True),))
    assert shape(contract, pd.DataFrame({"x": values}))["x"].dtype == "str"


def test_a_whole_number_beyond_64_bits_does_not_become_another():
    contract = Contract("Reading", (Column("x", "integer"),))
    for beyond in (2**63, -(2**64)):
        assert shape(contract, pd.DataFrame({"x": [beyond, 1]}, dtype=object))["x"].tolist() == [float(beyond), 1.0]


def test_a_fraction_in_a_whole_number_column_stays_visible():
    assert shape(CONTRACT, flowers(3).assign(petals=[1, 2.5, 3]))["petals"].tolist() == [1, 2.5, 3]


def test_a_lacking_column_lacks_and_an_unknown_one_stays():
    shaped = shape(CONTRACT, flowers(3).drop(columns="height").assign(smell=[1, 2, 3]))
    assert "height" not in shaped
    assert shaped["smell"].tolist() == ["1", "2", "3"]


def _load(result):
    def load(folder: Path):
        if isinstance(result, Exception):
            raise result
        return result

    return load


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (flowers(5).drop(columns="plant"), r"needs the column\(s\) plant"),
        (flowers(0), r"load\(\) returned no rows"),
        ([1, 2], "returned a list, not a pandas DataFrame"),
        (pd.concat([flowers(3), flowers(3)[["bed"]]], axis=1), "columns of the same name: bed"),
        (pd.errors.ParserError("line 3"), r"load\(\) failed: ParserError: line 3"),
    ],
)
def test_data_that_is_no_table_is_refused(data, tmp_path, result, words):
    with pytest.raises(SlipwayError, match=words):
        prepare(flower_problem(load=_load(result)), Prepare(), data, tmp_path / "table")
    assert not (tmp_path / "table").exists()


class Home(BaseModel):
    postcode: str
    country: Literal["DE", "NA", "FR"] | None = None
    agent: str | None = None
    note: str | None = None
    area: float
    lift: bool | None = None


HOMES = "postcode,country,agent,note,area,lift\n01067,NA,1001,,188,true\n80331,DE,,,90.5,\n"


def test_codes_that_pandas_took_for_numbers_are_refused_with_the_way_out():
    with pytest.raises(SlipwayError) as caught:
        shape(Contract.from_model(Home), pd.read_csv(io.StringIO(HOMES)))
    said = str(caught.value)
    assert "load() returned postcode (integer), agent (floating), declared as text or categories" in said
    assert 'src/project/data.py:\n  pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])' in said


def test_text_that_was_read_as_it_is_written_stays_and_numbers_and_booleans_are_understood():
    table = pd.read_csv(io.StringIO(HOMES), dtype=str, keep_default_na=False, na_values=[""])
    shaped = shape(Contract.from_model(Home), table)
    assert shaped["postcode"].tolist() == ["01067", "80331"]
    assert shaped["country"].tolist() == ["NA", "DE"]
    assert shaped["agent"].dropna().tolist() == ["1001"]
    assert shaped["area"].tolist() == [188.0, 90.5]
    assert shaped["lift"].tolist()[0] == 1.0


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1067, "D-01067"], "mixed-integer"),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), "datetime"),
        ([True, False], "boolean"),
        (pd.Categorical([1067, 80331]), "integer"),
    ],
)
def test_whatever_else_than_text_load_gives_for_a_text_is_refused(values, kind):
    with pytest.raises(SlipwayError, match=rf"postcode \({kind}\)"):
        shape(Contract.from_model(Home), pd.DataFrame({"postcode": values}))


@pytest.mark.parametrize("values", [pd.Categorical(["01067", "80331"]), [None, None], ["01067", None]])
def test_text_in_whatever_form_and_columns_without_a_value_are_taken(values):
    shape(Contract.from_model(Home), pd.DataFrame({"postcode": values}))


@pytest.mark.parametrize("there", [True, False])
def test_without_data_the_way_to_it_is_told(problem, tmp_path, there):
    if there:
        (tmp_path / "data").mkdir()
    with pytest.raises(SlipwayError, match=r"`dvc pull data.dvc` fetches it"):
        prepare(problem, Prepare(), tmp_path / "data", tmp_path / "table")


def test_the_datas_digest_is_the_one_that_dvc_records(tmp_path):
    folder = tmp_path / "data"
    (folder / "b").mkdir(parents=True)
    for name in ("a.csv", "b/c.csv", "b/ä.csv", "a-b.csv"):
        (folder / name).write_text(name)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "add", "-q", "data"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    assert f"md5: {data_digest(folder)}" in (tmp_path / "data.dvc").read_text()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Vienna"])
def test_dates_are_written_in_one_way_whatever_load_gives(zone):
    stamps = pd.to_datetime(["2024-05-17T06:30:00Z", None]).tz_convert(zone)
    for start in (stamps, [str(stamps[0]), None], [stamps[0].to_pydatetime(), None]):
        table = trips(2).assign(start=start, day=pd.to_datetime(["2024-05-17", None]))
        shaped = shape(record(trip_problem()), table)
        assert shaped["start"].tolist()[0] == "2024-05-17T06:30:00Z"
        assert shaped["day"].tolist()[0] == "2024-05-17"
        assert shaped[["start", "day"]].isna().sum().tolist() == [1, 1]


def test_a_cell_that_is_no_date_stays_as_it_is_for_validation_to_report():
    shaped = shape(record(trip_problem()), trips(3).assign(day=["2024-05-17", "17.5.2024", "2024-02-30"]))
    assert shaped["day"].tolist() == ["2024-05-17", "17.5.2024", "2024-02-30"]


def live_part(data: Path, name: str, rows: pd.DataFrame) -> None:
    (data / "live").mkdir(exist_ok=True)
    rows.assign(_id=[f"{name} {n}" for n in range(len(rows))]).to_csv(data / "live" / f"{name}.csv", index=False)


def test_live_rows_are_added_after_those_that_load_gives_with_numbers_and_columns_of_the_record(
    problem, data, tmp_path
):
    live_part(data, "b", flowers(5, seed=1).assign(plant="NA", gone="x"))
    live_part(data, "a", flowers(5, seed=2).drop(columns="bed").assign(plant="007"))
    table = pd.concat(tables(problem, data, tmp_path / "table")).sort_values("_row").reset_index(drop=True)
    assert table.columns.tolist() == [*CONTRACT.names, "_row"]
    assert table["_row"].tolist() == list(range(210))
    assert table["plant"][200:].tolist() == ["007"] * 5 + ["NA"] * 5
    assert table["petals"].dtype == "int64"
    assert table["scented"].dtype == "bool"


def test_a_live_file_that_cannot_be_read_is_named(problem, data, tmp_path):
    (data / "live").mkdir()
    (data / "live" / "x.csv").write_bytes(b"")
    with pytest.raises(SlipwayError, match=r"live/x\.csv: cannot be read"):
        tables(problem, data, tmp_path / "table")
