"""A predictor in a process of its own, so that a model that crashes, hangs or fills the memory harms only itself.

A thread would do for a model that is well, but a crash in ONNX Runtime or an endless loop would take the server along.
The process gets a low priority and a limit on its memory, and it ends with whoever started it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple

from slipway.contract import Array
from slipway.model.limits import memory_limit
from slipway.model.predictor import SECONDS, Predictions, Predictor
from slipway.problem import SlipwayError

MEMORY = 256 << 20  # bytes beyond those after loading
ANSWER_SECONDS = 10.0
NICE = 10


class Answer(NamedTuple):
    """An answer, the seconds that it took, and the CPU seconds of the process since the last one; or an error."""

    predictions: Predictions | None
    seconds: float
    cpu: float
    error: str = ""


class PredictorProcess:
    """Starts the process and asks it."""

    def __init__(self, folder: Path, digest: str) -> None:
        self._connection, theirs = Pipe()
        number = theirs.fileno()
        # Not by `-m`: as `__main__` the module's classes would be others than here.
        command = [sys.executable, "-c", f"import {__name__} as it; it.main()", str(number), str(folder), digest]
        # In a session of its own: Ctrl-C is for the server, which ends this one itself.
        self._process = subprocess.Popen(command, pass_fds=[number], start_new_session=True)  # noqa: S603  (ours)
        theirs.close()

    def load(self) -> None:
        """Wait until the bundle is loaded. Raises SlipwayError if it was refused, crashed, or took too long."""
        if error := self._receive(2 * SECONDS):
            raise SlipwayError(str(error))

    def predict(self, arrays: Mapping[str, Array], seconds: float = ANSWER_SECONDS) -> Answer:
        """Predict for the contract's arrays. Raises SlipwayError if the process crashed or takes too long."""
        try:
            self._connection.send(dict(arrays))
        except OSError:
            raise self._ended() from None
        answer: Answer = self._receive(seconds)  # type: ignore[assignment]
        return answer

    def close(self) -> None:
        """End the process at once; from any thread."""
        self._process.kill()
        self._process.wait()

    def _receive(self, seconds: float) -> Answer | str | None:
        try:
            if not self._connection.poll(seconds):
                raise SlipwayError(f"it hangs: no answer within {seconds:g} seconds")
            got: Answer | str | None = self._connection.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        return got

    def _ended(self) -> SlipwayError:
        self.close()
        return SlipwayError(f"its process ended with status {self._process.returncode}")


def serve(connection: Connection, folder: Path, digest: str) -> None:
    """Load the bundle, say so (None, or why not), and answer until the other end is closed."""
    try:
        predictor = Predictor.load(folder, expected=digest)
    except SlipwayError as error:
        connection.send(str(error))
        return
    connection.send(None)
    spent = process_time()
    with memory_limit(MEMORY):
        while True:
            try:
                arrays = connection.recv()
            except EOFError:
                return
            started = perf_counter()
            try:
                predictions, error_text = predictor.predict_arrays(arrays), ""
            except Exception as error:  # noqa: BLE001  (each runtime has its own errors)
                predictions, error_text = None, f"{type(error).__name__}: {error}"[:300]
            seconds, before, spent = perf_counter() - started, spent, process_time()
            connection.send(Answer(predictions, seconds, spent - before, error_text))


def main() -> None:
    """Serve as the command line says: the connection's descriptor, the folder, the digest."""
    os.nice(NICE)
    serve(Connection(int(sys.argv[1])), Path(sys.argv[2]), sys.argv[3])
