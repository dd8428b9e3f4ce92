import re

import numpy as np
import pytest

from slipway.model import ids as module
from slipway.model.ids import Ids, Predicted

NOW, DAY = 1_700_000_000, 86_400


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The time, for a test to change."""
    clock = {"now": NOW}
    monkeypatch.setattr(module.time, "time", lambda: float(clock["now"]))
    return clock


def make(*, numeric: bool = False, kept: int = 100, key: bytes = b"k" * 64) -> Ids:
    return Ids("0123456789ab", key=key, numeric=numeric, seconds=DAY, kept=kept)


@pytest.mark.parametrize(("numeric", "values"), [(False, [2, 65_535]), (True, [-0.1, 1e300])])
def test_an_id_says_version_time_number_and_value(numeric, values):
    ids = make(numeric=numeric)
    first, second = (ids.read(text) for text in ids.make(values))
    assert first == Predicted("0123456789ab", NOW, first.number, values[0])
    assert second == Predicted("0123456789ab", NOW, first.number + 1, values[1])


def test_the_id_of_a_class_is_shorter_than_that_of_a_number():
    assert [len(make(numeric=numeric).make([1])[0]) for numeric in (False, True)] == [40, 48]


def test_ids_may_stand_in_a_url():
    assert all(re.fullmatch(r"[\w-]+", text, re.ASCII) for text in make().make(range(500)))


def test_only_the_first_64_bytes_of_a_key_count():
    (text,) = make(key=b"k" * 64 + b"a").make([1])
    assert isinstance(make(key=b"k" * 64 + b"b").read(text), Predicted)


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: f"{t[:-2]}\n{t[-1]}", lambda t: "é" + t[1:], lambda t: ""]
)
def test_what_is_no_id_is_forged(change):
    ids = make()
    assert ids.read(change(ids.make([1])[0])) == "forged"


def test_a_character_more_inside_is_not_overlooked():
    ids = make()
    (text,) = ids.make([1])
    assert ids.read(f"{text[:5]}!{text[5:-1]}") == "forged"


def test_an_id_is_taken_up_to_its_last_second(clock):
    ids = make()
    early, late = ids.make([1, 1])
    clock["now"] = NOW + DAY
    assert isinstance(ids.read(early), Predicted)
    clock["now"] += 1
    assert ids.read(late) == "expired"


def test_of_more_than_are_kept_the_oldest_is_forgotten():
    ids = make(kept=2)
    first, second, third = ids.make([1, 1, 1])
    for text in (first, second, third):
        ids.read(text)
    assert [ids.read(text) for text in (second, third)] == ["duplicate", "duplicate"]
    assert isinstance(ids.read(first), Predicted)


def test_an_id_of_another_key_or_kind_is_forged():
    (text,) = make().make([1])
    assert make(key=b"another").read(text) == "forged"
    assert make(numeric=True).read(text) == "forged"
    assert isinstance(make().read(text), Predicted)


def test_the_time_goes_on_after_2038(clock):
    clock["now"] = 2**31 + 10
    for numeric in (False, True):
        ids = make(numeric=numeric)
        assert ids.read(ids.make([1])[0]).time == clock["now"]


def test_each_answer_goes_on_counting():
    ids = make()
    first, second = (ids.read(ids.make([1])[0]) for _ in range(2))
    assert second.number == first.number + 1


def test_an_id_of_another_version_is_told_from_a_forged_one():
    (text,) = Ids("ba9876543210", key=b"k" * 64, numeric=False, seconds=DAY, kept=100).make([1])
    assert make().read(text) == "other_version"


def test_an_id_is_remembered_as_long_as_it_is_taken(clock):
    ids = make()
    first, second, third = ids.make([1, 1, 1])
    ids.read(first)
    clock["now"] = NOW + DAY
    ids.read(second)
    assert ids.read(first) == "duplicate"
    assert isinstance(ids.read(third), Predicted)


@pytest.mark.parametrize(("numeric", "values"), [(False, [2, 0, 65_535]), (True, [-0.1, 0.0, 1e300])])
def test_ids_that_are_made_together_say_the_same_and_follow_one_another(numeric, values):
    ids = make(numeric=numeric)
    joined = ids.joined(np.array(values), signed=True).decode()
    (later,) = ids.make(values[:1])
    read = [ids.read(joined[at : at + ids.characters]) for at in range(0, len(joined), ids.characters)]
    assert [one.value for one in read] == values
    numbers = [one.number for one in (*read, ids.read(later))]
    assert numbers == list(range(numbers[0], numbers[0] + len(values) + 1))
    assert read[0] == Predicted("0123456789ab", NOW, numbers[0], values[0])


def test_an_unsigned_id_looks_like_one_and_is_refused():
    ids = make()
    joined = ids.joined(np.array([1, 1]), signed=False).decode()
    first, second = joined[: ids.characters], joined[ids.characters :]
    assert first != second
    assert [ids.read(first), ids.read(second)] == ["forged", "forged"]
