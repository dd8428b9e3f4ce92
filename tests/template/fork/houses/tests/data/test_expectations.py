"""Each of the project's own expectations is seen to fail on a fault."""

import pytest

FAULTS = {
    "half the records gone": (lambda table: table[::2], "at least 500 sales"),
    "prices in thousands": (lambda table: table.assign(price=table["price"] / 1000), "the median price"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_of_the_projects_expectations_is_seen_to_fail(check, table, fault):
    change, words = FAULTS[fault]
    said = [failure.expectation for failure in check(change(table)).failures]
    assert any(words in expectation for expectation in said), said
