"""A connection to a database, through SQLAlchemy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from slipway.problem import SlipwayError


class Database:
    """A connection with one transaction: reads see one state, and writes are atomic.

    Messages name it without its password. Several threads may use it, one at a time. reading: the open query, if any.
    """

    reading: sa.CursorResult[Any] | None = None

    def __init__(self, url: str) -> None:
        """Connect. Raises SlipwayError if the URL, the driver or the server does not let one in."""
        try:
            given = sa.make_url(url)
        except (SQLAlchemyError, ValueError):  # whose words may hold the password
            known = "postgresql://user@host/name or sqlite:///file.db"
            raise SlipwayError(f"--database: not a URL such as {known}") from None
        self.shown = given.set(query={}).render_as_string(hide_password=True)
        lite = given.get_backend_name() == "sqlite"
        if lite and not Path(given.database or "").is_file():
            raise SlipwayError(f"{self.shown}: no such file")
        try:
            engine = sa.create_engine(given, poolclass=sa.NullPool)
        except (ImportError, SQLAlchemyError) as error:
            hint = "pip install 'slipway[sql]' brings PostgreSQL's"
            raise SlipwayError(f"{self.shown}: no driver for this database ({error}); {hint}") from None
        if lite:  # its driver would begin no transaction before CREATE TABLE
            sa.event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
            sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        self.dialect, self._lock = engine.dialect, Lock()
        with self._reported("cannot be reached"):
            self._connection = engine.connect()

    @contextlib.contextmanager
    def using(self, failed: str) -> Iterator[sa.Connection]:
        """Give the connection to one thread. Raises SlipwayError with the database's own words."""
        with self._lock, self._reported(failed):
            yield self._connection

    def close(self) -> None:
        """Roll back."""
        with self._lock, contextlib.suppress(SQLAlchemyError):
            self._connection.close()

    @contextlib.contextmanager
    def _reported(self, failed: str) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, self.dialect.loaded_dbapi.Error) as error:
            words = " ".join(str(getattr(error, "orig", None) or error).split())
            raise SlipwayError(f"{self.shown}: {failed}: {words[:300]}") from None
