"""Input and output that cannot be used: an error that names the file, and nothing half written."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batch.conftest import ROWS, Another, During, run, store, table
from slipway.problem import SlipwayError


def parts(folder: Path, spoil: Callable[[Path], Any]) -> Path:
    """Ten Parquet files, the one with number 7 spoiled."""
    for number in range(10):
        store(table().slice(number * 10, 10), folder / f"part-{number}.parquet")
    spoil(folder / "part-7.parquet")
    return folder


def as_text(path: Path) -> None:
    column = table(10)["height"].cast(pa.string())
    store(table(10).set_column(2, "height", column), path)


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda at: at / "no.csv", r"no\.csv: no such file or folder"),
    "no file": (lambda at: at, "in: no file is there"),
    "glob": (lambda at: at / "*.csv", r"\*\.csv: no file is there"),
    "empty": (lambda at: put(at / "a.csv", b""), r"a\.csv: the file is empty"),
    "no rows": (lambda at: store(table().slice(0, 0), at / "a.parquet"), r"a\.parquet: there are no rows"),
    "header": (lambda at: put(at / "a.csv", header()), r"a\.csv: there are no rows"),
    "name": (lambda at: put(at / "a.txt", b"x"), r"a\.txt: not a table by its name; \.csv"),
    "garbage": (lambda at: put(at / "a.parquet", b"x" * 99), r"a\.parquet: cannot be read as parquet"),
    "header, no line's end": (lambda at: put(at / "a.csv", header().strip()), r"a\.csv: there are no rows"),
    "header of empty lines": (lambda at: put(at / "a.csv", b"\n\n"), r"a\.csv: there are no columns"),
    "header too long": (
        lambda at: put(at / "a.csv", b'"' + b"x\n" * 99_999),
        r"a\.csv: cannot be read as csv: field larger",
    ),
    "latin-1": (lambda at: put(at / "a.csv", latin()), r"a\.csv: not UTF-8 .*; convert it with iconv"),
    "latin-1 later": (
        lambda at: put(at / "a.csv", latin(999)),
        r"a\.csv: cannot be read: .*Row #1001: .*invalid UTF8.*; convert it with iconv",
    ),
    "utf-16": (lambda at: put(at / "a.csv", header().decode().encode("utf-16")), r"a\.csv: not UTF-8"),
    "twice": (lambda at: put(at / "a.csv", b"site,site\n1,2\n"), r"a\.csv: columns of the same name: 'site'"),
    "lacks": (lambda at: store(table().drop(["site", "leaves"]), at / "a.csv"), r"a\.csv: lacks .*site, leaves"),
    "added": (lambda at: store(added(), at / "a.csv"), r"a\.csv: prediction: columns that predict adds"),
    "formats": (
        lambda at: [store(table(), at / "a.csv"), store(table(), at / "b.parquet")][0].parent,
        "another format",
    ),
    "part 7 unreadable": (lambda at: parts(at, lambda path: path.write_bytes(b"PAR1")), r"part-7\.parquet: cannot be"),
    "part 7 columns": (
        lambda at: parts(at, lambda path: store(table(10).drop(["note"]), path)),
        r"part-7\.parquet: has not the columns of .*part-0\.parquet; in one only: note",
    ),
    "part 7 types": (
        lambda at: parts(at, as_text),
        r"part-7\.parquet: has not the columns of .*part-0\.parquet: .*height has incompatible types: double vs string",
    ),
}


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def header() -> bytes:
    return ",".join(table().schema.names).encode() + b"\n"


def latin(before: int = 0) -> bytes:
    row = "1,north,1,none,1,true,7,schön\n"
    return header() + row.encode() * before + row.encode("latin-1")


def added() -> pa.Table:
    return table().append_column("prediction", table()["site"])


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("output", ["out.csv", "out/"])
def test_an_input_that_cannot_be_used_is_named_and_nothing_is_left(bad, output, scorer, tmp_path):
    (tmp_path / "in").mkdir()
    make, words = BAD[bad]
    given = make(tmp_path / "in")
    with pytest.raises(SlipwayError, match=words):
        run(given, f"{tmp_path}/{output}", scorer)
    left = [path for path in tmp_path.rglob("*") if (tmp_path / "in") not in (path, *path.parents) and path.is_file()]
    assert [path for path in left if path.parent.name != "_progress"] == []


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("in/a.csv", "the output is the input"),
        ("in", "the output is the input"),
        ("in/", "the output is the input"),
        ("in/predicted.csv", "would be read as a part of the input"),
        ("in/predicted/", "would be read as a part of the input"),
        ("there.csv", r"there\.csv: exists already"),
        ("full/", "full: exists already"),
        ("listed.csv", r"listed\.csv\.rejected: exists already"),
    ],
)
def test_an_output_is_never_written_over_something(output, words, scorer, tmp_path):
    for name in ("in/a.csv", "there.csv", "full/other.csv", "listed.csv.rejected"):
        store(table(), tmp_path / name) if name.endswith("csv") else (tmp_path / name).touch()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(SlipwayError, match=words):
        run(tmp_path / "in", f"{tmp_path}/{output}", scorer)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_file_that_changes_while_it_is_read_ends_the_run(bundle, tmp_path):
    given = store(table(), tmp_path / "in.csv")

    def change() -> None:
        with given.open("a") as file:
            file.write("x")

    with pytest.raises(SlipwayError, match=r"in\.csv: the file was changed while it was read"):
        run(given, tmp_path / "out.csv", During(bundle, change))
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("output", ["out.parquet", "out/"])
def test_two_runs_into_one_output_are_refused(output, bundle, scorer, tmp_path):
    given = store(table(), tmp_path / "in.csv")
    another = Another(lambda: run(given, f"{tmp_path}/{output}", scorer))
    run(given, f"{tmp_path}/{output}", During(bundle, another), part_rows=1000)
    assert another.said == f"{tmp_path}/{output.rstrip('/')}: another run is writing it"


@pytest.mark.parametrize("room", [0, 64 << 10])
@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_a_full_disk_is_an_error_and_leaves_nothing(form, room, scorer, tmp_path):
    given = store(table(5000), tmp_path / "in.parquet")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # of every file: what a full disk does, too
    try:
        with pytest.raises(SlipwayError, match=f"out.{form}: cannot be written: .*File too large"):
            run(given, tmp_path / f"out.{form}", scorer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


@pytest.mark.parametrize("kind", [pa.struct({"a": pa.int64()}), pa.list_(pa.string())])
def test_a_column_that_no_csv_can_hold_is_named(kind, scorer, tmp_path):
    given = store(table().append_column("inner", pa.nulls(ROWS, kind)), tmp_path / "in.parquet")
    with pytest.raises(SlipwayError, match=r"out\.csv: cannot be written: inner is of type .*; write \.parquet"):
        run(given, tmp_path / "out.csv", scorer)
    assert run(given, tmp_path / "out.parquet", scorer).rejected == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("out.csv", "."))] == []


def test_a_uri_that_no_file_system_knows_is_an_error(scorer, tmp_path):
    with pytest.raises(SlipwayError, match=r"ftp://x/a\.csv: not a path or a URI that can be used"):
        run("ftp://x/a.csv", tmp_path / "out.csv", scorer)
