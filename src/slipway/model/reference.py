"""Bins for each feature, made from the training rows; the share of rows in each is the reference for live traffic.

Prometheus, which sums the counts of all replicas, computes the population stability index over these bins.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from slipway.contract import MISSING, Array, Column, Contract

QUANTILES = 10
CONFIDENCE_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
POSITIVE_EDGES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
ABSENT = "missing"
OTHER = "other"


@dataclass(frozen=True)
class Bins:
    """The bins of one column: between `edges` for numbers, one for each of `categories`, and one for missing.

    A number x falls into bin i when edges[i-1] <= x < edges[i]; the first and last bin are open.
    """

    name: str
    labels: tuple[str, ...]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    @classmethod
    def of(cls, column: Column, values: Array) -> Bins:
        """Make a column's bins: quantiles of the training values, or the declared categories.

        Free text has the bins present and missing.
        """
        if column.numeric and column.categories:
            known = sorted(map(float, column.categories))
            between = tuple((low + high) / 2 for low, high in itertools.pairwise(known))
            return cls(column.name, (*(f"{value:.0f}" for value in known), ABSENT), edges=between)
        if column.numeric and column.kind != "boolean":
            present = values[~np.isnan(values)]
            ranks = np.linspace(0, 1, QUANTILES + 1)[1:-1]
            edges = np.unique(np.quantile(present, ranks)) if len(present) else np.empty(0)
            shown = column.shown if column.temporal else None
            return cls.between(column.name, tuple(float(edge) for edge in edges), shown)
        if column.kind == "boolean":
            return cls(column.name, ("false", "true", ABSENT), edges=(0.5,))
        categories = tuple(map(str, column.categories))
        return cls(column.name, (*categories, OTHER if categories else "present", ABSENT), categories=categories)

    @classmethod
    def between(cls, name: str, edges: tuple[float, ...], shown: Callable[[float], str] | None = None) -> Bins:
        """Make the bins between given edges. shown: writes an edge; by default in six digits."""
        ends = [shown(edge) if shown else format(edge, ".6g") for edge in edges]
        if not ends:
            return cls(name, ("present", ABSENT))
        inner = [f"{low} to {high}" for low, high in itertools.pairwise(ends)]
        return cls(name, (f"below {ends[0]}", *inner, f"{ends[-1]} and above", ABSENT), edges=edges)

    def index(self, values: Array) -> Array:
        """Give the number of each value's bin. values: float64 or strings, shape (rows,)."""
        last = len(self.labels) - 1
        if values.dtype == object:
            index = np.full(len(values), last - 1)
            for number, category in enumerate(self.categories):
                index[values == category] = number
            index[values == MISSING] = last
            return index
        index = np.searchsorted(np.array(self.edges), values, side="right")
        index[np.isnan(values)] = last
        return index

    def count(self, values: Array) -> Array:
        """Count values into the bins; int64, one for each label."""
        return np.bincount(self.index(values), minlength=len(self.labels))


# The last bin is of what is missing: a probability never is.
CONFIDENCE_BINS = Bins.between("confidence", CONFIDENCE_EDGES).labels[:-1]
POSITIVE_BINS = Bins.between("positive", POSITIVE_EDGES).labels[:-1]  # of two classes, by the second's probability


def describe(contract: Contract, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Describe each column of the training rows: its bins and the share of rows in each."""
    return {
        column.name: described(Bins.of(column, arrays[column.name]), arrays[column.name]) for column in contract.columns
    }


def described(bins: Bins, values: Array) -> dict[str, Any]:
    """Give the bins and the shares of values in them, as JSON."""
    return {
        "labels": list(bins.labels),
        "edges": list(bins.edges),
        "categories": list(bins.categories),
        "shares": shares(bins.count(values)),
    }


def shares(counts: Array) -> list[float]:
    """Divide counts by their sum."""
    total = int(counts.sum())
    return [round(int(count) / total, 9) if total else 0.0 for count in counts]


def bins_of(reference: Mapping[str, Any]) -> dict[str, Bins]:
    """Read the bins of each feature from a bundle's reference."""
    return {name: read_bins(name, item) for name, item in reference["features"].items()}


def read_bins(name: str, item: Mapping[str, Any]) -> Bins:
    """Make bins from the output of `described`."""
    return Bins(name, tuple(item["labels"]), tuple(item["edges"]), tuple(item["categories"]))


def population_stability_index(expected: ArrayLike, actual: ArrayLike, *, least: float = 1e-4) -> float:
    """Compute the PSI of two vectors of shares over the same bins; shares are at least `least`.

    Sum of (actual - expected) * ln(actual / expected): Lewis, "An Introduction to Credit Scoring", 1992.
    """
    before, now = np.maximum(expected, least), np.maximum(actual, least)
    return float(((now - before) * np.log(now / before)).sum())
