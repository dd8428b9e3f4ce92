"""The code that MLflow runs when it loads a logged model ("models from code"): this file is copied beside the bundle.

Nothing is pickled. Slipway must be installed where the model is loaded: its predictor verifies before it parses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from slipway.model.predictor import Predictor, label_name


class BundleModel(PythonModel):
    """A bundle that answers MLflow's callers as the service answers its own."""

    def load_context(self, context: PythonModelContext) -> None:
        """Verify and load the bundle. Raises BundleError if it is not the one that was logged."""
        self.predictor = Predictor.load(Path(context.artifacts["bundle"]), expected=context.model_config["digest"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Answer each row: `label` and `probabilities.CLASS` for every class; in a regression `value`.

        This is what `pandas.json_normalize` makes of the service's answers, with the input's index.
        """
        del context, params
        answers = self.predictor.predict(model_input)
        columns: dict[str, Any] = {"label" if answers.classes else "value": answers.labels}
        if answers.probabilities is not None:
            names = [f"probabilities.{label_name(label)}" for label in answers.classes]
            columns |= dict(zip(names, answers.probabilities.T, strict=True))
        return pd.DataFrame(columns, index=model_input.index)


set_model(BundleModel())
