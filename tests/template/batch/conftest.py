"""Tables of the flowers in every format, and runs over them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from batch.databases import clear, fill
from postgres import Postgres
from serving.bundles import flowers
from slipway.batch import BundleScorer, Limits, Output, Scorer, Summary, Table, predict
from trips import trips

ROWS = 300
NONE = Limits()


def table(rows: int = ROWS, seed: int = 1) -> pa.Table:
    """Flowers with columns that no model knows; the first ones of a text that CSV must quote, and of leading zeros."""
    arrays = flowers(rows, seed)
    columns: dict[str, Any] = {"code": [f"{n:05}" for n in range(rows)]}
    for name, values in arrays.items():
        missing = None if values.dtype != object else values == ""
        columns[name] = pa.array(values, from_pandas=True, mask=missing)
    columns["leaves"] = columns["leaves"].cast(pa.int64())
    columns["potted"] = columns["potted"].cast(pa.bool_())
    columns["note"] = ['wet, "cold"\nand dark', None, *["-"] * (rows - 2)]
    return pa.table(columns)


def trip_table() -> pa.Table:
    """Trips with dates as Arrow has them, and the label as it is declared."""
    found = trips(100, seed=1).drop(columns=["late"])
    made = pa.Table.from_pandas(found, preserve_index=False)
    for name in ("day", "day_back"):
        made = made.set_column(made.schema.get_field_index(name), name, made[name].cast(pa.date32()))
    for name in ("start", "start_back"):
        stamps = made[name].cast(pa.timestamp("us", "UTC"))
        made = made.set_column(made.schema.get_field_index(name), name, stamps)
    return made


def store(content: pa.Table, path: Path) -> Path:
    """Write a table in the format that the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(content, path)
    elif path.suffix == ".arrow":
        with pa.ipc.new_file(path, content.schema) as writer:
            writer.write_table(content)
    else:
        pc.write_csv(content, path)
    return path


def read(path: Path) -> pd.DataFrame:
    """Read a file or a folder of parts, as a user would; the text of a CSV as it is."""
    files = sorted(file for file in path.iterdir() if file.name[0] not in "._") if path.is_dir() else [path]
    kinds: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": lambda file: pd.read_csv(file, dtype={"code": str}),
        ".parquet": pd.read_parquet,
        ".arrow": pd.read_feather,
    }
    return pd.concat([kinds[file.suffix](file) for file in files], ignore_index=True)


def run(
    given: Path | str,
    output: Path | str,
    scorer: Scorer | Path,
    limits: Limits = NONE,
    *,
    part_rows: int = 100,
    resume: bool = False,
) -> Summary:
    """Predict for files, in parts of 100 rows where the output is a folder."""
    opened = Table.open(str(given))
    if isinstance(scorer, Path):
        scorer = BundleScorer(scorer)
    return predict(opened, Output.of(str(output), opened, part_rows=part_rows), scorer, limits, resume=resume)


@pytest.fixture(scope="session")
def scorer(bundle: Path) -> BundleScorer:
    """A classifier."""
    return BundleScorer(bundle)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request, tmp_path) -> str:
    """The URL of a database with the flowers."""
    if request.param == "sqlite":
        sqlite3.connect(tmp_path / "shop.db").close()
        url = f"sqlite:///{tmp_path}/shop.db"
    else:
        url = request.getfixturevalue("postgres").url
    clear(url)
    fill(url, table().to_pandas())
    return url


@pytest.fixture
def many_batches(monkeypatch) -> None:
    """Read so few rows at a time that most are unread at the second prediction."""
    monkeypatch.setattr("slipway.batch.query.BATCH_ROWS", 20)
