"""The project's own expectations hold of the data at hand, and each of them is seen to fail on a fault."""

from pathlib import Path

import pandas as pd
import pytest

from project import problem
from slipway.contract import record
from slipway.params import load_params
from slipway.stages.prepare import in_test, shape
from slipway.stages.validate import ValidationReport, validate

ROOT = Path(__file__).parents[2]


@pytest.fixture
def table() -> pd.DataFrame:
    return problem.load(ROOT / "data")


@pytest.fixture
def check(tmp_path):
    def run(table: pd.DataFrame) -> ValidationReport:
        table = shape(record(problem), table)
        test = in_test(table, problem.identities, 0.25)
        table[~test].to_parquet(tmp_path / "train.parquet")
        table[test].to_parquet(tmp_path / "test.parquet")
        return validate(problem, load_params(ROOT).validate_, tmp_path, tmp_path / "validation")

    return run


def test_the_data_at_hand_is_as_expected(check, table):
    assert check(table).failures == []


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
