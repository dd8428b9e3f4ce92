"""The penguins' own expectations: each of them fails on a fault."""

import pandas as pd
import pytest

from project import problem


def test_load_reads_text_as_text_and_only_empty_cells_and_na_as_missing(tmp_path):
    header = "Individual ID,Island,Sex\n"
    (tmp_path / "penguins-raw.csv").write_text(header + "007,None,MALE\n1e3,,FEMALE\nnan,NA,MALE\n")
    table = problem.load(tmp_path)
    assert table["individual"].tolist() == ["007", "1e3", "nan"]
    assert table["island"].isna().tolist() == [False, True, True]


def test_load_drops_birds_of_unknown_sex_and_no_others(tmp_path):
    header = "Individual ID,Sex\n"
    (tmp_path / "penguins-raw.csv").write_text(header + "N1A1,MALE\nN1A2,NA\nN2A1,\nN2A2,unknown\n")
    table = problem.load(tmp_path)
    assert table["individual"].to_dict() == {1: "N1A1", 4: "N2A2"}
    assert table["sex"].tolist() == ["male", "unknown"]


def test_no_feature_alone_nearly_tells_the_sex(check, table):
    scores = {o.column: float(o.found) for o in check(table).outcomes if "alone does not tell" in o.expectation}
    assert len(scores) == len(problem.row.model_fields)
    assert max(scores.values()) < 0.85, scores


def _without(table: pd.DataFrame, column: str, value: str, rows: int) -> pd.DataFrame:
    return table.drop(index=table.index[table[column] == value][:rows])


def _swapped(table: pd.DataFrame) -> pd.DataFrame:
    """One season's females are recorded as males and its males as females."""
    other = table["sex"].map({"female": "male", "male": "female"})
    return table.assign(sex=table["sex"].where(table["season"] != "2008", other))


FAULTS = {
    "half the records gone": (lambda table: table[::2], "there are at least 300 records"),
    "a sample number used twice": (
        lambda table: table.assign(sample=table["sample"].replace("2", "1")),
        "a sample's number occurs once within its species",
    ),
    "half of a species gone": (
        lambda table: _without(table, "species", "Gentoo", 80),
        "the species' shares are about the published ones",
    ),
    "most of one sex gone": (lambda table: _without(table, "sex", "female", 120), "females and males are balanced"),
    "the sexes of one season swapped": (_swapped, "the mean body mass of a female is"),
    "a wrong scale": (
        lambda table: table.assign(body_mass_g=table["body_mass_g"].astype(float) * 1.1),
        "the mean body mass of a male is",
    ),
    "a sensor's offset": (
        lambda table: table.assign(flipper_length_mm=table["flipper_length_mm"].astype(float) + 10),
        "the median flipper is",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_of_the_projects_expectations_fails_on_its_fault(check, table, fault):
    change, words = FAULTS[fault]
    said = [failure.expectation for failure in check(change(table)).failures]
    assert any(words in expectation for expectation in said), said
