"""Tables of the flowers in every format, and runs over them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
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
from slipway.batch import BundleScorer, Output, Scorer, Summary, Table, predict
from slipway.batch.keeping import Keeping
from slipway.batch.scorers import Scored
from slipway.contract import Array
from slipway.problem import SlipwayError
from trips import trips

ROWS = 300
TOO_HIGH = 11.5


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


def spoiled(*wrong: int, rows: int = ROWS) -> pa.Table:
    """Flowers of which some are too high."""
    content = table(rows).to_pylist()
    for row in wrong:
        content[row]["height"] = TOO_HIGH
    return pa.Table.from_pylist(content, table().schema)


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
    *,
    part_rows: int = 100,
    keep: Path | str | None = None,
    **options: Any,
) -> Summary:
    """Predict for files, in parts of 100 rows where the output is a folder."""
    opened = Table.open(str(given))
    if isinstance(scorer, Path):
        scorer = BundleScorer(scorer)
    keeping = Keeping(str(keep), scorer) if keep else None
    output = Output.of(str(output), opened, part_rows=part_rows)
    return predict(opened, output, scorer, keeping=keeping, **options)


class During(BundleScorer):
    """Calls a function at the prediction of that number."""

    def __init__(self, bundle: Path, function: Callable[[], Any], call: int = 1) -> None:
        super().__init__(bundle)
        self._function, self._left = function, call

    def score(self, arrays: Mapping[str, Array]) -> Scored:
        self._left -= 1
        if not self._left:
            self._function()
        return super().score(arrays)


class Another:
    """A second run while the first one goes on, in a thread. said: how it was refused."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self._run, self.said = run, ""

    def __call__(self) -> None:
        thread = threading.Thread(target=self._attempt)
        thread.start()
        thread.join()

    def _attempt(self) -> None:
        with pytest.raises(SlipwayError) as refused:
            self._run()
        self.said = str(refused.value)


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
