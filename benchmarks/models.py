"""What is served in the benchmark: each model as a bundle, as a joblib file and as an MLflow model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import mlflow.sklearn
import numpy as np
import pyarrow as pa

from slipway.compile import compile_estimator
from slipway.contract import Array, Contract, Target, canonical_json
from slipway.model import reference
from slipway.model.bundle import EXAMPLES, MODELS, REFERENCE, write_bundle
from slipway.model.predictor import Predictions
from slipway.model.runtimes import load_runtime
from slipway.model.runtimes.skops import frame
from slipway.problem.params import Train

COLUMNS = 30


@dataclass(frozen=True)
class Served:
    """A model in all its forms, and its training rows."""

    folder: Path
    contract: Contract
    arrays: dict[str, Array]

    def rows(self, count: int) -> list[dict[str, Any]]:
        """Rows to ask about."""
        some = {name: np.resize(values, count) for name, values in self.arrays.items()}
        return self.contract.rows(some)

    def bodies(self, count: int) -> dict[str, tuple[str, str, bytes]]:
        """The same rows in each server's own words: path, content type, body."""
        rows = self.rows(count)
        split = {"columns": list(self.contract.names), "data": [list(row.values()) for row in rows]}
        kind = {"float64": "FP64", "object": "BYTES"}
        tensors = [
            {"name": c.name, "shape": [count, 1], "datatype": kind[c.dtype], "data": [row[c.name] for row in rows]}
            | ({"parameters": {"content_type": "str"}} if c.dtype == "object" else {})
            for c in self.contract.columns
        ]
        one = rows[0] if count == 1 else {"rows": rows}
        return {
            "slipway": ("/predict", JSON, dumped(one)),
            "columns": ("/predict", JSON, dumped({"columns": {c: [row[c] for row in rows] for c in rows[0]}})),
            "arrow": ("/predict", "application/vnd.apache.arrow.stream", stream(pa.Table.from_pylist(rows))),
            "rows": ("/predict", JSON, dumped({"rows": rows})),
            "mlflow": ("/invocations", JSON, dumped({"dataframe_split": split})),
            "mlserver": (
                "/v2/models/peer/infer",
                JSON,
                dumped({"parameters": {"content_type": "pd"}, "inputs": tensors}),
            ),
        }


JSON = "application/json"


def dumped(content: Any) -> bytes:
    """Write compact JSON."""
    return json.dumps(content, separators=(",", ":")).encode()


def stream(table: Any) -> bytes:
    """Write an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def make(
    folder: Path, estimator: Any, contract: Contract, goal: Target, arrays: dict[str, Array], truth: Array
) -> Served:
    """Fit and store a model in all its forms."""
    estimator.fit(frame(arrays), truth)
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(estimator, folder / "model.joblib")
    if not (folder / "mlflow").exists():
        mlflow.sklearn.save_model(estimator, folder / "mlflow", serialization_format="cloudpickle")
    for runtime, compiled in (("onnx", True), ("skops", False)):
        made = compile_estimator(estimator, contract, arrays, goal, Train(compile=compiled))
        running = load_runtime(made.runtime, made.model, classes=len(goal.classes), threads=1)
        golden = contract.rows({name: values[:4] for name, values in arrays.items()})
        answers = Predictions(*running.run(contract.arrays(golden)), goal.classes).as_json()
        manifest = {
            "name": folder.name, "kind": "classification", "row": contract.schema(),
            "target": Contract("Target", (goal.column,)).schema(), "classes": list(goal.classes),
            "runtime": made.runtime, "runtime_reason": made.reason, "estimator": type(estimator).__name__,
            "versions": {"numpy": version("numpy")}, "data": "0" * 64, "params": "0" * 64,
        }  # fmt: skip
        files = {
            MODELS[made.runtime]: made.model,
            REFERENCE: canonical_json(
                {"rows": len(truth), "features": reference.describe(contract, arrays), "predictions": {}}
            ),
            EXAMPLES: canonical_json({"rows": golden, "predictions": answers}),
        }
        write_bundle(folder / runtime / "bundle", manifest, files)
    return Served(folder, contract, arrays)


def shipped(folder: Path) -> Served:
    """The project's own estimator on its own training rows (`slipway run` prepares them)."""
    import pandas as pd

    from slipway.contract import features, target
    from slipway.problem import load_problem

    problem = load_problem()
    rows = pd.read_parquet("build/table/train.parquet").dropna()
    contract, goal = features(problem), target(problem)
    return make(folder, problem.build(), contract, goal, contract.arrays(rows), goal.encode(rows[problem.target]))


def linear(folder: Path) -> Served:
    """A small linear model of 30 numbers."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    number = {"type": "number", "minimum": -100, "maximum": 100}
    names = [f"measure_{n:02d}" for n in range(COLUMNS)]
    schema = {"title": "Measures", "properties": dict.fromkeys(names, number), "required": names}
    classes = {"type": "string", "enum": ["no", "yes"]}
    goal = Target.of(Contract.from_schema({"properties": {"answer": classes}, "required": ["answer"]}).columns[0])
    arrays = {name: random.normal(size=2000).round(6) for name in names}
    truth = (sum(arrays.values()) > 0).astype(np.int64)
    return make(
        folder, make_pipeline(StandardScaler(), LogisticRegression()), Contract.from_schema(schema), goal, arrays, truth
    )
