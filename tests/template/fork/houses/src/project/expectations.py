"""What must hold of the data as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation


def expectations() -> list[Expectation]:
    """List the project's own expectations."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=500, description="there are at least 500 sales"),
        gxe.ExpectColumnMedianToBeBetween(
            column="price",
            min_value=300_000,
            max_value=700_000,
            description="the median price is 300,000 to 700,000 EUR: it is not in thousands",
        ),
    ]
