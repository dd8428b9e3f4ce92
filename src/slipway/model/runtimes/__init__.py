"""Runtimes for model files. Only the one that a bundle names is imported, so a server installs just that one."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from slipway.contract import Array
from slipway.problem import SlipwayError


class Output(NamedTuple):
    """A model's output for n rows of k classes.

    values: class indices, int64, shape (n,); in a regression the values, float64, shape (n,).
    probabilities: float64, shape (n, k); None in a regression and for a classifier that has none.
    """

    values: Array
    probabilities: Array | None


class Runtime(Protocol):
    """A loaded model."""

    def run(self, arrays: Mapping[str, Array]) -> Output:
        """Predict from the contract's arrays, all of one length n > 0."""

    def stop(self) -> None:
        """End a run in another thread with an error, if the library can."""


# ONNX Runtime sends telemetry unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def load_runtime(name: Literal["onnx", "skops"], model: bytes, *, classes: int, threads: int) -> Runtime:
    """Load a verified model file's bytes. Raises SlipwayError if this runtime's packages are not installed."""
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise SlipwayError(
            f"this bundle needs the runtime {name!r}, and {error.name} is not installed: pip install 'slipway[{name}]'"
        ) from None
    runtime: Runtime = module.load(model, classes=classes, threads=threads)
    return runtime
