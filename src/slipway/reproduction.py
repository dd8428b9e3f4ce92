"""Makes the candidate again from the data and compares it, or makes only the tables that it was made of."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from slipway.compile.parity import DisagreementError, Probe, in_batches, largest_difference
from slipway.model.predictor import Predictor
from slipway.problem import SlipwayError
from slipway.problem.files import TEST, TRAIN
from slipway.versioning import LOCK, checkout, dvc_repository, fetch, reproduce
from slipway.workspace import Workspace

ROWS = ("prepare", "validate")  # the stages whose results are the same on every platform


def make_again(workspace: Workspace) -> str:
    """Run every stage again; give a sentence on how far the results are the same. The candidate stays as it was.

    On one platform the bytes are the same. A candidate that was made on another one and fetched from the DVC remote may
    differ in them: then the predictions for the training rows and the test set are compared, within `train.tolerance`.
    Raises SlipwayError if rows or predictions differ.
    """
    lock, judged = workspace.root / LOCK, Predictor.load(workspace.bundle)
    before = lock.read_bytes()
    reproduce(workspace.root, force=True)
    now = lock.read_bytes()
    if now == before:
        return "the same bytes"
    try:
        stages = [yaml.safe_load(text)["stages"] for text in (before, now)]
        if others := [name for name in ROWS if stages[0][name]["outs"] != stages[1][name]["outs"]]:
            other = ", ".join(others)
            raise SlipwayError(f"the same code, data and parameters gave other results of {other} (git diff {LOCK})")
        return _compared(workspace, judged, Predictor.load(workspace.bundle))
    finally:
        lock.write_bytes(before)
        checkout(workspace.root)


def _compared(workspace: Workspace, judged: Predictor, again: Predictor) -> str:
    tolerance, probes = workspace.params.train.tolerance, []
    for kind, name in (("training", TRAIN), ("test", TEST)):
        arrays = judged.contract.arrays(pd.read_parquet(workspace.table / name))
        probes.append(Probe(kind, arrays, in_batches(judged.predict_arrays, arrays)))
    try:
        difference = largest_difference(probes, again.predict_arrays, tolerance)
    except DisagreementError as error:
        raise SlipwayError(
            f"the same code, data and parameters gave {again.version}, not {judged.version}, and it predicts "
            f"otherwise: {error}"
        ) from None
    rows = sum(len(one.expected.values) for one in probes)
    return (
        f"the same predictions, not the same bytes: {again.version} differs from {judged.version} by at most "
        f"{difference:.0e} on {rows:,} rows ({tolerance:g} is allowed), as between platforms"
    )


def complete(root: Path) -> None:
    """Make the tables and the validation of a candidate that came from another machine without them.

    The working directory must be `root`, where DVC looks for stages. Raises SlipwayError if the candidate was made of
    other rows.
    """
    lock = root / LOCK
    if (root / "build/table").exists():
        return
    fetch(root)
    expected = lock.read_bytes()
    with dvc_repository(root) as repository:
        repository.reproduce(list(ROWS))
        for stage in ("train", "evaluate"):
            repository.commit(stage, force=True)
    if lock.read_bytes() != expected:
        raise SlipwayError(f"data and code here do not make the rows that the candidate was made of (git diff {LOCK})")
