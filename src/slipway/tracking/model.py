"""The bundle as a model of MLflow: signature, requirements, and MLflow's own evaluation of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from slipway.contract import Column, Contract
from slipway.evaluation.metrics import lower_is_better
from slipway.model.bundle import Bundle
from slipway.model.predictor import label_name
from slipway.problem.files import SOURCE, TEST
from slipway.tracking.record import COMMIT, REPOSITORY, Record

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CODE = Path(__file__).with_name("pyfunc_model.py")
LIBRARIES = {"onnx": ("onnxruntime",), "skops": ("scikit-learn", "skops")}
# Our name of a score -> MLflow's.
SCORES = {
    "accuracy": "accuracy_score",
    "macro_f1": "f1_score",
    "r2": "r2_score",
    "mae": "mean_absolute_error",
    "rmse": "root_mean_squared_error",
    "mape": "mean_absolute_percentage_error",
}


def signature(bundle: Bundle) -> ModelSignature:
    """Derive MLflow's signature from the bundle's contract."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec(_type(c), c.name, required=not c.optional) for c in bundle.contract.columns])
    answers = {"value": "double"}
    if labels := bundle.target.classes:
        answers = {"label": {bool: "boolean", int: "long"}.get(type(labels[0]), "string")}
        if "probabilities" in bundle.examples["predictions"][0]:
            answers |= {f"probabilities.{label_name(label)}": "double" for label in labels}
    return ModelSignature(inputs, Schema([ColSpec(kind, name) for name, kind in answers.items()]))


def _type(column: Column) -> str:
    """Give MLflow's type. Its integers cannot be missing, so that an optional integer is a double."""
    if column.kind == "integer":
        return "double" if column.optional else "long"
    return {"number": "double", "boolean": "boolean"}.get(column.kind, "string")


def signed_table(contract: Contract, table: Any) -> pd.DataFrame:
    """Make a table that the signature accepts from anything that `Contract.arrays` accepts."""
    rows = pd.DataFrame(contract.rows(contract.arrays(table)), columns=list(contract.names))
    return rows.astype({c.name: "float64" for c in contract.columns if _type(c) == "double"})


def log_model(record: Record) -> str:
    """Log the bundle, as it is, as the model of the active run; give the model's id."""
    from mlflow import pyfunc

    runtime, versions = record.bundle.manifest.runtime, record.bundle.manifest.versions
    names = dict.fromkeys(("mlflow", "numpy", "pandas", "pydantic", *LIBRARIES[runtime]))
    names |= dict.fromkeys(versions if runtime == "skops" else ())  # with the estimator's own library
    logged = pyfunc.log_model(
        name="model",
        python_model=str(CODE),
        artifacts={"bundle": str(record.workspace.bundle.resolve())},
        model_config={"digest": record.bundle.digest},
        signature=signature(record.bundle),
        input_example=signed_table(record.bundle.contract, [record.bundle.contract.example]),
        pip_requirements=[f"{name}=={version(name)}" for name in names] + ([record.slipway] if record.slipway else []),
        tags=record.tags,
    )
    return str(logged.model_id)


def evaluate(record: Record, model_id: str) -> None:
    """Let MLflow load the logged model and score it on the test set, in the active run."""
    import matplotlib as mpl
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas

    workspace, target = record.workspace, record.workspace.target
    table = pd.read_parquet(workspace.table / TEST)
    truth = target.encode(table[target.column.name])
    labels = [target.classes[index] for index in truth] if target.classes else truth
    rows = signed_table(record.bundle.contract, table).assign(**{target.column.name: labels})
    source = {"mlflow.source.name": "data.dvc"} | {k: v for k, v in record.tags.items() if k in (COMMIT, REPOSITORY)}
    digest = workspace.read(workspace.table / SOURCE)["data"]
    data = from_pandas(rows, CodeDatasetSource(source), target.column.name, record.name, digest)
    mlflow.log_input(data, context="test set")
    mpl.use("Agg")  # MLflow draws through pyplot, which would look for a screen
    model = mlflow.pyfunc.load_model(f"models:/{model_id}")
    answer, kind = ("label", "classifier") if target.classes else ("value", "regressor")
    mlflow.models.evaluate(
        lambda table: model.predict(table)[answer],
        data,
        model_id=model_id,
        model_type=kind,
        evaluators=kind,  # the default evaluators would explain the model as well, which takes minutes
        evaluator_config={"average": "macro", "label_list": list(target.classes)} if target.classes else {},
    )


def validate(record: Record, scores: Mapping[str, float]) -> str:
    """Compare MLflow's scores with the gate's thresholds, as far as MLflow has them: "passed", or MLflow's words."""
    from mlflow.models.evaluation import EvaluationResult, MetricThreshold
    from mlflow.models.evaluation.validation import ModelValidationFailedException, validate_evaluation_results

    limits = {
        SCORES[ours]: MetricThreshold(threshold=limit, greater_is_better=not lower_is_better(ours))
        for ours, limit in record.workspace.params.gate.thresholds.items()
        if SCORES.get(ours) in scores
        # Of two classes MLflow's F1 is that of one, not the mean of both.
        and not (ours == "macro_f1" and len(record.workspace.target.classes) == 2)
    }
    try:
        validate_evaluation_results(limits, EvaluationResult(dict(scores), {}))
    except ModelValidationFailedException as error:
        return str(error)
    return "passed"
