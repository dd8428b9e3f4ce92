"""The estimator. Each argument of `build` can be set in `params.yaml`, under `model:`; its type is checked there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def build(*, inverse_regularization: float = 1.0, max_iterations: int = 1000) -> Pipeline:
    """Make the estimator that is fitted: logistic regression over scaled numbers and one-hot categories.

    It receives a table with one column for each feature: numbers as float64 (missing: NaN), categories as
    strings (missing: the empty string, which all its one-hot columns answer with 0), and the target as the index of
    its class.
    """
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    return make_pipeline(columns, LogisticRegression(C=inverse_regularization, max_iter=max_iterations))
