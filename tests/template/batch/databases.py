"""A PostgreSQL server of its own, and tables in a database."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from slipway.batch import Limits, Output, Scorer, Summary, Table, predict
from slipway.batch.database import Database
from slipway.batch.query import Query
from slipway.batch.tables import DatabaseTable

PASSWORD = "not-for-eyes"  # pragma: allowlist secret
ALL = "SELECT * FROM flowers ORDER BY code"
FAST = "-c fsync=off -c listen_addresses=127.0.0.1"


class Postgres:
    """Debian keeps the server's programs out of PATH; and root may not run them."""

    def __init__(self) -> None:
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self._user = "postgres" if os.getuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp())
        if self._user:
            shutil.chown(self.folder, self._user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self._port}/postgres"
        (self.folder / "password").write_text(PASSWORD)
        files = ("--pgdata", f"{self.folder}/data", "--pwfile", f"{self.folder}/password")
        self._run("initdb", *files, "--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync")
        self.start()

    def start(self) -> None:
        self._control("start", "-o", f"{FAST} -p {self._port} -k {self.folder}", "-l", f"{self.folder}/log")

    def stop(self) -> None:
        """Let it go away without a word, as a machine that fails."""
        self._control("stop", "-m", "immediate")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "--pgdata", f"{self.folder}/data", "--wait", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, *arguments]
        done = subprocess.run(
            command, user=self._user, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
        )
        assert done.returncode == 0, (self.folder / "log").read_text() if (self.folder / "log").exists() else command


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


def ask(
    url: str, sql: str | Path, output: str | Path, scorer: Scorer, limits: Limits | None = None, *, resume: bool = False
) -> Summary:
    """Predict for a query or a file, into a file, a folder, or a table."""
    with closing(Database(url)) as connection:
        rows = Table.open(str(sql)) if isinstance(sql, Path) else Query(connection, sql, scorer.contract)
        name = str(output)
        to = (
            DatabaseTable(connection, name.removeprefix("table:"))
            if name.startswith("table:")
            else Output.of(name, rows, part_rows=100)
        )
        return predict(rows, to, scorer, limits or Limits(), resume=resume)
