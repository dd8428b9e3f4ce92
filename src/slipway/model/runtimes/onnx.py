"""Runs `model.onnx` with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

from slipway.contract import Array
from slipway.model import words
from slipway.model.runtimes import Output


class OnnxRuntime:
    """An ONNX Runtime session whose inputs are the contract's columns, and terms of texts; each of shape (rows, 1)."""

    def __init__(self, model: bytes, *, classes: int, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait do not compute: they would take the time of those that read, check and write meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # errors are raised
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        splitters = words.load(self._session.get_modelmeta().custom_metadata_map)
        self._terms = {name: (one.column, one.split()) for name, one in splitters.items()}
        self._inputs = [item.name for item in self._session.get_inputs() if item.name not in self._terms]
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = 4
        self._classes = classes

    def run(self, arrays: Mapping[str, Array]) -> Output:
        """Predict from the contract's arrays."""
        inputs = {name: arrays[name].reshape(-1, 1) for name in self._inputs}
        for name, (column, split) in self._terms.items():
            terms = [words.joined(split(text)) for text in arrays[column]]
            inputs[name] = np.array(terms, dtype=object).reshape(-1, 1)
        outputs = self._session.run(None, inputs, self._run_options)
        if not self._classes:
            return Output(np.asarray(outputs[0], dtype=np.float64).reshape(-1), None)
        values = np.asarray(outputs[0], dtype=np.int64).reshape(-1)
        return Output(values, np.asarray(outputs[1], dtype=np.float64) if len(outputs) > 1 else None)

    def stop(self) -> None:
        """End a run in another thread with an error; the session cannot run again."""
        self._run_options.terminate = True


load = OnnxRuntime  # see `slipway.model.runtimes.load_runtime`
