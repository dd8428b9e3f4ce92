"""Reads a table as it is written: every cell as text, so that codes keep their zeros and `NA` is not lost."""

from __future__ import annotations

import csv
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from slipway.problem import SlipwayError

SEPARATORS = {".csv": ",;\t|", ".tsv": "\t", ".parquet": ""}
LARGE = 256 * 2**20  # bytes: of a larger table only every n-th row is kept
LONGEST_LINE = 2**20  # bytes: a longer one is no row, and is not read into memory
MOST_COLUMNS = 1000
LEAST_ROWS = 30


@dataclass(frozen=True)
class Table:
    """A table on disk. files: all of one kind, with the same columns. content: of a CSV, all text.

    options: of pandas for the CSV, where they are not its defaults. step: one row in so many was read.
    """

    path: Path
    files: tuple[Path, ...]
    content: pd.DataFrame
    options: dict[str, Any]
    step: int

    @cached_property
    def _texts(self) -> pd.DataFrame:
        return self.content.astype("str").where(self.content.notna(), "")

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The content as text, shape (rows, columns), without blanks around it; an empty cell is ""."""
        stripped: pd.DataFrame = self._texts.apply(lambda column: column.str.strip())
        return stripped

    @cached_property
    def padded(self) -> list[str]:
        """The columns in which some cells have blanks around their content."""
        return [str(name) for name, differs in (self._texts != self.cells).any().items() if differs]

    @property
    def parquet(self) -> bool:
        """Whether the files are Parquet, which has types, and not CSV or TSV."""
        return _is_parquet(self.files[0])

    @property
    def pattern(self) -> str:
        """The name of the file, or the pattern of the files' names."""
        return f"*{self.files[0].suffix}" if self.path.is_dir() else self.path.name

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files)


def read_table(path: Path) -> Table:
    """Read a CSV, TSV or Parquet file, or a folder of such files with the same columns.

    Raises SlipwayError, naming file and line, if it is no table.
    """
    files = _files(path)
    step = 1 + sum(file.stat().st_size for file in files) // LARGE
    options = {} if _is_parquet(files[0]) else _options(files[0])
    header = _header(files[0], options)
    for file in files[1:]:
        if _header(file, options) != header:
            raise SlipwayError(f"{file}: its columns are not those of {files[0].name}; a folder is read as one table")
    _check_header(files[0], header)
    content = pd.concat([_read(file, options, step) for file in files], ignore_index=True)
    if len(content) < LEAST_ROWS:
        raise SlipwayError(f"{path}: {len(content)} rows; at least {LEAST_ROWS} are needed, some of them to test on")
    return Table(path, files, content, options, step)


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() == ".parquet"


def _files(path: Path) -> tuple[Path, ...]:
    if not path.exists():
        raise SlipwayError(f"{path}: no such file")
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    kinds = {file.suffix.lower() for file in files}
    if len(kinds) != 1 or kinds - set(SEPARATORS):
        found = ", ".join(sorted(kinds)) or "no file"
        kinds_read = ", ".join(SEPARATORS)
        raise SlipwayError(f"{path}: {found}; one kind of {kinds_read} is needed (unpack it, or export it as CSV)")
    if empty := [file for file in files if not file.stat().st_size]:
        raise SlipwayError(f"{empty[0]}: the file is empty")
    return tuple(files)


def _options(file: Path) -> dict[str, Any]:
    """Find the options with which pandas reads a CSV, where they are not its defaults."""
    encoding = _encoding(file)
    with file.open(encoding=encoding, newline="") as stream:
        lines = [line for _, line in zip(range(200), stream, strict=False)]
    separator = max(SEPARATORS[file.suffix.lower()], key=lines[0].count)
    cells = [cell for row in csv.reader(lines[1:], delimiter=separator) for cell in row]
    options: dict[str, Any] = {}
    if separator != ",":
        options["sep"] = separator
        commas = [cell for cell in cells if "," in cell]
        numbers = any(cell.replace(",", "", 1).lstrip("-").isdigit() for cell in commas)
        if numbers and len(commas) > sum("." in cell for cell in cells):
            options["decimal"] = ","
    if sum(cell.startswith(" ") for cell in cells) > len(cells) / 3:
        options["skipinitialspace"] = True
    return options | ({} if encoding == "utf-8" else {"encoding": encoding})


def _encoding(file: Path) -> str:
    """Find the encoding: UTF-8 or, if no line with more than ASCII is, cp1252.

    Raises SlipwayError for a mixture, and for what is no text in lines. Holds one line in memory at a time.
    """
    bad, others = 0, 0  # the first line that is not UTF-8; lines of UTF-8 that are not ASCII
    with file.open("rb") as stream:
        for number, text in enumerate(iter(partial(stream.readline, LONGEST_LINE + 1), b""), start=1):
            if number == 1 and text.startswith(b"\xef\xbb\xbf"):
                return "utf-8-sig"
            if len(text) > LONGEST_LINE or b"\0" in text or (number == 1 and text.startswith(b"PK")):
                raise SlipwayError(f"{file}, line {number}: longer than 1 MB, or not text; export it as CSV in UTF-8")
            try:
                text.decode("utf-8")
                others += not text.isascii()
            except UnicodeDecodeError:
                bad = bad or number
    if bad and others:
        raise SlipwayError(f"{file}, line {bad}: not UTF-8, which {others:,} other lines are; use one encoding")
    return "cp1252" if bad else "utf-8"


def _header(file: Path, options: dict[str, Any]) -> list[str]:
    if _is_parquet(file):
        import pyarrow
        import pyarrow.parquet as pq

        try:
            return [str(name) for name in pq.read_schema(file).names if not name.startswith("__index_level_")]
        except (pyarrow.ArrowException, OSError) as error:
            raise SlipwayError(f"{file}: cannot be read as Parquet: {' '.join(str(error).split())}") from None
    try:
        with file.open(encoding=options.get("encoding", "utf-8"), newline="") as stream:
            header = next(csv.reader(stream, delimiter=options.get("sep", ",")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SlipwayError(f"{file}: {error}") from None
    return [name.strip() if options.get("skipinitialspace") else name for name in header]


def _check_header(file: Path, header: list[str]) -> None:
    if len(header) > MOST_COLUMNS:
        raise SlipwayError(f"{file}: {len(header):,} columns; at most {MOST_COLUMNS:,} can be a row's fields")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise SlipwayError(f"{file}: columns of the same name: {', '.join(map(repr, twice))}; rename all but one")
    if len(header) < 2:
        raise SlipwayError(f"{file}: only one column, {header[0][:40]!r}; no table separated by one of , ; | or tabs")
    numbers = [name for name in header if name.replace(".", "", 1).lstrip("-").isdigit()]
    if len(numbers) == len(header):
        raise SlipwayError(f"{file}: the first line holds numbers ({', '.join(numbers[:3])}), not the columns' names")


def _read(file: Path, options: dict[str, Any], step: int) -> pd.DataFrame:
    """Read every `step`-th row of a file; of a CSV as text."""
    import pyarrow.parquet as pq

    try:
        if _is_parquet(file):
            parts = [batch.to_pandas()[::step] for batch in pq.ParquetFile(file).iter_batches()]
            table: pd.DataFrame = pd.concat(parts, ignore_index=True)
        else:
            skipped = (lambda line: line % step) if step > 1 else None
            given = {"dtype": "str", "keep_default_na": False, "index_col": False, **options}
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                table = pd.read_csv(file, skiprows=skipped, **given)
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        words = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise SlipwayError(f"{file}: not a table: {words}") from None
    return table
