import numpy as np
import pandas as pd
import pytest

from slipway.expectations.repeats import repeats


def measured(rows: int, seed: int = 0) -> pd.DataFrame:
    """Rows with two categories and three measures, of which two are related."""
    rng = np.random.default_rng(seed)
    length = rng.normal(40, 5, rows).round(1)
    return pd.DataFrame(
        {
            "island": rng.choice(["a", "b", "c"], rows),
            "sex": rng.choice(["f", "m", None], rows),
            "length": length,
            "depth": (length / 2 + rng.normal(0, 1, rows)).round(1),
            "mass": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(4000, 500, rows).round(-1)),
        }
    )


def test_rows_that_were_drawn_anew_hardly_repeat():
    share, chance = repeats(measured(300), measured(100, seed=1))
    assert (share, chance) == (0, 0)


@pytest.mark.parametrize("copied", [10, 40])
def test_test_rows_that_are_copies_are_counted_and_chance_does_not_explain_them(copied):
    train, test = measured(300), measured(100, seed=1)
    test.iloc[:copied] = train.iloc[50 : 50 + copied].to_numpy()
    share, chance = repeats(train, test.astype(train.dtypes))
    assert share == copied / 100
    assert chance < 0.01


def test_of_categories_alone_chance_explains_every_repeat():
    names = ["island", "sex"]
    share, chance = repeats(measured(300)[names], measured(100, seed=1)[names])
    assert share == chance == 1


def test_one_measure_beside_a_category_repeats_as_often_as_chance_has_it():
    names = ["island", "mass"]
    share, chance = repeats(measured(900)[names], measured(300, seed=1)[names])
    assert 0.5 < share < 0.95
    assert share <= chance <= share + 0.15


def test_columns_of_few_values_that_depend_on_each_other_are_taken_together():
    rng = np.random.default_rng(0)
    route = rng.integers(0, 20, 2000)  # as flights: the distance is the route's
    flights = pd.DataFrame({"route": route, "distance": route * 37.5, "hour": rng.integers(5, 24, 2000)})
    share, chance = repeats(flights[:1500], flights[1500:])
    assert 0.5 < share <= chance


@pytest.mark.parametrize("empty", [measured(0), pd.DataFrame(index=range(3))])
def test_without_rows_or_columns_there_is_no_repeat(empty):
    assert repeats(empty[:0], empty[:0]) == (0, 0)
