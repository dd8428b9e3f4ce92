"""Stage 1: from the raw data to a table of the contract's shape, divided into training and test rows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contract import Column, Contract, canonical_json, record
from slipway.problem import Problem, SlipwayError
from slipway.problem.files import ROW, SOURCE, TEST, TRAIN
from slipway.problem.params import Prepare

if TYPE_CHECKING:
    import pandas as pd

TEXT = ("string", "empty")  # as pandas' infer_dtype names it
BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


@dataclass(frozen=True)
class Prepared:
    """How many rows went where, and the digest of the data they came from."""

    train: int
    test: int
    data: str


def prepare(problem: Problem, params: Prepare, data: Path, out: Path) -> Prepared:
    """Load the data, shape it to the contract, divide it, and write the tables to `out`.

    A cell that is not of its column's kind leaves the whole column as recorded (text), a lacking column lacks and
    an unknown one stays: validation shows them. Raises SlipwayError if there is no table of rows to show at all.
    """
    digest = data_digest(data)
    table = shape(record(problem), _load(problem, data))
    lacking = [name for name in problem.groups if name not in table]
    if lacking:
        have = ", ".join(map(str, table.columns.drop(ROW)))
        raise SlipwayError(
            f"{data}: there is no column {', '.join(lacking)}, by which rows are divided into training and test; "
            f"load() gave {have}"
        )
    test = in_test(table, problem.groups, params.test_share)
    out.mkdir(parents=True, exist_ok=True)
    table[~test].to_parquet(out / TRAIN, index=False)
    table[test].to_parquet(out / TEST, index=False)
    (out / SOURCE).write_bytes(canonical_json({"data": digest}))
    return Prepared(int((~test).sum()), int(test.sum()), digest)


def _load(problem: Problem, data: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        table = problem.load(data)
    except Exception as error:  # whatever the project's own code raises, the data is the likely cause
        kind = type(error).__name__
        raise SlipwayError(f"{data}: the project's load() could not read it: {kind}: {error}") from error
    if not isinstance(table, pd.DataFrame):
        raise SlipwayError(f"the project's load() gave a {type(table).__name__}, not a pandas DataFrame")
    if table.empty:
        raise SlipwayError(f"{data}: load() gave no rows")
    if not table.columns.is_unique:
        twice = ", ".join(map(str, table.columns[table.columns.duplicated()]))
        raise SlipwayError(f"{data}: load() gave columns of the same name: {twice}")
    return table


def shape(contract: Contract, table: pd.DataFrame) -> pd.DataFrame:
    """Give the table the contract's columns, order and dtypes, as far as its values allow, and the column `_row`."""
    import pandas as pd

    known = [name for name in contract.names if name in table]
    _require_text(table, [name for name in known if not contract[name].numeric])
    columns: dict[Any, Any] = {name: _coerce(contract[name], table[name]) for name in known}
    columns |= {str(name): table[name].astype("str") for name in table.columns if name not in known}
    rows = table.index if pd.api.types.is_integer_dtype(table.index) else range(1, len(table) + 1)
    return pd.DataFrame(columns).assign(**{ROW: pd.Series(rows, index=table.index, dtype="int64")})


def _require_text(table: pd.DataFrame, names: list[str]) -> None:
    """Refuse a text or category that load() gave as something else: what was written is lost by then."""
    import pandas as pd

    kinds = {name: pd.api.types.infer_dtype(table[name].dropna().astype(object)) for name in names}
    if wrong := [f"{name} ({kind})" for name, kind in kinds.items() if kind not in TEXT]:
        raise SlipwayError(
            f"load() gave {', '.join(wrong)}, declared as text or categories: pandas takes the code 01067 for "
            "the number 1067, and NA for a missing value. Read text as it is written, in src/project/data.py:\n"
            '  pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])\n'
            "What the schema declares as a number or a boolean is converted afterwards"
        )


def _coerce(column: Column, values: pd.Series) -> pd.Series:
    import pandas as pd

    text = values.astype("str")
    if not column.numeric:
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
        if column.kind == "integer" and bool((numbers % 1 == 0).all()):
            return numbers.astype("int64")
    return numbers.astype("float64")


def in_test(table: pd.DataFrame, group: tuple[str, ...], share: float) -> pd.Series:
    """Say of each row whether it is a test row: a stable hash of its group, so that it never changes sides."""
    import pandas as pd

    keys = table[group[0]].astype("str").fillna("")
    for name in group[1:]:
        keys = keys + "\x1f" + table[name].astype("str").fillna("")
    codes, groups = pd.factorize(keys)
    limit = int(share * 2**64)
    chosen = [
        int.from_bytes(hashlib.blake2b(str(one).encode(), digest_size=8).digest(), "big") < limit for one in groups
    ]
    return pd.Series(pd.array(chosen, dtype="bool").take(codes), index=table.index, dtype="bool")


def data_digest(folder: Path) -> str:
    """Compute the digest that DVC gives the folder in `data.dvc`: MD5 over the list of its files and their MD5.

    Raises SlipwayError if there is no such folder or nothing is in it.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if not files:
        raise SlipwayError(f"{folder}: no data is here; `dvc pull {folder.name}.dvc` fetches it")
    listing = []
    for path in files:
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        listing.append({"md5": md5, "relpath": path.relative_to(folder).as_posix()})
    listing.sort(key=lambda item: item["relpath"])
    text = json.dumps(listing, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"
