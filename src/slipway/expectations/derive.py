"""Derives Great Expectations' expectations from the contract, so that nothing is declared twice.

Every expectation has a `description`, which reports and Data Docs show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
from great_expectations.expectations.expectation import Expectation

from slipway.contract import WORDS, Column, Contract, Target, dates
from slipway.expectations import ALIKE, BOTH, LATER
from slipway.problem.params import Validate

UNCLEAN = r"^\s+\S|\S\s+$|[\x00-\x1f\x7f]"  # outer blanks, control characters

# For each numeric kind: the pandas dtypes that hold it, and the pattern of its text.
NUMERIC: dict[str, tuple[list[str], str]] = {
    "number": (["int64", "float64"], r"^\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*$"),
    "integer": (["int64", "float64"], r"^\s*[-+]?\d+(?:\.0*)?\s*$"),
    "boolean": (["bool", "float64"], r"^\s*(?i:true|false|[01](?:\.0)?)\s*$"),
    "date": (["datetime64[us]"], r"^\d{4}-\d\d-\d\d$"),
    "datetime": (["datetime64[us]"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$"),
}


def legible(contract: Contract, table: pd.DataFrame) -> pd.DataFrame:
    """Convert numeric columns with values of another kind (a fraction, infinity) to text, to report these."""
    shown = {column.name: _legible(column, table[column.name]) for column in contract.columns if column.name in table}
    return table.assign(**shown)


def _legible(column: Column, values: pd.Series) -> pd.Series:
    if column.temporal:
        return _legible_dates(column, values)
    if not column.numeric or values.dtype.kind not in "fiub":
        return values
    numbers = values.to_numpy(dtype="float64", na_value=np.nan)
    strange = np.isinf(numbers)
    if column.kind == "integer":
        strange |= numbers % 1 != 0
    elif column.kind == "boolean":
        strange |= (numbers != 0) & (numbers != 1)
    return values.astype("string") if (strange & ~np.isnan(numbers)).any() else values


def _legible_dates(column: Column, values: pd.Series) -> pd.Series:
    """Give dates as pandas' own, in UTC, to compare them with bounds; as text, if one cannot be read."""
    array, wrong = dates.convert(column.kind, values)
    if wrong.any():
        text = values.astype("str")
        return text.mask(wrong & text.str.contains(NUMERIC[column.kind][1]), text + " (no such day)")
    return pd.Series(dates.to_datetime64(column.kind, array), values.index)


def of_records(
    contract: Contract, table: pd.DataFrame, params: Validate, groups: Iterable[str] = ()
) -> list[Expectation]:
    """Derive the expectations on the records. table: the records after `legible`; its index names the rows.

    A missing column is reported once, and has no expectations of its own.
    """
    said = "the columns are those that the schema declares, and no others"
    derived: list[Expectation] = [gxe.ExpectTableColumnsToMatchSet(column_set=list(contract.names), description=said)]
    for column in contract.columns:
        if column.name in table:
            derived += of_column(column, table[column.name], params)
    for name in groups:
        if name in table and not contract[name].numeric:
            description = f"{name} has no blanks at its ends and no control characters"
            derived.append(gxe.ExpectColumnValuesToNotMatchRegex(column=name, regex=UNCLEAN, description=description))
    if len(table.columns) > 1:
        said = "no record occurs twice"
        derived.append(gxe.ExpectCompoundColumnsToBeUnique(column_list=list(table.columns), description=said))
    return derived


def of_column(column: Column, values: pd.Series, params: Validate) -> list[Expectation]:
    """Derive the expectations on one column; `values` only decide how its type can be checked."""
    derived = [_presence(column, params.max_missing_of.get(column.name, params.max_missing))]
    if column.numeric:
        kind, sound = _kind(column, values)
        return [*derived, kind, *([*_bounds(column), *_categories(column)] if sound else [])]
    if column.kind == "category":
        return [*derived, *_categories(column)]
    said = f"{column.name} is not blank"
    return [*derived, gxe.ExpectColumnValuesToMatchRegex(column=column.name, regex=r"\S", description=said)]


def _categories(column: Column) -> list[Expectation]:
    if not column.categories:
        return []
    listed = ", ".join(map(str, column.categories))
    in_set = gxe.ExpectColumnValuesToBeInSet(
        column=column.name, value_set=list(column.categories), description=f"{column.name} is one of {listed}"
    )
    occur = gxe.ExpectColumnDistinctValuesToContainSet(
        column=column.name,
        value_set=list(column.categories),
        description=f"each declared {column.name} occurs: load() reads it as it is written, or the schema drops it",
    )
    return [in_set, occur]


def _presence(column: Column, max_missing: float) -> Expectation:
    said = f"missing in at most {max_missing:.6g} of the records" if column.optional else "never missing"
    mostly = round(1 - max_missing, 9) if column.optional else 1
    return gxe.ExpectColumnValuesToNotBeNull(column=column.name, mostly=mostly, description=f"{column.name} is {said}")


def _kind(column: Column, values: pd.Series) -> tuple[Expectation, bool]:
    """Give the expectation on a numeric column's kind, and whether the values can be compared with bounds."""
    dtypes, pattern = NUMERIC[column.kind]
    description = f"{column.name} is {WORDS[column.kind]}"
    sound = values.dtype.kind in "fiubM"
    if sound or values.dropna().astype("str").str.contains(pattern).all():
        types = gxe.ExpectColumnValuesToBeInTypeList(column=column.name, type_list=dtypes, description=description)
        return types, sound
    regex = gxe.ExpectColumnValuesToMatchRegex(column=column.name, regex=pattern, description=description)
    return regex, False


def _bounds(column: Column) -> list[Expectation]:
    """Give the expectations on the declared bounds."""
    low, high = column.low, column.high
    if not column.bounds:
        return []

    def comparable(bound: float) -> Any:
        return dates.to_datetime64(column.kind, np.array([bound])).item(0) if column.temporal else bound

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=column.name,
            min_value=low and comparable(low[0]),
            max_value=high and comparable(high[0]),
            strict_min=bool(low and low[1]),
            strict_max=bool(high and not high[1]),
            description=f"{column.name} is {column.bounds}",
        )
    ]


DISJOINT = {
    BOTH: "no group is in both the training rows and the test set",
    LATER: "every training row is from before the test set",
    ALIKE: "no two groups differ in case, blanks or Unicode form alone: these look like one group spelled twice",
}


def of_split(target: Target, table: pd.DataFrame) -> list[Expectation]:
    """Derive the expectations on the split.

    table: the columns BOTH and ALIKE (the group's name if that is the case, else missing) and LATER (the time), as far
    as they apply, and for each part a column with the target of its records (missing in those of the other part).
    """
    derived: list[Expectation] = []
    for name in table.columns:
        if name in DISJOINT:
            derived.append(gxe.ExpectColumnValuesToBeNull(column=name, description=DISJOINT[name]))
        elif target.classes:
            derived.append(
                gxe.ExpectColumnDistinctValuesToContainSet(
                    column=name,
                    value_set=list(target.classes),
                    description=f"every {target.column.name} is among {name}: {', '.join(map(str, target.classes))}",
                )
            )
    return derived


def of_training(features: Contract, table: pd.DataFrame) -> list[Expectation]:
    """Derive the expectations on the training features. table: their distinct values, a missing one as text."""
    return [
        gxe.ExpectColumnUniqueValueCountToBeBetween(
            column=name, min_value=2, description=f"{name} has more than one value among the training rows"
        )
        for name in features.names
        if name in table
    ]


def of_measures(
    sizes: Iterable[str], scores: Mapping[str, float], repeated: Mapping[str, float], target: str, params: Validate
) -> list[Expectation]:
    """Derive the expectations on a table with one row: the parts' sizes, each feature's score, the share of repeats.

    scores: of predicting the target from that feature alone. repeated: the column's name, and the share by chance.
    """
    derived: list[Expectation] = [
        gxe.ExpectColumnMinToBeBetween(column=name, min_value=1, description=f"there are {name}") for name in sizes
    ]
    for name, chance in repeated.items():
        description = (
            f"at most {chance + params.max_repeated:.2%} of the test rows have the features of a training row "
            f"({chance:.2%} by chance, and validate.max_repeated)"
        )
        derived.append(
            gxe.ExpectColumnMaxToBeBetween(column=name, max_value=chance + params.max_repeated, description=description)
        )
    for name in scores:
        description = (
            f"{name} alone does not tell {target}: it predicts it with a score of at most {params.max_leak:.6g}"
        )
        derived.append(gxe.ExpectColumnMaxToBeBetween(column=name, max_value=params.max_leak, description=description))
    return derived
