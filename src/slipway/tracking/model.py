"""A bundle as MLflow sees it: its signature, the files of its model, MLflow's own evaluation of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contract import Column, Contract, Target
from slipway.evaluation.metrics import LOWER_IS_BETTER
from slipway.model.bundle import Bundle
from slipway.model.predictor import label_name

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.data.pandas_dataset import PandasDataset
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

CODE = Path(__file__).with_name("pyfunc_model.py")
LIBRARIES = {"onnx": ("onnxruntime",), "skops": ("scikit-learn", "skops")}
# MLflow's name of a score -> ours. Between two classes MLflow's F1 is of one of them, and no macro_f1.
MLFLOW_NAMES = {
    "accuracy_score": "accuracy",
    "f1_score": "macro_f1",
    "r2_score": "r2",
    "mean_absolute_error": "mae",
    "root_mean_squared_error": "rmse",
}


def signature(bundle: Bundle) -> ModelSignature:
    """Derive MLflow's signature from the bundle's contract."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec(_type(c), c.name, required=not c.optional) for c in bundle.contract.columns])
    if not bundle.target.classes:
        return ModelSignature(inputs, Schema([ColSpec("double", "value")]))
    answers = {"label": "boolean" if isinstance(bundle.target.classes[0], bool) else "string"}
    if "probabilities" in bundle.examples["predictions"][0]:
        answers |= {f"probabilities.{label_name(label)}": "double" for label in bundle.target.classes}
    return ModelSignature(inputs, Schema([ColSpec(kind, name) for name, kind in answers.items()]))


def _type(column: Column) -> str:
    """Name MLflow's type. Its integers cannot be missing, so that an optional integer is a double."""
    if column.kind == "integer":
        return "double" if column.optional else "long"
    return {"number": "double", "boolean": "boolean"}.get(column.kind, "string")


def signed_table(contract: Contract, table: Any) -> pd.DataFrame:
    """Make the pandas table that the signature accepts from whatever `Contract.arrays` accepts."""
    import pandas as pd

    rows = pd.DataFrame(contract.rows(contract.arrays(table)), columns=list(contract.names))
    return rows.astype({c.name: "float64" for c in contract.columns if _type(c) == "double"})


def requirements(bundle: Bundle, source: str | None = None) -> list[str]:
    """List what must be installed where the model is loaded. source: where pip finds this very Slipway, if known."""
    names = ("mlflow", "numpy", "pandas", "pydantic", *LIBRARIES[bundle.manifest.runtime])
    return [f"{name}=={version(name)}" for name in names] + ([f"slipway @ {source}"] if source else [])


def save(bundle: Bundle, folder: Path, out: Path, logged: LoggedModel, pip_requirements: list[str]) -> None:
    """Write the files of the logged model to `out`: the bundle in `folder` as it is, and how MLflow runs it."""
    from mlflow import pyfunc
    from mlflow.models import Model

    pyfunc.save_model(
        str(out),
        python_model=str(CODE),
        artifacts={"bundle": str(folder.resolve())},
        model_config={"digest": bundle.digest},
        signature=signature(bundle),
        input_example=signed_table(bundle.contract, [bundle.contract.example]),
        pip_requirements=pip_requirements,
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            run_id=logged.source_run_id,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
        ),
    )


def held_out_rows(
    contract: Contract, goal: Target, table: pd.DataFrame, *, name: str, digest: str, source: Mapping[str, str]
) -> PandasDataset:
    """Make MLflow's data set of the test set. digest: of the data. source: tags that say where it is from."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas

    truth = goal.encode(table[goal.column.name])
    labels = [goal.classes[index] for index in truth] if goal.classes else truth
    rows = signed_table(contract, table).assign(**{goal.column.name: labels})
    return from_pandas(rows, CodeDatasetSource(dict(source)), goal.column.name, name, digest)


def evaluate(model_id: str, goal: Target, rows: PandasDataset) -> None:
    """Let MLflow load the logged model and score it on the test set, into the active run."""
    import matplotlib as mpl
    from mlflow import models, pyfunc

    mpl.use("Agg")  # MLflow draws through pyplot, which would look for a screen
    model = pyfunc.load_model(f"models:/{model_id}")
    answer, kind = ("label", "classifier") if goal.classes else ("value", "regressor")
    models.evaluate(
        lambda table: model.predict(table)[answer],
        rows,
        model_id=model_id,
        model_type=kind,
        evaluators=kind,  # just this one: by default MLflow would explain the model as well, which takes minutes
        evaluator_config={"average": "macro", "label_list": list(goal.classes)} if goal.classes else {},
    )


def fault(thresholds: Mapping[str, float], goal: Target, scores: Mapping[str, float]) -> str | None:
    """Hold MLflow's scores against the thresholds that MLflow can compute; give its words if one is not reached."""
    from mlflow.models.evaluation import EvaluationResult, MetricThreshold
    from mlflow.models.evaluation.validation import ModelValidationFailedException, validate_evaluation_results

    names = {theirs: ours for theirs, ours in MLFLOW_NAMES.items() if theirs in scores and ours in thresholds}
    if len(goal.classes) == 2:
        names.pop("f1_score", None)
    theirs_to_reach = {
        theirs: MetricThreshold(threshold=thresholds[ours], greater_is_better=ours not in LOWER_IS_BETTER)
        for theirs, ours in names.items()
    }
    if not theirs_to_reach:
        return None
    try:
        validate_evaluation_results(theirs_to_reach, EvaluationResult(dict(scores), {}))
    except ModelValidationFailedException as error:
        return str(error)
    return None
