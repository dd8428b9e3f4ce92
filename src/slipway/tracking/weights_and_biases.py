"""A copy of the record in Weights & Biases, for those who look there. MLflow's is the one that counts."""

from __future__ import annotations

import os
from importlib.util import find_spec

from slipway.problem import SlipwayError
from slipway.tracking.record import VERDICT, Record

PROJECT, KEY = "WANDB_PROJECT", "WANDB_API_KEY"
PATIENCE = 30  # seconds
SETTINGS = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}


def wanted() -> bool:
    """Say whether one of its variables is set and `wandb` is installed."""
    return bool(os.environ.get(PROJECT) or os.environ.get(KEY)) and find_spec("wandb") is not None


def mirror(record: Record) -> None:
    """Write parameters, scores, tags and pictures to the run whose id is the candidate's version.

    Raises SlipwayError if the service does not answer.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import wandb

    try:
        with wandb.init(
            project=os.environ.get(PROJECT) or record.name,
            id=record.bundle.version,
            name=record.bundle.version,
            resume="allow",
            config=record.parameters,
            dir=record.workspace.root,
            settings=wandb.Settings(console="off", init_timeout=PATIENCE),
        ) as run:
            run.summary.update(record.metrics | record.tags | {VERDICT: record.verdict})
            run.log({path.stem: wandb.Html(path.read_text("utf-8")) for path in record.pictures})
    except (wandb.Error, OSError) as error:
        raise SlipwayError(f"Weights & Biases: {error}\nMLflow has the record; `slipway track` tries again.") from error
    finally:
        wandb.teardown()  # it leaves a process behind, which would hold a run that failed
