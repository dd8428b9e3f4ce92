"""Which truth counts for which prediction: each rule, on a few rows."""

import csv
import gzip
from collections import Counter
from datetime import date

import pytest
from pydantic import create_model

from flowers import Specimen, flower_problem
from served import KEY, MONDAY, write_segment
from slipway.batch import Table
from slipway.contract import features, record, target
from slipway.evaluation.live import ID, ORIGIN, UNUSABLE
from slipway.feedback.joining import Views, join
from slipway.feedback.kept import predictions
from slipway.feedback.listing import Listing
from slipway.feedback.truths import from_feedback, from_table, one_each
from slipway.model.ids import Ids
from slipway.problem import SlipwayError

ROW = {"colour": "red", "height": 50.0, "petals": 12, "scented": True, "bed": None, "weight": 0.5}
HERE = "0123456789ab"


def views(problem=None) -> Views:
    problem = problem or flower_problem()
    return Views(problem, record(problem), features(problem), target(problem))


def kept(name: str, **changes) -> dict:
    row = {**ROW, **changes.pop("row", {})}
    answer = {"prediction": "rose", "probabilities": {"iris": 0.2, "rose": 0.8}}
    return {"id": name, "time": "2026-11-23T12:00:00.000Z", "version": HERE, "row": row, **answer, **changes}


class Joined:
    """The result of joining: the table, and the ids or keys by rule."""

    def __init__(self, tmp_path, lines, truths, on=(), problem=None, segments=None):
        folder, seen = tmp_path / "kept", views(problem)
        for number, segment in enumerate(segments or [lines]):
            write_segment(folder, "predictions", segment, MONDAY.replace(hour=number))
        self.listing = Listing(tmp_path / "listed.csv")
        if isinstance(truths, str):
            (tmp_path / "truth.csv").write_text(truths)
            table = Table.open(str(tmp_path / "truth.csv"))
            told = from_table(table, seen.problem, seen.record, on, self.listing)
        else:
            write_segment(folder, "feedback", truths)
            told = from_feedback(str(folder), seen.target.column, self.listing)
        told = one_each(told, "kind", self.listing)
        self.table = join(predictions(str(folder)), told, seen, on, {HERE}, self.listing)
        self.listing.close()
        with (tmp_path / "listed.csv").open() as file:
            self.lines = list(csv.DictReader(file))

    def by_rule(self) -> dict[str, list[str]]:
        assert Counter(line["rule"] for line in self.lines) == self.listing.counts
        return {rule: [one["id or key"] for one in self.lines if one["rule"] == rule] for rule in self.listing.counts}


def test_a_truth_is_joined_with_its_prediction_by_id_from_a_file_and_from_feedback(tmp_path):
    lines = [kept("a"), kept("b"), kept("c")]
    (tmp_path / "x").mkdir()
    for found in (
        Joined(tmp_path, lines, "id,kind\nb,iris\na,rose\n"),
        Joined(
            tmp_path / "x", lines, [{"id": "b", "time": "", "truth": "iris"}, {"id": "a", "time": "", "truth": "rose"}]
        ),
    ):
        assert dict(zip(found.table[ID], found.table["kind"], strict=True)) == {"a": "rose", "b": "iris"}
        assert found.by_rule() == {}


def test_the_same_truth_twice_counts_once_and_two_truths_of_one_prediction_count_not_at_all(tmp_path):
    found = Joined(tmp_path, [kept("a"), kept("b")], "id,kind\na,rose\nb,rose\na,rose\nb,iris\n")
    assert list(found.table[ID]) == ["a"]
    assert found.by_rule() == {"duplicate": ["a"], "contradictory": ["b", "b"]}


def test_a_truth_that_is_not_known_yet_waits_and_one_that_is_no_class_is_refused_with_its_place(tmp_path):
    found = Joined(tmp_path, [kept("a"), kept("b"), kept("c")], "id,kind\na,\nb,tulip\nc,rose\n")
    assert list(found.table[ID]) == ["c"]
    assert found.by_rule() == {"refused": [""], "unknown": ["a"]}
    assert found.lines[0]["truth from"] == "truth.csv:1"
    assert "kind is 'tulip'" in found.lines[0]["detail"]


def test_a_line_with_too_many_values_is_refused_and_the_others_count(tmp_path):
    found = Joined(tmp_path, [kept("a"), kept("b")], "id,kind\na,rose,b\nb,iris\n")
    assert (list(found.table[ID]), found.by_rule()) == (["b"], {"refused": [""]})


@pytest.mark.parametrize("truth", ["tulip", 1, True])
def test_feedback_that_is_no_class_is_refused(tmp_path, truth):
    told = [{"id": "a", "time": "", "truth": truth}, {"id": "b", "time": "", "truth": "rose"}]
    assert Joined(tmp_path, [kept("a"), kept("b")], told).by_rule() == {"refused": ["a"]}


def test_a_truth_without_its_prediction_is_late_if_a_version_released_here_made_the_id_and_else_foreign(tmp_path):
    late, other = (
        Ids(version, key=KEY, numeric=False, seconds=9, kept=1).make([1])[0] for version in (HERE, HERE[::-1])
    )
    found = Joined(tmp_path, [kept("a")], f"id,kind\na,rose\n{late},rose\n{other},rose\nnonsense,rose\n")
    assert found.by_rule() == {"late": [late], "foreign": [other, "nonsense"]}


def test_by_a_key_the_newest_prediction_counts_also_of_several_segments(tmp_path):
    first = [kept("a", row={"petals": 1}), kept("b", row={"petals": 2})]
    second = [kept("c", row={"petals": 1}), kept("d", row={"petals": 1})]
    found = Joined(tmp_path, None, "petals,kind\n1,rose\n2,iris\n3,iris\n", ("petals",), segments=[first, second])
    assert sorted(found.table[ID]) == ["b", "d"]
    assert found.by_rule() == {"repeated": ["1", "1"], "foreign": ["3"]}


def test_a_column_that_is_not_kept_comes_from_the_truth_else_the_row_is_none_to_learn_from(tmp_path):
    private = {name: value for name, value in ROW.items() if name != "weight"}
    lines = [{**kept(name), "row": private} for name in ("a", "b")]
    found = Joined(tmp_path, lines, "id,kind,plant,weight\na,rose,p1,0.25\nb,iris,p2,\n").table.set_index(ID)
    assert found.loc["a", ["weight", "plant", UNUSABLE, ORIGIN]].tolist() == [0.25, "p1", "", "truth.csv:0"]
    assert found.loc["b", UNUSABLE] == "weight is neither kept nor told with the truth"


def test_without_its_group_a_row_is_a_group_of_its_own_and_none_to_learn_from(tmp_path):
    found = Joined(tmp_path, [kept("a"), kept("b")], "id,kind\na,rose\nb,iris\n").table
    assert sorted(found["plant"]) == ["a", "b"]
    assert set(found[UNUSABLE]) == {"plant is neither kept nor told with the truth"}


def test_a_kept_value_that_the_schema_no_longer_allows_is_none_to_learn_from(tmp_path):
    lines = [kept("a", row={"petals": 99}), kept("b", row={"petals": "many"})]
    found = Joined(tmp_path, lines, "id,kind,plant\na,rose,p\nb,iris,q\n").table
    assert set(found[UNUSABLE]) == {"petals is not as the schema has it"}


def test_the_value_that_the_model_saw_counts_not_what_came_with_the_truth(tmp_path):
    found = Joined(tmp_path, [kept("a")], "id,kind,plant,height\na,rose,p,120\n").table
    assert found["height"].tolist() == [50.0]


def test_rows_that_load_numbers_get_a_stable_number_and_a_time_is_that_of_the_prediction(tmp_path):
    numbered = create_model("Numbered", __base__=Specimen, row_id=(int, ...), seen=(date, ...))
    problem = flower_problem(record=numbered, group="row_id", time="seen")
    lines, truths = [kept("a"), kept("b")], "id,kind,plant\na,rose,p\nb,iris,p\n"
    found = Joined(tmp_path, lines, truths, problem=problem).table
    assert set(found[UNUSABLE]) == {""}
    assert found["row_id"].nunique() == 2
    assert set(found["seen"]) == {"2026-11-23"}
    again = Joined(tmp_path, lines[::-1], truths, problem=problem).table
    assert again.set_index(ID)["row_id"].to_dict() == found.set_index(ID)["row_id"].to_dict()


@pytest.mark.parametrize(
    ("header", "on", "said"),
    [
        ("kind,plant", (), "lacks the column id: the id that the service gave"),
        ("id,plant", (), "lacks the truth, a column kind or truth"),
        ("prediction_id,prediction", (), "its column prediction is the model's own answer, which is no truth"),
        ("id,kind", ("petals",), "lacks the column petals"),
    ],
)
def test_a_table_of_another_shape_is_refused_and_says_what_is_missing(tmp_path, header, on, said):
    with pytest.raises(SlipwayError, match=said):
        Joined(tmp_path, [kept("a")], f"{header}\n{','.join('1' for _ in header.split(','))}\n", on)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b'{"id":"a"}\n', mtime=0), "missing required field `version` - at `\\$\\[0\\]`"),
        (gzip.compress(b'{"id":"a"', mtime=0), "not as a service writes it"),
        (gzip.compress(b"{}" * 1000, mtime=0)[:20], "cannot be read: Truncated"),
        (b"no gzip", "cannot be read"),
    ],
)
def test_a_broken_segment_is_named(tmp_path, content, said):
    path = write_segment(tmp_path, "predictions", [kept("a")])
    path.write_bytes(content)
    with pytest.raises(SlipwayError, match=said) as error:
        list(predictions(str(tmp_path)))
    assert path.name in str(error.value)


def test_where_nothing_is_kept_the_setting_is_named(tmp_path):
    with pytest.raises(SlipwayError, match="SLIPWAY_PREDICTIONS"):
        list(predictions(str(tmp_path)))
