"""The content of a bundle's `manifest.json`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from slipway.contract import Label

FORMAT = 2
MAX_BUNDLE = 2 << 30  # bytes, which is also the limit of ONNX files

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class File(_Strict):
    """The size in bytes and the SHA-256 of a file."""

    size: Annotated[int, Field(ge=0, le=MAX_BUNDLE)]
    sha256: Digest


class Split(_Strict):
    """A split by time: until when rows were trained on, from when on they were tested on."""

    by: Literal["time", "group_and_time"]
    field: str
    train_until: int | float | str
    test_from: int | float | str


class Features(_Strict):
    """The function in `features.py` that makes the estimator's columns, and the kind of each."""

    function: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
    columns: dict[str, Literal["number", "text"]]


class Decision(_Strict):
    """The decision threshold of a binary classifier: from which probability on the positive class is predicted.

    maximize, costs: the criterion by which it was chosen, see `train.decision` in `params.yaml`.
    """

    positive: str | bool | int
    threshold: Annotated[float, Field(gt=0, lt=1)]
    maximize: Literal["f1", "cost"]
    costs: dict[str, float] | None = None


class Manifest(_Strict):
    """The content of `manifest.json`."""

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    name: str
    kind: Literal["classification", "regression"]
    row: dict[str, Any]
    target: dict[str, Any]
    classes: list[Label]
    runtime: Literal["onnx", "skops"]
    runtime_reason: str
    estimator: str
    versions: dict[str, str]
    data: str
    params: Digest
    split: Split | None = None
    features: Features | None = None
    decision: Decision | None = None
    files: dict[str, File]
