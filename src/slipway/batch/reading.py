"""Reads tables batch by batch in constant memory: CSV as text, Parquet and Arrow with their types."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from slipway.batch.places import Place, find, format_of, reported
from slipway.problem import SlipwayError

BATCH_ROWS = 1 << 16
BLOCK_BYTES = 4 << 20  # of a CSV
HEADER_BYTES = 1 << 20
SEPARATORS = ",;\t|"
Broken = dict[int, tuple[str, str]]


class Batch(NamedTuple):
    """Rows of one file: the first one's number there (from 0), and the part of the output that they belong to.

    done: the share of the input's bytes that are read. broken: by row of the batch, the text of a CSV's row that has
    too few or too many values, and the error; there, the batch is empty.
    """

    file: str
    first: int
    content: Any
    part: int
    done: float
    broken: Broken


@dataclass(frozen=True)
class File:
    """A file, as it was when the run began. rows: None if they are not known before it is read. separator: of a CSV."""

    place: Place
    info: Any
    schema: Any
    rows: int | None
    separator: str

    def batches(self, schema: Any) -> Iterator[tuple[Any, float, Broken]]:
        """Yield rows with the columns of `schema`, the share of bytes that is read, and broken rows (see Batch).

        Raises SlipwayError.
        """
        with reported(self.place.shown, "cannot be read"):
            raw = self.place.system.open_input_file(self.place.path)
            opened = _open_text(raw, self) if format_of(self.place) == "csv" else _open_typed(raw, self)
            for batch, done, broken in opened:
                yield batch.select(schema.names).cast(schema), done, broken
        now = self.place.info()
        if (now.size, now.mtime_ns) != (self.info.size, self.info.mtime_ns):
            raise SlipwayError(f"{self.place.shown}: the file was changed while it was read")


@dataclass(frozen=True)
class Table:
    """The files that are read as one table; all have the same columns, those of a CSV as text.

    source: where they were looked for.
    """

    source: Place
    files: tuple[File, ...]
    schema: Any

    @classmethod
    def open(cls, given: str) -> Table:
        """Open a file, a folder or a glob and look at every file's columns, before anything is read.

        Raises SlipwayError naming the file that cannot be read or has other columns than the first.
        """
        files = tuple(_file(place, info) for place, info in find(given))
        first = files[0].place.shown
        schema = files[0].schema
        for file in files:
            if format_of(file.place) != format_of(files[0].place):
                raise SlipwayError(f"{file.place.shown}: of another format than {first}; use a glob")
            if other := ", ".join(sorted(set(schema.names) ^ set(file.schema.names))):
                raise SlipwayError(f"{file.place.shown}: has not the columns of {first}; in one only: {other}")
            with reported(file.place.shown, f"has not the columns of {first}"):
                schema = pa.unify_schemas([schema, file.schema])  # a column without values may be of any type
        return cls(Place.of(given), files, schema)

    @property
    def shown(self) -> str:
        """The first file's name, for messages."""
        return self.files[0].place.shown

    @property
    def format(self) -> str:
        """The files' format; the values of a CSV have no types."""
        return format_of(self.files[0].place)

    @cached_property
    def identity(self) -> list[list[Any]]:
        """Path, size and time of each file: the same as long as the input is the same."""
        return [[file.info.path, file.info.size, file.info.mtime_ns] for file in self.files]

    def batches(self, part_rows: int | None, skip: int = 0) -> Iterator[Batch]:
        """Yield all rows but the first `skip`, in order; no batch belongs to two parts of `part_rows` rows."""
        total, read, row = sum(file.info.size for file in self.files), 0, 0
        for file in self.files:
            if file.rows is not None and row + file.rows <= skip:
                row += file.rows
            else:
                first = row
                for content, share, broken in file.batches(self.schema):
                    done = (read + share * file.info.size) / total
                    for start, piece in cut(content, row, skip, part_rows):
                        part = start // part_rows if part_rows else 0
                        here = {n + row - start: broken[n] for n in broken if 0 <= n + row - start < len(piece)}
                        yield Batch(file.place.shown, start - first, piece, part, done, here)
                    row += len(content)
            read += file.info.size
        if not row:
            raise SlipwayError(f"{self.shown}: there are no rows")


def cut(content: Any, row: int, skip: int, part_rows: int | None) -> Iterator[tuple[int, Any]]:
    """Cut a batch that begins at `row` at the ends of parts; leave the first `skip` rows of the table out."""
    start, end = max(row, skip), row + len(content)
    while start < end:
        stop = min(end, (start // part_rows + 1) * part_rows) if part_rows else end
        stop = min(stop, start + BATCH_ROWS)
        yield start, content.slice(start - row, stop - start)
        start = stop


def _file(place: Place, info: Any) -> File:
    separator, rows = "", None
    with reported(place.shown, f"cannot be read as {format_of(place)}"):
        if format_of(place) == "csv":
            names, separator, more = _header(place)
            schema, rows = pa.schema([(name, pa.string()) for name in names]), None if more else 0
        else:
            with place.system.open_input_file(place.path) as raw:
                if format_of(place) == "parquet":
                    parquet = pq.ParquetFile(raw)
                    schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
                else:
                    schema = pa.ipc.open_file(raw).schema
    require_distinct(schema.names, place.shown)
    return File(place, info, schema.remove_metadata(), rows, separator)


def require_distinct(names: Sequence[str], shown: str) -> None:
    """Raise SlipwayError if columns have the same name."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SlipwayError(f"{shown}: columns of the same name: {', '.join(map(repr, twice))}")


def _header(place: Place) -> tuple[list[str], str, bool]:
    """Give the columns' names and the separator of a CSV, and whether it has more than them. Raises SlipwayError."""
    with place.stream() as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        lines = iter(lambda: text.readline(HEADER_BYTES), "")
        try:
            first = next(filter(_filled, lines), "")
            separator = max(SEPARATORS, key=first.count)
            names = next(csv.reader(chain([first], lines), delimiter=separator), [])
            more = any(map(_filled, lines))
        except UnicodeDecodeError as error:
            raise SlipwayError(f"{place.shown}: not UTF-8 ({error.reason}); convert it with iconv") from None
        except csv.Error as error:
            raise SlipwayError(f"{place.shown}: cannot be read as csv: {error}") from None
    if not names:
        raise SlipwayError(f"{place.shown}: there are no columns")
    return names, separator, more


def _filled(line: str) -> bool:
    return bool(line.strip("\r\n"))


def _open_text(raw: Any, file: File) -> Iterator[tuple[Any, float, Broken]]:
    skipped: list[Any] = []

    def skip(row: Any) -> str:
        skipped.append(row)
        return "skip"

    stream = pa.CompressedInputStream(raw, "gzip") if file.place.compression else raw
    reader = pc.open_csv(
        stream,
        # One thread reads: only so do errors name the row. Other threads check, score and write meanwhile.
        read_options=pc.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
        parse_options=pc.ParseOptions(delimiter=file.separator, newlines_in_values=True, invalid_row_handler=skip),
        convert_options=pc.ConvertOptions(column_types=file.schema),
    )
    row = 0
    for batch in chain(reader, [pa.RecordBatch.from_pylist([], file.schema)]):  # rows after the last batch, too
        whole, broken = _with_skipped(batch, row, skipped)
        row += len(whole)
        yield whole, raw.tell() / file.info.size, broken


def _with_skipped(batch: Any, first: int, skipped: list[Any]) -> tuple[Any, Broken]:
    """Put the rows that the reader has left out back where they were, empty, so that all have their numbers."""
    rows: list[int | None] = list(range(len(batch))) if skipped else []
    broken = {}
    while skipped and (at := skipped[0].number - 2 - first) <= len(rows):  # the header is its row 1
        row = skipped.pop(0)
        rows.insert(at, None)
        broken[at] = row.text, f"{row.actual_columns} values instead of {row.expected_columns}"
    return (batch.take(pa.array(rows, pa.int64())) if broken else batch), broken


def _open_typed(raw: Any, file: File) -> Iterator[tuple[Any, float, Broken]]:
    if format_of(file.place) == "parquet":
        parquet, read = pq.ParquetFile(raw), 0
        for group in range(parquet.num_row_groups):  # one by one: the bytes of all that are asked for stay in memory
            for batch in parquet.iter_batches(batch_size=BATCH_ROWS, row_groups=[group]):
                read += len(batch)
                yield batch, read / parquet.metadata.num_rows, {}
        return
    reader = pa.ipc.open_file(raw)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number), (number + 1) / reader.num_record_batches, {}
