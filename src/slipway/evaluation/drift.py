"""The drift of a column since training, and the drift that sampling error explains."""

from __future__ import annotations

from collections.abc import Mapping
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

    values: the column's array, shape (rows,). groups: their number; rows of one group are not independent.
    columns: the number compared. The PSI of two samples of one distribution is about (1/n + 1/m) times chi-squared.
    """
    from scipy.stats import chi2

    before = reference["features"].get(column.name) or reference["target"]
    smallest = 0.5 / min(groups, reference["groups"])  # half a group, so that an empty bin gives no infinite PSI
    now = shares(read_bins(column.name, before).count(values))
    psi = population_stability_index(before["shares"], now, least=smallest)
    filled = sum(share > 0 for share in before["shares"])
    explained = chi2.ppf(1 - FALSE_ALARM / columns, max(1, filled - 1)) * (1 / reference["groups"] + 1 / groups)
    return Drift(column.name, psi, max(NOTABLE, float(explained)))
