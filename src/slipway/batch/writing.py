"""Writes parts atomically: a file or all files of a part get their names when they are complete."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from slipway.batch.places import Place, format_of, reported
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from slipway.serving.problems import Error

REJECTED = ("file", "row", "field", "rule", "message", "value")
UNIQUE = "prediction_id"  # has no repeated values, so a dictionary of them would only cost time


class RefusedError(SlipwayError):
    """The run ends because of refused rows: what was predicted is dropped, the list of refused rows is kept."""


class Atomic:
    """A file that gets its name when it is complete; until then it is called `.NAME.tmp`."""

    def __init__(self, place: Place, *, compress: bool = True) -> None:
        """compress: if it is called `.gz`."""
        self.place, self._temporary = place, place.beside(f".{place.name}.tmp")
        compression = place.compression if compress else None
        with reported(place.shown, "cannot be written"):
            folder = self._temporary.path.rpartition("/")[0]
            place.system.create_dir(folder, recursive=True)
            self.stream = place.system.open_output_stream(self._temporary.path, compression=compression)

    def commit(self) -> None:
        """Close the file and give it its name."""
        with reported(self.place.shown, "cannot be written"):
            self.stream.close()
            self.place.system.move(self._temporary.path, self.place.path)

    def drop(self) -> None:
        """Close and remove the file."""
        with contextlib.suppress(pa.ArrowException, OSError):  # a full disk cannot take what was buffered
            self.stream.close()
        self._temporary.remove()


def write(place: Place, content: bytes) -> None:
    """Write a small file atomically, as it is."""
    file = Atomic(place, compress=False)
    with reported(place.shown, "cannot be written"):
        file.stream.write(content)
    file.commit()


def joined(content: Any, added: Mapping[str, Any]) -> Any:
    """Give rows with the columns that are added to them."""
    schema = pa.schema([*content.schema, *((name, values.type) for name, values in added.items())])
    return pa.record_batch([*content.columns, *added.values()], schema=schema)


def lines_of(file: str, first: int, errors: list[Error]) -> list[dict[str, Any]]:
    """Give errors of rows as lines of the list. first: the number of the batch's first row in the file."""
    told = ({name: item[name] for name in REJECTED[2:]} for item in errors)
    return [{"file": file, "row": first + item["row"], **one} for item, one in zip(errors, told, strict=True)]


class Part:
    """A part of the output, and the list of the rows of it that were refused."""

    def __init__(self, place: Place, rejected: Place) -> None:
        self._place, self._rejected = place, rejected
        self._format = format_of(place)
        self._file: Atomic | None = None
        self._list: Atomic | None = None
        self._writer: Any = None

    def write(self, content: Any, added: Mapping[str, Any]) -> None:
        """Write rows with the columns that are added to them."""
        batch = joined(content, added)
        self._file = self._file or Atomic(self._place)
        with reported(self._place.shown, "cannot be written"):
            self._writer = self._writer or _WRITERS[self._format](self._file.stream, batch.schema)
            self._writer.write_batch(batch)

    def reject(self, file: str, first: int, errors: list[Error]) -> None:
        """List errors of rows. first: the number of the batch's first row in the file."""
        if not errors:
            return
        text = io.StringIO()
        lines = csv.DictWriter(text, REJECTED, lineterminator="\n")
        if self._list is None:
            self._list = Atomic(self._rejected)
            lines.writeheader()
        lines.writerows(lines_of(file, first, errors))
        with reported(self._rejected.shown, "cannot be written"):
            self._list.stream.write(text.getvalue().encode())

    def finish(self) -> None:
        """Write the end of the rows, and complete the list of refused ones."""
        with reported(self._place.shown, "cannot be written"):
            self._writer.close()
        if self._list:
            self._list.commit()

    def commit(self) -> None:
        """Complete the part."""
        if self._file:
            self._file.commit()

    def drop(self, *, keeps_list: bool) -> None:
        """Remove what is written; or all but the list of refused rows, which is completed."""
        if self._list and keeps_list:
            self._list.commit()
        elif self._list:
            self._list.drop()
        if self._file:
            with contextlib.suppress(pa.ArrowException, OSError):  # a full disk
                if self._writer:
                    self._writer.close()
            self._file.drop()


class _Csv:
    """Writes CSV with quotes where they are needed."""

    def __init__(self, stream: Any, schema: Any) -> None:
        self._stream = stream
        if inner := next((field for field in schema if pa.types.is_nested(field.type)), None):
            raise pa.ArrowTypeError(f"{inner.name} is of type {inner.type}; write .parquet or .arrow, or leave it out")
        header = io.StringIO()
        csv.writer(header, lineterminator="\n").writerow(schema.names)
        stream.write(header.getvalue().encode())

    def write_batch(self, batch: Any) -> None:
        sink = pa.BufferOutputStream()
        try:
            pc.write_csv(batch, sink, pc.WriteOptions(include_header=False, quoting_style="none"))
        except pa.ArrowInvalid:  # a text with a separator, a quote or a line's end: then every text gets quotes
            sink = pa.BufferOutputStream()
            pc.write_csv(batch, sink, pc.WriteOptions(include_header=False))
        self._stream.write(sink.getvalue())

    def close(self) -> None:
        """Do nothing: the file is closed by its owner."""


def _parquet(stream: Any, schema: Any) -> Any:
    repeated = [field.name for field in schema if not pa.types.is_floating(field.type) and field.name != UNIQUE]
    return pq.ParquetWriter(stream, schema, use_dictionary=repeated)


_WRITERS: dict[str, Any] = {"csv": _Csv, "parquet": _parquet, "arrow": pa.ipc.new_file}
