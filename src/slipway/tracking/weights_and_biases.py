"""A copy of the record in Weights & Biases, for teams that look there; MLflow's record is the one that counts."""

from __future__ import annotations

import os
from importlib.util import find_spec

from slipway.problem import SlipwayError
from slipway.tracking.record import VERDICT, Record

PROJECT, KEY = "WANDB_PROJECT", "WANDB_API_KEY"
TIMEOUT_SECONDS = 30


def wanted() -> bool:
    """Whether one of the two variables is set and `wandb` is installed."""
    return bool(os.environ.get(PROJECT) or os.environ.get(KEY)) and find_spec("wandb") is not None


def mirror(record: Record) -> None:
    """Write parameters, scores, tags and plots to the run whose id is the candidate's version.

    Raises SlipwayError if the service does not answer.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    name, project = record.bundle.version, os.environ.get(PROJECT) or record.name
    settings = wandb.Settings(console="off", silent=True, init_timeout=TIMEOUT_SECONDS)
    root, config = record.workspace.root, record.parameters
    try:
        with wandb.init(
            project=project, id=name, name=name, resume="allow", config=config, dir=root, settings=settings
        ) as run:
            run.summary.update(record.metrics | record.tags | {VERDICT: record.verdict})
            run.log({path.stem: wandb.Html(path.read_text("utf-8")) for path in record.files if path.suffix == ".svg"})
    except (wandb.Error, OSError) as error:
        raise SlipwayError(f"Weights & Biases: {error}\nMLflow has the record; `slipway track` tries again.") from error
    finally:
        wandb.teardown()  # ends the process that it started, which would hold a run that failed
