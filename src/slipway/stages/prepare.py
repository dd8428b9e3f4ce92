"""Stage 1: load the data, convert it to the contract's columns, split it into training rows and test set."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slipway.contract import Array, Column, Contract, canonical_json, dates, record
from slipway.problem import Problem, SlipwayError
from slipway.problem.files import LIVE, ROW, SOURCE, TEST, TRAIN
from slipway.problem.params import Prepare

SHOWN = 5  # rows in a message
TEXT = ("string", "empty")  # as pandas' infer_dtype names it
# Pandas would make numbers of them, such as microseconds since 1970.
NO_NUMBERS = ("datetime", "datetime64", "timedelta", "timedelta64", "period", "complex")
BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


@dataclass(frozen=True)
class Prepared:
    """The numbers of training rows, test rows and rows in neither."""

    train: int
    test: int
    neither: int


@dataclass(frozen=True)
class Parts:
    """The training rows and the test rows (boolean, by row); of a split by time, its description for the bundle."""

    train: pd.Series
    test: pd.Series
    by_time: dict[str, Any] | None = None


def prepare(problem: Problem, params: Prepare, data: Path, out: Path) -> Prepared:
    """Load the data, convert it to the contract's columns, split it, and write the tables to `out`.

    Left for validation to report: a column with a cell of another kind (it stays text), a missing column, an unknown
    one. Raises SlipwayError if load() fails, gives no rows, or no group or time to split by.
    """
    digest = data_digest(data)
    table = shape(record(problem), load(problem, data))
    needed = (*problem.groups, *([problem.time] if problem.time and params.by_time else []))
    missing = [name for name in needed if name not in table]
    if missing:
        have = ", ".join(map(str, table.columns.drop(ROW)))
        raise SlipwayError(
            f"{data}: the split into training rows and test set needs the column(s) {', '.join(missing)}; "
            f"load() returned {have}"
        )
    column = record(problem)[problem.time] if problem.time else None
    parts = split(problem.groups, column, params, table)
    out.mkdir(parents=True, exist_ok=True)
    table[parts.train].to_parquet(out / TRAIN, index=False)
    table[parts.test].to_parquet(out / TEST, index=False)
    described = {"split": parts.by_time} if parts.by_time else {}
    (out / SOURCE).write_bytes(canonical_json({"data": digest} | described))
    train, test = int(parts.train.sum()), int(parts.test.sum())
    return Prepared(train, test, len(table) - train - test)


def load(problem: Problem, data: Path) -> pd.DataFrame:
    """Load the files with the project's load(), and add those in `data/live`, which have the record's shape already.

    Raises SlipwayError if load() fails, or returns no table.
    """
    try:
        table = problem.load(data)
    except Exception as error:  # the project's own code may raise anything
        kind = type(error).__name__
        raise SlipwayError(f"{data}: the project's load() failed: {kind}: {error}") from error
    if not isinstance(table, pd.DataFrame):
        raise SlipwayError(f"the project's load() returned a {type(table).__name__}, not a pandas DataFrame")
    if table.empty:
        raise SlipwayError(f"{data}: load() returned no rows")
    if not table.columns.is_unique:
        repeated = ", ".join(map(str, table.columns[table.columns.duplicated()]))
        raise SlipwayError(f"{data}: load() returned several columns of the same name: {repeated}")
    if not (parts := sorted((data / LIVE).glob("*.csv"))):
        return table
    numbered = pd.api.types.is_integer_dtype(table.index)
    live = pd.concat([read_live(part) for part in parts]).reindex(columns=record(problem).names)
    live.index = pd.RangeIndex(len(live)) + (table.index.max() if numbered else len(table)) + 1
    return pd.concat([table, live])


def read_live(part: Path) -> pd.DataFrame:
    """Read a file of `data/live` as text; its columns that begin with `_` say where rows came from."""
    try:
        return pd.read_csv(part, dtype="str", keep_default_na=False, na_values=[""], index_col=False)
    except ValueError as error:  # also pandas' own errors, and a text that is not UTF-8
        raise SlipwayError(f"{part}: cannot be read: {error}; `slipway labels` writes such files") from None


def shape(contract: Contract, table: pd.DataFrame) -> pd.DataFrame:
    """Convert the table to the contract's columns and dtypes where the values allow it; add the column `_row`."""
    known = [name for name in contract.names if name in table]
    _require_text(table, [name for name in known if not contract[name].numeric])
    columns: dict[Any, Any] = {name: _coerce(contract[name], table[name]) for name in known}
    columns |= {str(name): table[name].astype("str") for name in table.columns if name not in known}
    rows = table.index if pd.api.types.is_integer_dtype(table.index) else range(1, len(table) + 1)
    return pd.DataFrame(columns).assign(**{ROW: pd.Series(rows, index=table.index, dtype="int64")})


def _require_text(table: pd.DataFrame, names: list[str]) -> None:
    """Refuse texts and categories that load() did not return as strings: the original text is lost."""
    kinds = {name: pd.api.types.infer_dtype(table[name].dropna().astype(object)) for name in names}
    if wrong := [f"{name} ({kind})" for name, kind in kinds.items() if kind not in TEXT]:
        raise SlipwayError(
            f"load() returned {', '.join(wrong)}, declared as text or categories: by default pandas reads the code "
            "01067 as the number 1067, and NA as missing. Read text unchanged, in src/project/data.py:\n"
            '  pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])\n'
            "Columns declared as numbers or booleans are converted afterwards"
        )


def _coerce(column: Column, values: pd.Series) -> pd.Series:
    if column.temporal:
        return _dated(column, values)
    text = values.astype("str")
    if not column.numeric or pd.api.types.infer_dtype(values) in NO_NUMBERS:
        return text
    if column.kind == "boolean":
        numbers = text.str.strip().str.lower().map(BOOLEANS)
    else:
        numbers = pd.to_numeric(values, errors="coerce")
    if (numbers.isna() & values.notna()).any():
        return text
    if numbers.notna().all():
        if column.kind == "boolean":
            return numbers.astype("bool")
        if column.kind == "integer" and bool(((numbers % 1 == 0) & (numbers.abs() < 2**63)).all()):
            return numbers.astype("int64")
    return numbers.astype("float64")


def _dated(column: Column, values: pd.Series) -> pd.Series:
    """Write dates and date-times in one way, so that groups and repeated records are found; others stay as they are."""
    text = values.astype("str")
    table, (array, wrong) = Contract("Dates", (column,)), dates.convert(column.kind, values)
    written = pd.Series([row[column.name] for row in table.rows({column.name: array})], values.index, dtype="str")
    return written.mask(wrong, text)


def split(groups: tuple[str, ...], column: Column | None, params: Prepare, table: pd.DataFrame) -> Parts:
    """Divide a shaped table into training rows and test rows.

    By group: see `in_test`. By time: the newest rows are the test set, and those before it, less a gap, are trained on.
    By group and time: the newest rows of the groups that `in_test` chooses, and the older rows of the others.
    column: the time, of the table's record. Raises SlipwayError if a row has no time, or a part would be empty.
    """
    if not params.by_time or column is None:
        test = in_test(table, groups, params.test_share)
        return Parts(~test, test)
    at = _times(column, table)
    if params.test_from is not None:
        first = column.point(params.test_from, "params.yaml: prepare.test_from")
    else:  # rows of one time are never on both sides
        first = float(np.sort(at)[int((1 - params.test_share) * len(at))])
    old, new = at < first - params.gap * column.gap, at >= first
    if not old.any() or not new.any():
        raise SlipwayError(
            f"params.yaml: prepare: with a test set from {column.written(first)} on and a gap of "
            f"{params.gap:g}, {int(old.sum())} rows are left to train on and {int(new.sum())} to test on; "
            f"{column.name} runs from {column.written(at.min())} to {column.written(at.max())}"
        )
    if params.split == "group_and_time":
        chosen = in_test(table, groups, params.test_share).to_numpy()
        old, new = old & ~chosen, new & chosen
        if not old.any() or not new.any():
            raise SlipwayError(
                "params.yaml: prepare.split: group_and_time leaves no row on one side; change prepare.test_share"
            )
    described = {
        "by": params.split,
        "field": column.name,
        "train_until": column.written(at[old].max()),
        "test_from": column.written(first),
    }
    train, test = (pd.Series(where, index=table.index, dtype="bool") for where in (old, new))
    return Parts(train, test, described)


def _times(column: Column, table: pd.DataFrame) -> Array:
    """Read the rows' times. Raises SlipwayError, naming rows and cells, if one has none."""
    at = column.points(table[column.name])
    if not (unread := np.flatnonzero(np.isnan(at))).size:
        return at
    cells = [f"row {table[ROW].iloc[row]}: {table[column.name].iloc[row]}" for row in unread[:SHOWN]]
    more = f", and {len(unread) - SHOWN:,} more" if len(unread) > SHOWN else ""
    kind = dates.WORDS.get(column.kind, "a number")
    raise SlipwayError(
        f"the split by time needs {kind} in {column.name} of every row; {', '.join(cells)}{more}. Let load() convert "
        "or leave out such rows"
    )


def in_test(table: pd.DataFrame, group: tuple[str, ...], share: float) -> pd.Series:
    """Choose the test rows by a stable hash of the group, so that a row never changes parts; boolean, by row."""
    keys = table[list(group)].astype("str").fillna("")
    codes, groups = pd.factorize(keys[group[0]].str.cat(keys.iloc[:, 1:], sep="\x1f"))
    digests = (hashlib.blake2b(str(key).encode(), digest_size=8).digest() for key in groups)
    chosen = [int.from_bytes(digest, "big") < int(share * 2**64) for digest in digests]
    return pd.Series(pd.array(chosen, dtype="bool").take(codes), index=table.index, dtype="bool")


def data_digest(folder: Path) -> str:
    """Compute DVC's digest of the folder, as in `data.dvc`: MD5 over the list of its files with their MD5.

    Raises SlipwayError if the folder is missing or empty.
    """
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if not files:
        raise SlipwayError(f"{folder}: no data; `dvc pull {folder.name}.dvc` fetches it")
    listing = []
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
        listing.append({"md5": md5, "relpath": name})
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
