"""Reads a table as it is written: every cell as text, so that codes keep their zeros and `NA` stays what it is."""

from __future__ import annotations

import csv
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.problem import SlipwayError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".csv": ",;\t|", ".tsv": "\t", ".parquet": ""}
LARGE = 256 * 2**20  # bytes: of a larger table only blocks are read, spread evenly over it
BLOCKS, BLOCK = 64, 2 * 2**20
MOST_COLUMNS = 1000
LEAST_ROWS = 30


@dataclass(frozen=True)
class Table:
    """A table as it lies on disk.

    files: all of one kind, with the same columns. cells: text, shape (rows, columns); an empty cell is "".
    raw: what a reader that looks for types gives of the same rows; only of Parquet. options: how pandas reads the CSV,
    where that is not its usual way. whole: whether all rows were read.
    """

    path: Path
    files: tuple[Path, ...]
    cells: pd.DataFrame
    raw: pd.DataFrame | None
    options: dict[str, Any]
    whole: bool

    @property
    def suffix(self) -> str:
        """The kind of the files: .csv, .tsv or .parquet."""
        return self.files[0].suffix.lower()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files)


def read_table(path: Path) -> Table:
    """Read a CSV, TSV or Parquet file, or a folder of such files with the same columns.

    Raises SlipwayError for what is no table, naming file and line.
    """
    import pandas as pd

    files = _files(path)
    parquet = files[0].suffix.lower() == ".parquet"
    whole = sum(file.stat().st_size for file in files) <= LARGE
    options = {} if parquet else _options(files[0])
    header = _header(files[0], options)
    for file in files[1:]:
        if _header(file, options) != header:
            raise SlipwayError(f"{file}: its columns are not those of {files[0].name}; a folder is read as one table")
    _check_header(files[0], header)
    share = BLOCKS if whole else max(1, BLOCKS // len(files))
    parts = [_read_parquet(file, whole, share) if parquet else _read_csv(file, options, whole, share) for file in files]
    raw = pd.concat(parts, ignore_index=True)
    if len(raw) < LEAST_ROWS:
        raise SlipwayError(
            f"{path}: {len(raw)} rows; at least {LEAST_ROWS} are needed to train on some and test on others"
        )
    if not parquet:
        return Table(path, files, raw, None, options, whole)
    cells = raw.astype("str").where(raw.notna(), "")
    return Table(path, files, cells, raw, options, whole)


def _files(path: Path) -> tuple[Path, ...]:
    if not path.exists():
        raise SlipwayError(f"{path}: no such file")
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    kinds = {file.suffix.lower() for file in files}
    if len(kinds) != 1 or kinds - set(SEPARATORS):
        found = ", ".join(sorted(kinds)) or "no file"
        raise SlipwayError(f"{path}: {found}; one kind of {', '.join(SEPARATORS)} is needed (export it as CSV)")
    if empty := [file for file in files if not file.stat().st_size]:
        raise SlipwayError(f"{empty[0]}: the file is empty")
    return tuple(files)


def _options(file: Path) -> dict[str, Any]:
    """Find out how a CSV is written; only what is not pandas' usual way is in the result."""
    encoding = _encoding(file)
    with file.open(encoding=encoding, newline="") as stream:
        lines = [line for _, line in zip(range(200), stream, strict=False)]
    separator = max(SEPARATORS[file.suffix.lower()], key=lines[0].count)
    cells = [cell for row in csv.reader(lines[1:], delimiter=separator) for cell in row]
    options: dict[str, Any] = {}
    if separator != ",":
        options["sep"] = separator
        if sum("," in cell for cell in cells) > sum("." in cell for cell in cells) and _commas(cells):
            options["decimal"] = ","
    if sum(cell.startswith(" ") for cell in cells) > len(cells) / 3:
        options["skipinitialspace"] = True
    return options | ({} if encoding == "utf-8" else {"encoding": encoding})


def _commas(cells: list[str]) -> bool:
    return any(cell.replace(",", "", 1).lstrip("-").isdigit() for cell in cells if cell.count(",") == 1)


def _encoding(file: Path) -> str:
    """Tell the encoding: UTF-8 or, where no character is UTF-8, Windows-1252. Raises SlipwayError for both in one."""
    bad, other, line = 0, 0, 0
    with file.open("rb") as stream:
        start = stream.read(4096)
        if b"\0" in start or start.startswith(b"PK"):
            raise SlipwayError(f"{file}: not a text file; export the table as CSV in UTF-8")
        if start.startswith(b"\xef\xbb\xbf"):
            return "utf-8-sig"
        stream.seek(0)
        for number, text in enumerate(stream):
            if stream.tell() > LARGE:
                break
            if text.isascii():
                continue
            try:
                text.decode("utf-8")
                other += 1
            except UnicodeDecodeError:
                bad, line = bad + 1, line or number + 1
    if bad and other:
        raise SlipwayError(f"{file}, line {line}: not UTF-8, which {other:,} other lines are; use one encoding")
    return "cp1252" if bad else "utf-8"


def _header(file: Path, options: dict[str, Any]) -> list[str]:
    if file.suffix.lower() == ".parquet":
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

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
    twice = sorted({name for name in header if header.count(name) > 1}) if len(header) <= MOST_COLUMNS else []
    if len(header) > MOST_COLUMNS:
        raise SlipwayError(
            f"{file}: {len(header):,} columns; at most {MOST_COLUMNS:,} can be declared as a row's fields"
        )
    if twice:
        raise SlipwayError(f"{file}: columns of the same name: {', '.join(map(repr, twice))}; rename all but one")
    if len(header) < 2:
        raise SlipwayError(f"{file}: only one column, {header[0][:40]!r}; no table separated by one of , ; | or tabs")
    numbers = [name for name in header if name.replace(".", "", 1).lstrip("-").isdigit()]
    if len(numbers) == len(header):
        raise SlipwayError(f"{file}: the first line holds numbers ({', '.join(numbers[:3])}), not the columns' names")


def _read_csv(file: Path, options: dict[str, Any], whole: bool, blocks: int) -> pd.DataFrame:
    import pandas as pd

    given = {"dtype": "str", "keep_default_na": False, "index_col": False, **options}
    if whole:
        return _parsed(file, pd.read_csv, file, **given)
    step, parts = max(file.stat().st_size // blocks, BLOCK), []
    with file.open("rb") as stream:
        names = stream.readline()
        for start in range(len(names), file.stat().st_size, step):
            stream.seek(start)
            if start > len(names):
                stream.readline()  # the rest of a line that began before
            text = names + stream.read(BLOCK) + stream.readline()
            parts.append(pd.read_csv(io.BytesIO(text), on_bad_lines="skip", **given))
    table: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return table


def _parsed(file: Path, read: Any, *arguments: Any, **options: Any) -> pd.DataFrame:
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table: pd.DataFrame = read(*arguments, **options)
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        words = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise SlipwayError(f"{file}: not a table: {words}") from None
    return table


def _read_parquet(file: Path, whole: bool, blocks: int) -> pd.DataFrame:
    import pandas as pd
    import pyarrow.parquet as pq

    if whole:
        return _parsed(file, pd.read_parquet, file).reset_index(drop=True)
    source = pq.ParquetFile(file)
    step = max(1, source.num_row_groups // blocks)
    groups = [source.read_row_group(number) for number in range(0, source.num_row_groups, step)]
    table: pd.DataFrame = pd.concat([group.slice(0, 50_000).to_pandas() for group in groups], ignore_index=True)
    return table
