"""The drift of a column since training, and the drift that sampling error explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.contract import Array, Column
from slipway.model.reference import population_stability_index, read_bins, shares

FALSE_ALARM = 0.01  # probability that any column exceeds its limit though no distribution changed
NOTABLE = 0.1  # the customary limit between "no change" and "some change" of a PSI (Lewis 1992)


@dataclass(frozen=True)
class Drift:
    """A column's population stability index, and the limit from which it counts as drift."""

    name: str
    psi: float
    limit: float


def drift(reference: Mapping[str, Any], column: Column, values: Array, groups: int, columns: int) -> Drift:
    """Compare values with the bins of a bundle's reference.

    values: the column's array, shape (rows,). groups, columns: as for `drift_of`.
    """
    before = reference["features"].get(column.name) or reference["target"]
    counts = read_bins(column.name, before).count(values)
    return drift_of(column.name, before["shares"], counts, (reference["groups"], groups), columns)


def drift_of(name: str, before: Sequence[float], counts: Array, groups: tuple[int, int], columns: int) -> Drift:
    """Compare the shares of a column's bins at training with counts of rows in the same bins.

    groups: of the training rows, and of those counted; rows of one group are not independent. columns: the number
    compared. The PSI of two samples of one distribution is about (1/n + 1/m) times chi-squared.
    """
    from scipy.special import chdtri

    smallest = 0.5 / min(groups)  # half a group, so that an empty bin gives no infinite PSI
    psi = population_stability_index(before, shares(counts), least=smallest)
    filled = sum(share > 0 for share in before)
    explained = chdtri(max(1, filled - 1), FALSE_ALARM / columns) * (1 / groups[0] + 1 / groups[1])
    return Drift(name, psi, max(NOTABLE, float(explained)))
