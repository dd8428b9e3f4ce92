"""A change that affects candidate and champion alike is held, though the candidate is as good as the champion."""

import numpy as np
import pandas as pd
import pytest

from checkouts import commit_params
from slipway.gate import judge
from slipway.release import promote, rollback
from slipway.workspace import Workspace

CHANGES = ["champion's record", "drift", "coverage"]


@pytest.fixture
def candidate(challenged) -> Workspace:
    """A checkout with a candidate that the gate promotes; without the behaviour tests, which take long."""
    return commit_params(challenged, "behaviour: true", "behaviour: false")


def change(workspace: Workspace, part: str, how) -> None:
    path = workspace.table / f"{part}.parquet"
    how(pd.read_parquet(path)).to_parquet(path)


def judged(workspace: Workspace) -> tuple[str, dict[str, tuple[str, str]]]:
    verdict = judge(workspace)
    return verdict.verdict, {r.check: (r.outcome, r.detail) for r in verdict.reasons if r.check in CHANGES}


def test_without_a_change_each_check_says_what_it_compared(candidate):
    verdict, found = judged(candidate)
    version = judge(candidate).champion[:12]
    assert verdict == "PROMOTE"
    assert [outcome for outcome, _ in found.values()] == ["pass"] * 3
    record, drift, coverage = (found[check][1] for check in CHANGES)
    assert record.startswith(f"log_loss of {version}: 0.1729 (0.1166 to 0.2355) at its release, 0.1729 (0.1166 to")
    assert f"drifted most since {version}: PSI 0.000" in drift
    assert coverage == f"the 11 slices and classes that {version} was judged on have at least 10 rows"


def test_another_unit_within_the_bounds_is_drift_and_a_lower_score_than_the_champions_record(candidate):
    def half_in_another_unit(table):
        table.loc[np.arange(len(table)) % 2 == 0, "bill_length_mm"] *= 1.3
        return table

    for part in ("train", "test"):
        change(candidate, part, half_in_another_unit)
    verdict, found = judged(candidate)
    assert verdict != "PROMOTE"
    assert [found[check][0] for check in CHANGES] == ["hold", "hold", "pass"]
    assert "bill_length_mm (PSI " in found["drift"][1]
    assert found["champion's record"][1].endswith("clearly worse, so features or labels changed")


def test_labels_of_another_meaning_are_drift_of_the_target_or_a_lower_score(candidate):
    def more_of_one(table):
        table.loc[np.arange(len(table)) % 2 == 0, "sex"] = "male"
        return table

    for part in ("train", "test"):
        change(candidate, part, more_of_one)
    _, found = judged(candidate)
    assert [found[check][0] for check in CHANGES[:2]] == ["hold", "hold"]
    assert "by more than sampling error explains: sex (PSI " in found["drift"][1]


def test_a_slice_that_the_champion_was_judged_on_must_still_be_there(candidate):
    change(candidate, "test", lambda table: table[(table["island"] != "Torgersen") | (table.index % 2 == 0)])
    _, found = judged(candidate)
    assert found["coverage"][0] == "hold"
    assert "was judged on island=Torgersen (12 rows, now " in found["coverage"][1]
    assert found["coverage"][1].endswith("at least 10 are needed to judge it again")


def test_a_champion_without_a_record_of_its_scores_is_compared_by_the_distributions_alone(candidate):
    for name in ("metrics.json", "slices.json", "classes.json"):
        (candidate.champion / "evaluation" / name).unlink()
    verdict, found = judged(candidate)
    assert (verdict, list(found)) == ("PROMOTE", ["drift", "coverage"])
    assert "the 0 slices and classes" in found["coverage"][1]


def test_what_was_rolled_back_is_held(candidate):
    assert judge(candidate).verdict == "PROMOTE"
    version = promote(candidate).version
    rollback(candidate, reason="it bites")
    verdict = judge(candidate)
    assert verdict.verdict == "HOLD"
    assert f"{version} was released before, and rolled back" in [reason.detail for reason in verdict.reasons]
