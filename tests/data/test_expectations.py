"""The penguins' own expectations: each of them is seen to fail on a fault."""

import pytest

from project import problem

pytestmark = pytest.mark.usefixtures("penguins")


def test_no_measurement_alone_is_near_to_telling_the_species(check, table):
    scores = {o.column: float(o.found) for o in check(table).outcomes if "alone does not tell" in o.expectation}
    assert len(scores) == len(problem.row.model_fields)
    assert max(scores.values()) < 0.85, scores


def _few_females(table):
    return table.drop(index=table.index[table["sex"] == "female"][:120])


FAULTS = {
    "half the records gone": (lambda table: table[::2], "there are at least 300 records"),
    "a sample number used twice": (
        lambda table: table.assign(sample=table["sample"].replace(2, 1)),
        "a sample's number occurs once within its species",
    ),
    "half of a species gone": (
        lambda table: table.drop(index=table.index[table["species"] == "Gentoo"][:80]),
        "the species' shares are about the published ones",
    ),
    "most of one sex gone": (_few_females, "females and males are balanced"),
    "a wrong scale": (lambda table: table.assign(body_mass_g=table["body_mass_g"] * 1.1), "the mean body mass is"),
    "a sensor's offset": (
        lambda table: table.assign(flipper_length_mm=table["flipper_length_mm"] + 10),
        "the median flipper is",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_of_the_projects_expectations_is_seen_to_fail(check, table, fault):
    change, words = FAULTS[fault]
    said = [failure.expectation for failure in check(change(table)).failures]
    assert any(words in expectation for expectation in said), said
