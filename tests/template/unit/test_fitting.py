"""How the estimator is fitted: with the weights that the problem declares."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flowers import Specimen, flower_problem, flowers
from slipway.fitting import fit, weights_of
from slipway.problem import SlipwayError
from slipway.problem.params import Params

PARAMS = Params.model_validate({"gate": {"thresholds": {"accuracy": 0.5}, "champion": {"metric": "accuracy"}}})


class Weighed(Specimen):
    care: float | None = None


def weighed(build=LogisticRegression, **changes):
    return flower_problem(**{"record": Weighed, "weight": "care", "build": lambda: build()} | changes)


def nested():
    return make_pipeline(make_pipeline(StandardScaler(), LogisticRegression(C=0.01)))


def learned(build, rows: pd.DataFrame):
    """Fit on two columns and the rows' weights; the probabilities for all flowers."""
    columns = ["height", "petals"]
    arrays = {name: rows[name].to_numpy(dtype=float) for name in columns}
    problem = weighed(build)
    truth = (rows["kind"] == "rose").astype(int).to_numpy()
    estimator = fit(problem, PARAMS, arrays, truth, weights_of(problem, rows))
    return estimator.predict_proba(flowers()[columns].astype(float))


def test_a_row_of_weight_2_counts_as_two_rows_and_one_of_weight_0_not_at_all():
    rows = flowers(80).assign(care=np.arange(80) % 3.0)
    repeated = rows.loc[rows.index.repeat(rows["care"].astype(int))].assign(care=1.0)
    build = lambda: LogisticRegression(tol=1e-9, max_iter=5000)  # noqa: E731
    np.testing.assert_allclose(learned(build, rows), learned(build, repeated), atol=1e-5)


class Kept(LogisticRegression):
    """Has an argument of its own, whose name ends like that of a seed."""

    def __init__(self, old_random_state=None, random_state=None):
        super().__init__(random_state=random_state)
        self.old_random_state = old_random_state


def test_a_seed_is_set_where_there_is_none_and_nothing_of_a_similar_name():
    rows = flowers(80)
    arrays = {"height": rows["height"].to_numpy(dtype=float)}
    fitted = fit(weighed(Kept), PARAMS, arrays, (rows["kind"] == "rose").astype(int).to_numpy())
    assert (fitted.random_state, fitted.old_random_state) == (PARAMS.train.seed, None)


def test_of_a_pipeline_the_last_step_gets_the_weights_however_deep():
    rows = flowers(80).assign(care=1.0)
    rose = rows["kind"] == "rose"
    assert learned(nested, rows.assign(care=np.where(rose, 9.0, 1.0)))[:, 1].mean() > learned(nested, rows)[:, 1].mean()


def test_an_estimator_that_takes_no_weights_is_told():
    with pytest.raises(SlipwayError, match=r"could not be fitted: .*unexpected keyword argument 'sample_weight'"):
        learned(KNeighborsClassifier, flowers(40).assign(care=1.0))


@pytest.mark.parametrize(
    ("care", "words"),
    [
        ([1.0, -2.0, 1.0], "care: 1 rows have no weight of at least 0; row 12: -2"),
        ([1.0, None, np.inf], "care: 2 rows have no weight of at least 0; row 12: nan"),
        ([0.0, 0.0, 0.0], "care: every weight is 0"),
    ],
)
def test_rows_without_a_weight_are_named(care, words):
    with pytest.raises(SlipwayError, match=words):
        weights_of(weighed(), pd.DataFrame({"care": care, "_row": [11, 12, 13]}))


def test_a_weight_that_is_no_number_is_refused():
    with pytest.raises(SlipwayError, match="the weight 'plant' is declared as text; it must be a number"):
        weights_of(weighed(weight="plant"), flowers(3))


@pytest.mark.parametrize("name", ["petals", "kind"])
def test_a_weight_that_is_a_feature_or_the_target_is_refused(name):
    with pytest.raises(SlipwayError, match=f"the weight '{name}' is a feature or the target"):
        weighed(weight=name)
