"""Tables in a database."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from slipway.batch import Output, Scorer, Summary, Table, predict
from slipway.batch.database import Database
from slipway.batch.query import Query
from slipway.batch.tables import DatabaseTable

ALL = "SELECT * FROM flowers ORDER BY code"


def clear(url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for name in sa.inspect(engine).get_table_names():
            connection.exec_driver_sql(f'DROP TABLE "{name}"')
    engine.dispose()


def fill(url: str, content: pd.DataFrame, name: str = "flowers") -> None:
    engine = sa.create_engine(url)
    content.to_sql(name, engine, index=False, if_exists="replace")
    engine.dispose()


def rows_of(url: str, name: str) -> pd.DataFrame:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = pd.read_sql_table(name, connection)
    engine.dispose()
    return found


def names_of(url: str) -> set[str]:
    engine = sa.create_engine(url)
    found = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    return found


def ask(url: str, sql: str | Path, output: str | Path, scorer: Scorer, **options: Any) -> Summary:
    """Predict for a query or a file, into a file, a folder, or a table."""
    with closing(Database(url)) as connection:
        rows = Table.open(str(sql)) if isinstance(sql, Path) else Query(connection, sql, scorer.contract)
        name = str(output)
        to = (
            DatabaseTable(connection, name.removeprefix("table:"))
            if name.startswith("table:")
            else Output.of(name, rows, part_rows=100)
        )
        return predict(rows, to, scorer, **options)
