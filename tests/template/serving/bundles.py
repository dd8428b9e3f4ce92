"""Small bundles of each kind, made without the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from slipway.contract import Contract, Target, canonical_json
from slipway.model import reference
from slipway.model.bundle import EXAMPLES, MODELS, REFERENCE, Bundle, write_bundle
from slipway.model.predictor import Predictions, label_name
from slipway.model.runtimes import load_runtime


class Flower(BaseModel):
    """A row with every kind of field, and an optional one before required ones."""

    site: Annotated[Literal["north", "south", "west: far"], Field(examples=["north"])]
    height: Annotated[float, Field(ge=0, le=10, examples=[4.5])]
    shade: Annotated[Literal["none", "full"] | None, Field(description="How much shade")] = None
    leaves: Annotated[int, Field(ge=0, lt=100, examples=[12])]
    potted: Annotated[bool, Field(examples=[False])]
    acidity: Annotated[float | None, Field(gt=0, lt=14)] = None


class Species(BaseModel):
    species: Literal["rose", "lily", "fern"]


class Alive(BaseModel):
    alive: bool


class Weight(BaseModel):
    weight: float


KINDS = {
    "species": (Species, "onnx"),
    "alive": (Alive, "onnx"),
    "weight": (Weight, "onnx"),
    "skops": (Species, "skops"),
}


def flowers(rows: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    """Make arrays of the contract, as `Contract.arrays` gives them."""
    random = np.random.default_rng(seed)
    acidity = random.uniform(1, 13, rows)
    acidity[::7] = np.nan
    return {
        "site": random.choice(np.array(["north", "south", "west: far"], dtype=object), rows),
        "height": random.uniform(0, 10, rows),
        "shade": random.choice(np.array(["none", "full", ""], dtype=object), rows),
        "leaves": random.integers(0, 100, rows).astype(float),
        "potted": random.integers(0, 2, rows).astype(float),
        "acidity": acidity,
    }


def write(folder: Path, target: type[BaseModel] = Species, *, runtime: str = "onnx", name: str = "flowers") -> Bundle:
    """Fit, convert and write a bundle."""
    contract = Contract.from_model(Flower)
    goal = Target.of(Contract.from_model(target).columns[0])
    arrays = flowers()
    estimator = fitted(arrays, goal)
    model = converted(estimator, contract, goal) if runtime == "onnx" else stored(estimator)
    running = load_runtime(runtime, model, classes=len(goal.classes), threads=1)
    predicted = Predictions(*running.run(arrays), goal.classes)
    golden = contract.rows({key: values[:3] for key, values in arrays.items()})
    answers = Predictions(*running.run(contract.arrays(golden)), goal.classes).as_json()
    shares: dict[str, Any] = {}
    if goal.classes:
        counts = np.bincount(predicted.values, minlength=len(goal.classes))
        shares["labels"] = dict(zip(map(label_name, goal.classes), reference.shares(counts), strict=True))
        bins = reference.Bins.between("confidence", reference.CONFIDENCE_EDGES)
        parts = reference.shares(bins.count(predicted.probabilities.max(axis=1)))
        shares["confidence"] = {"labels": list(bins.labels), "edges": list(bins.edges), "shares": parts}
    else:
        bins = reference.Bins.of(goal.column, predicted.values)
        parts = reference.shares(bins.count(predicted.values))
        shares["value"] = {"labels": list(bins.labels), "edges": list(bins.edges), "shares": parts}
    manifest = {
        "name": name,
        "kind": "classification" if goal.classes else "regression",
        "row": contract.schema(),
        "target": Contract("Target", (goal.column,)).schema(),
        "classes": list(goal.classes),
        "runtime": runtime,
        "runtime_reason": "a test's choice",
        "estimator": type(estimator).__name__,
        "versions": {"numpy": np.__version__},
        "data": "d" * 64,
        "params": "0" * 64,
    }
    files = {
        MODELS[runtime]: model,
        REFERENCE: canonical_json(
            {"rows": len(predicted), "features": reference.describe(contract, arrays), "predictions": shares}
        ),
        EXAMPLES: canonical_json({"rows": golden, "predictions": answers}),
    }
    return write_bundle(folder, manifest, files)


def fitted(arrays: dict[str, np.ndarray], goal: Target) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from slipway.model.runtimes.skops import frame

    texts = [name for name, values in arrays.items() if values.dtype == object]
    numbers = [name for name in arrays if name not in (*texts, "acidity")]  # that one is not looked at
    columns = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), texts))
    model = LogisticRegression() if goal.classes else LinearRegression()
    score = arrays["height"] + 3 * (arrays["site"] == "north") + 0.05 * arrays["leaves"]
    truth = score if not goal.classes else np.digitize(score, np.quantile(score, [0.3, 0.7])[: len(goal.classes) - 1])
    return make_pipeline(columns, model).fit(frame(arrays), truth)


def converted(estimator: Any, contract: Contract, goal: Target) -> bytes:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType

    inputs = [(c.name, (DoubleTensorType if c.numeric else StringTensorType)([None, 1])) for c in contract.columns]
    options = {id(estimator): {"zipmap": False}} if goal.classes else None
    return bytes(convert_sklearn(estimator, initial_types=inputs, options=options).SerializeToString())


def stored(estimator: Any) -> bytes:
    import skops.io

    return bytes(skops.io.dumps(estimator))
