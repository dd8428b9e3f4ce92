"""POST /feedback: ids tell what was predicted, and only those that were made here count, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serving.running import Direct, quiet, without_version
from slipway.model.ids import Ids

KEY = "k" * 16


def predicted(direct: Direct, row: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = direct.ask("/predict", row).json()["predictions"][0]
    return answer


def value(direct: Direct, metric: str) -> float:
    lines = without_version(direct.ask("/metrics").body.decode()).splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(metric + " ")), float("nan"))


def test_feedback_is_counted_by_outcome_and_gives_the_live_accuracy(direct: Direct, row: dict[str, Any]) -> None:
    outcomes = [
        direct.ask("/feedback", {"id": predicted(direct, row)["id"], "truth": truth}).json()["outcome"]
        for truth in ("lily", "lily", "lily", "fern")
    ]
    assert outcomes == ["correct", "correct", "correct", "incorrect"]
    assert value(direct, 'slipway_feedback_total{outcome="correct"}') == 3
    assert value(direct, "slipway_live_accuracy") == 0.75


def test_feedback_to_a_regression_sums_the_errors(made: dict[str, Path], row: dict[str, Any]) -> None:
    direct = Direct(quiet(made["weight"]))
    made_ = predicted(direct, row)
    direct.ask("/feedback", {"id": made_["id"], "truth": made_["value"] + 0.5})
    assert value(direct, "slipway_feedback_absolute_error_total") == pytest.approx(0.5)
    direct.close()


def test_a_duplicate_is_refused(direct: Direct, row: dict[str, Any]) -> None:
    body = {"id": predicted(direct, row)["id"], "truth": "rose"}
    assert [direct.ask("/feedback", body).status for _ in range(2)] == [200, 409]
    assert value(direct, 'slipway_feedback_total{outcome="duplicate"}') == 1


def test_no_changed_id_is_taken(direct: Direct, row: dict[str, Any]) -> None:
    made = predicted(direct, row)["id"]
    for at in range(len(made)):
        changed = made[:at] + ("A" if made[at] != "A" else "B") + made[at + 1 :]
        assert direct.ask("/feedback", {"id": changed, "truth": "rose"}).status == 403, at
    for strange in ("", "é", made[:-4], made + "AAAA", made + "="):
        assert direct.ask("/feedback", {"id": strange, "truth": "rose"}).status == 403


@pytest.mark.parametrize("truth", ["oak", 1, None, True, ["rose"]])
def test_a_truth_that_cannot_be_does_not_use_up_the_id(truth: Any, direct: Direct, row: dict[str, Any]) -> None:
    made = predicted(direct, row)["id"]
    assert direct.ask("/feedback", {"id": made, "truth": truth}).status == 422
    assert direct.ask("/feedback", {"id": made, "truth": "rose"}).status == 200


def test_replicas_with_one_key_take_each_others_ids_and_others_do_not(bundle: Path, row: dict[str, Any]) -> None:
    first, second = (Direct(quiet(bundle, feedback_key=KEY)) for _ in range(2))
    stranger = Direct(quiet(bundle))
    made = predicted(first, row)["id"]
    assert stranger.ask("/feedback", {"id": made, "truth": "rose"}).status == 403
    assert second.ask("/feedback", {"id": made, "truth": "rose"}).status == 200
    for direct in (first, second, stranger):
        direct.close()


def test_old_ids_and_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def ids(version: str = "0" * 12) -> Ids:
        return Ids(version, key=KEY.encode(), numeric=False, seconds=100, kept=2)

    made = ids().make([1])[0]
    assert ids("1" * 12).read(made) == "other_version"
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert ids().read(made) == "expired"


def test_what_is_remembered_has_a_bound() -> None:
    ids = Ids("0" * 12, key=KEY.encode(), numeric=True, seconds=100, kept=2)
    for made in ids.make([0.5, -1.0, 1e300]):
        assert not isinstance(ids.read(made), str)
    assert len(ids._seen) == 2
