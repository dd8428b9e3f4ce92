"""What is read as a table, and what is not."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from slipway.problem import SlipwayError
from slipway.scaffold import table as module
from slipway.scaffold.table import read_table
from strangers import write

ROWS = pd.DataFrame({"code": [f"{n:03}" for n in range(60)], "state": ["NA", "x", ""] * 20, "size": np.arange(60) / 2})


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.parquet"])
def test_every_cell_stays_as_it_is_written(tmp_path, name):
    found = read_table(write(ROWS, tmp_path / name)).cells
    assert found.iloc[1].tolist() == ["001", "x", "0.5"]
    assert found.iloc[0]["state"] == "NA"


def test_a_folder_is_read_as_one_table(tmp_path):
    for part in (1, 2):
        write(ROWS, tmp_path / "parts" / f"{part}.csv")
    assert len(read_table(tmp_path / "parts").cells) == 120


def test_semicolons_decimal_commas_and_another_encoding_are_found_out(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("Größe;Preis\n" + "klein;1,5\ngroß;2,25\n" * 30, encoding="cp1252")
    found = read_table(path)
    assert found.options == {"sep": ";", "decimal": ",", "encoding": "cp1252"}
    assert found.cells["Größe"][1] == "groß"


@pytest.mark.parametrize("name", ["large.csv", "large.parquet"])
def test_of_a_large_table_rows_from_all_over_it_are_read(tmp_path, monkeypatch, name):
    path = write(pd.DataFrame({"a": np.arange(200_000), "b": 1}), tmp_path / name)
    monkeypatch.setattr(module, "LARGE", 100_000)
    found = read_table(path)
    numbers = found.cells["a"].astype(int)
    assert found.step > 5
    assert len(numbers) < 40_000
    assert (numbers.min(), numbers.max()) <= (100, 200_000)
    assert numbers.quantile(0.5) == pytest.approx(100_000, rel=0.1)


FAULTS = {
    "no such file": (None, "no such file"),
    "an empty file": (b"", "the file is empty"),
    "0 rows": (b"a,b\n", "0 rows"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "longer than 1 MB, or not text"),
    "a spreadsheet": (b"PK\x03\x04aaaa,b\n", "longer than 1 MB, or not text"),
    "a column alone": (b"a\n" + b"1\n" * 40, "only one column"),
    "no header": (b"1.5,2\n" * 40, "the first line holds numbers"),
    "a longer row": (b"a,b\n" + b"1,2\n" * 40 + b"1,2,3\n", "Expected 2 fields in line 42, saw 3"),
    "duplicate names": (b"a,b,a\n" + b"1,2,3\n" * 40, "columns of the same name: 'a'"),
    "10,000 columns": (b",".join(b"c%d" % n for n in range(10_000)) + b"\n", "10,000 columns; at most 1,000"),
    "mixed encodings": (
        "a,b\né,1\n".encode() + "é,2\n".encode("cp1252") * 40,
        "line 3: not UTF-8, which 1 other lines are",
    ),
}


def test_a_gigabyte_that_is_no_table_is_refused_without_being_read_into_memory(tmp_path):
    path = tmp_path / "rows.csv"
    with path.open("wb") as stream:
        stream.write(b"a,b\n" + b"1,2\n" * 2000)
        stream.truncate(2**30)  # zeros, which take no room on the disk
    tracemalloc.start()
    with pytest.raises(SlipwayError, match="line 2002: longer than 1 MB, or not text"):
        read_table(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_no_table_is_refused_in_a_sentence(tmp_path, case):
    content, words = FAULTS[case]
    path = tmp_path / "rows.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SlipwayError) as refused:
        read_table(path)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "rows.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(SlipwayError, match=r"\.xlsx; one kind of \.csv"):
        read_table(path)


def test_a_broken_parquet_file_is_refused(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(SlipwayError, match="cannot be read as Parquet"):
        read_table(path)
