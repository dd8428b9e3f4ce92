"""Test rows that repeat training rows: copies under another group's name make every score too good."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slipway.contract import Array

SHUFFLES = 5
DEVIATIONS = 3
LARGE = 50_000  # rows, for which one shuffle is enough


def repeats(train: pd.DataFrame, test: pd.DataFrame) -> tuple[float, float]:
    """Give the share of test rows that equal a training row in every column, and the share that chance explains.

    Chance: the same share after each column with many values was shuffled among the rows that agree in all columns with
    few values, plus three standard deviations. So rows that are equal because the columns have few values are allowed.
    """
    if not len(test) or not len(train.columns):
        return 0.0, 0.0
    rows = pd.concat([train, test])
    size = len(rows)
    codes = [pd.factorize(rows[name], use_na_sentinel=False)[0] for name in rows]
    many = [code for code in codes if code.max() + 1 > size**0.5]
    few = _combined([np.zeros(size, dtype=np.int64), *(code for code in codes if code.max() + 1 <= size**0.5)])
    rng = np.random.default_rng(0)
    shuffles = SHUFFLES if size < LARGE else 1
    chance = [_repeated([few, *(_shuffled(code, few, rng) for code in many)], len(train)) for _ in range(shuffles)]
    mean = float(np.mean(chance))
    return _repeated(codes, len(train)), min(1.0, mean + DEVIATIONS * (mean * (1 - mean) / len(test)) ** 0.5)


def _combined(codes: list[Array]) -> Array:
    """Number the rows so that two have the same number exactly if they agree in every code."""
    found = codes[0]
    for code in codes[1:]:
        found = pd.factorize(found * (int(code.max()) + 1) + code)[0]
    return found


def _shuffled(code: Array, within: Array, rng: np.random.Generator) -> Array:
    order = rng.permutation(len(code))
    shuffled = np.empty_like(code)
    shuffled[np.argsort(within, kind="stable")] = code[order[np.argsort(within[order], kind="stable")]]
    return shuffled


def _repeated(codes: list[Array], train: int) -> float:
    rows = _combined(codes)
    return float(np.isin(rows[train:], rows[:train]).mean())
