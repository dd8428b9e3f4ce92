"""Models, and what the library `shap` says of them, recorded once: its dependencies are too large for every test run.

In an environment with shap and the project's scikit-learn, `python tests/template/shap_values.py` records anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier

RECORD = Path(__file__).with_suffix(".json")
BACKGROUND, ROWS = slice(0, 12), slice(12, 20)
FEW, MANY = 6, 14  # fields; the sampled explanations are of many

MODELS: dict[str, tuple[Any, int]] = {
    "linear regression": (LinearRegression(), FEW),
    "logistic regression": (LogisticRegression(C=5.0, tol=1e-12, max_iter=10_000), FEW),
    "tree": (DecisionTreeClassifier(max_depth=5, random_state=0), FEW),
    "forest": (RandomForestClassifier(20, max_depth=6, random_state=0), FEW),
    "boosted": (GradientBoostingClassifier(n_estimators=30, random_state=0), FEW),
    "boosted regression": (GradientBoostingRegressor(n_estimators=30, random_state=0), FEW),
    "boosted regression of many fields": (GradientBoostingRegressor(n_estimators=30, random_state=0), MANY),
}


def features(fields: int) -> np.ndarray:
    """Give eighths, shape (300, fields): scikit-learn's trees compare in float32, where these are the same numbers."""
    return (np.random.default_rng(fields).normal(size=(300, fields)) * 8).round() / 8


def fitted(name: str) -> Any:
    """Fit a model: two classes for `boosted`, three for the other classifiers."""
    model, fields = MODELS[name]
    values = features(fields)
    number = values[:, 0] * values[:, 1] + np.abs(values[:, 2]) - values[:, 3] + 0.5 * values[:, 4]
    if hasattr(model, "predict_proba"):
        return model.fit(values, np.digitize(number, [0.5] if name == "boosted" else [-0.5, 1.0]))
    return model.fit(values, number)


def explained(name: str) -> np.ndarray:
    """Ask shap for each row's interventional values, shape (rows, fields): of the predicted class's probability."""
    import shap

    model, values = fitted(name), features(MODELS[name][1])
    background, rows = values[BACKGROUND], values[ROWS]
    if name == "linear regression":
        return np.asarray(shap.LinearExplainer(model, shap.maskers.Independent(background)).shap_values(rows))
    if name in ("logistic regression", "boosted"):  # of their probabilities TreeExplainer rescales those of the margin
        exact = shap.explainers.Exact(model.predict_proba, shap.maskers.Independent(background))
        found = exact(rows).values
    else:
        output = "probability" if hasattr(model, "predict_proba") else "raw"
        found = shap.TreeExplainer(model, background, model_output=output).shap_values(rows)
    if not hasattr(model, "predict_proba"):
        return np.asarray(found)
    to = model.predict(rows)
    if found.ndim == 2:  # of two classes those of the second
        return np.where(to[:, None] == 1, found, -found)
    return np.stack([one[:, number] for one, number in zip(found, to, strict=True)])


if __name__ == "__main__":
    import shap

    values = {name: explained(name).round(12).tolist() for name in MODELS}
    RECORD.write_text(json.dumps({"shap": shap.__version__, "values": values}, separators=(",", ":")) + "\n")
