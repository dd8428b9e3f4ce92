"""Writes tables of a database; they appear when they are complete."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pc
import sqlalchemy as sa

from slipway.batch.database import Database
from slipway.batch.places import Place
from slipway.batch.summary import Tally
from slipway.batch.writing import RefusedError, joined, lines_of
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from slipway.serving.problems import Error

WRITABLE = ("postgresql", "sqlite")  # whose transactions take a new table back, too
TYPES: tuple[tuple[Any, Any], ...] = (
    (pa.types.is_boolean, sa.Boolean()),
    (pa.types.is_integer, sa.BigInteger()),
    (pa.types.is_floating, sa.Double()),
    (pa.types.is_string, sa.Text()),
    (pa.types.is_large_string, sa.Text()),
    (pa.types.is_decimal, sa.Numeric()),
    (pa.types.is_date, sa.Date()),
    (pa.types.is_time, sa.Time()),
)


class DatabaseTable:
    """A new table as output, and a second one, NAME_rejected, for refused rows."""

    format, part_rows = "table", None

    def __init__(self, database: Database, name: str) -> None:
        """name: may begin with a schema and a dot. Raises SlipwayError for a database that takes no table back."""
        if database.dialect.name not in WRITABLE:
            known = " and ".join(WRITABLE)
            raise SlipwayError(f"{database.shown}: tables are written to {known} only; write files, and load those")
        schema, _, self._name = name.rpartition(".")
        self._database, self._schema = database, schema or None
        self.shown, self._refused = f"table:{name}", f"{self._name}_rejected"
        self.rejected = Place(None, name, f"{self.shown}_rejected")
        self._tables: dict[str, sa.Table] = {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs from the table. Raises SlipwayError if one is writing it."""
        with self._database.using("cannot be written") as connection:
            if self._database.dialect.name == "postgresql":  # SQLite lets one write at a time anyway
                lock = sa.func.pg_try_advisory_xact_lock(sa.func.hashtext(self.shown))
                if not connection.scalar(sa.select(lock)):
                    raise SlipwayError(f"{self.shown}: another run is writing it")
        yield

    def begin(self, *_: object) -> Tally:
        """Count nothing yet. Raises SlipwayError if something is there."""
        with self._database.using("cannot be reached") as connection:
            for name in (self._name, self._refused):
                if sa.inspect(connection).has_table(name, schema=self._schema):
                    raise SlipwayError(f"table {name}: exists already; DROP it, or name another")
        return Tally()

    def resume(self, *_: object) -> Tally:
        """Raise SlipwayError: there is nothing to go on with."""
        raise SlipwayError("--resume needs a folder as OUTPUT: a table is written as a whole")

    @contextlib.contextmanager
    def writing(self, *_: object) -> Iterator[DatabaseTable]:
        """Write the rows. If refused ones end the run, their list is kept, and the table is not."""
        try:
            yield self
        except RefusedError:
            with self._database.using("cannot be written") as connection:
                if self._database.reading:  # SQLite drops no table meanwhile
                    self._database.reading.close()
                self._tables[self._name].drop(connection)
            self.finish()
            raise

    def write(self, content: Any, added: Mapping[str, Any]) -> None:
        """Write rows with the columns that are added to them."""
        self._insert(self._name, joined(content, added))

    def reject(self, file: str, first: int, errors: list[Error]) -> None:
        """List errors of rows. first: the number of the batch's first row in the file."""
        if lines := lines_of(file, first, errors):
            rows = [{name: value if name == "row" else str(value) for name, value in line.items()} for line in lines]
            self._insert(self._refused, pa.RecordBatch.from_pylist(rows))

    def finish(self, *_: object) -> None:
        """Commit: now the tables are there."""
        with self._database.using("cannot be written") as connection:
            connection.commit()

    def _insert(self, name: str, batch: Any) -> None:
        with self._database.using("cannot be written") as connection:
            if name not in self._tables:
                columns = [sa.Column(field.name, _sql_type(field)) for field in batch.schema]
                self._tables[name] = sa.Table(name, sa.MetaData(), *columns, schema=self._schema)
                self._tables[name].create(connection)
            table = self._tables[name]
            if self._database.dialect.driver == "psycopg":
                content = pa.BufferOutputStream()
                pc.write_csv(batch, content, pc.WriteOptions(include_header=False))
                target = self._database.dialect.identifier_preparer.format_table(table)
                with connection.connection.cursor().copy(f"COPY {target} FROM STDIN WITH (FORMAT csv)") as copy:
                    copy.write(content.getvalue())
            elif len(batch):
                connection.execute(table.insert(), batch.to_pylist())


def _sql_type(field: Any) -> Any:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_timestamp(kind):
        return sa.DateTime(timezone=kind.tz is not None)
    for test, found in TYPES:
        if test(kind):
            return found
    raise SlipwayError(f"{field.name}: a column of type {kind} cannot be written to a table; leave it out")
