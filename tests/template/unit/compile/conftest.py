"""One small table with a column of every kind, and targets of every kind."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from flowers import Flower, flowers
from slipway.contract import Array, Column, Contract, Target

NUMBERS, STRINGS = ["height", "petals", "scented"], ["colour", "bed"]


class Case(NamedTuple):
    contract: Contract
    arrays: dict[str, Array]
    kinds: Target
    truth: Array

    def only(self, names: list[str]) -> "Case":
        """Keep these columns."""
        columns = tuple(column for column in self.contract.columns if column.name in names)
        return self._replace(
            contract=Contract("Part", columns),
            arrays={name: self.arrays[name] for name in self.contract.names if name in names},
        )

    def fit(self, estimator: Any) -> Any:
        from slipway.model.runtimes.skops import frame

        return estimator.fit(frame(self.arrays), self.truth)


def make_cases() -> dict[str, Case]:
    """Three kinds of flower, told apart by height, petals and colour together; two of them; and a number.

    The number is far from zero, so that an error relative to its size would be no error relative to its spread.
    """
    contract = Contract.from_model(Flower)
    arrays = contract.arrays(flowers(150))
    score = arrays["height"] / 20 + arrays["petals"] / 5 + (arrays["colour"] == "red")
    score += np.random.default_rng(1).normal(0, 0.5, len(score))
    kinds = Target(Column("kind", "category", categories=("lily", "iris", "rose")), ("lily", "iris", "rose"))
    case = Case(contract, arrays, kinds, np.digitize(score, np.quantile(score, [0.3, 0.7])).astype(np.int64))
    wild = Target(Column("wild", "boolean"), (False, True))
    price = Target(Column("price", "number"), ())
    return {
        "case": case,
        "yes_or_no": case._replace(kinds=wild, truth=(case.truth > 0).astype(np.int64)),
        "value": case._replace(kinds=price, truth=10_000 + arrays["height"] + case.truth),
    }


@pytest.fixture(scope="session")
def case() -> Case:
    return make_cases()["case"]


@pytest.fixture(scope="session")
def yes_or_no() -> Case:
    return make_cases()["yes_or_no"]


@pytest.fixture(scope="session")
def value() -> Case:
    return make_cases()["value"]
