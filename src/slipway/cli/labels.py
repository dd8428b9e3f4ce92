"""The command `labels`: predictions that were kept, joined with the truth."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from slipway.cli.command import command, update_mlflow
from slipway.cli.console import table

if TYPE_CHECKING:
    from slipway.workspace import Workspace

FOLDER = "SLIPWAY_PREDICTIONS"


@command
@click.argument("truth", required=False)
@click.option("--on", multiple=True, metavar="KEY", help="Join by this field instead of the id; may be repeated.")
@click.option("--predictions", envvar=FOLDER, help=f"Folder or URL of the kept predictions; or ${FOLDER}.")
@click.option("--learn/--no-learn", default=True, help="Write new rows to learn from into data/live.")
@click.option("--trusted", is_flag=True, help="Learn even if every truth equals the prediction.")
@click.option("--track/--no-track", default=True, help="Write the scores to the champion's version in MLflow.")
def labels(
    at: Workspace,
    truth: str | None,
    on: tuple[str, ...],
    predictions: str | None,
    learn: bool,
    trusted: bool,
    track: bool,
) -> None:
    """Join kept predictions with their truth: scores, new rows.

    TRUTH is a CSV, Parquet or Arrow file, a folder of such files, or a glob in quotes. It needs two columns: `id` (or
    `prediction_id`), which came with the prediction, and the target under its name (or `truth`). Without TRUTH the
    feedback is taken that was sent to /feedback. Fields that a request does not have, such as the group, and private
    fields may be further columns.

    \b
      export SLIPWAY_PREDICTIONS=s3://bucket/kept
      slipway labels                            the feedback
      slipway labels truth.csv                  columns: id,sex,individual,season,sample
      slipway labels orders.parquet --on order  joined by a feature; the newest prediction counts

    The scores go to build/live.json, the report and MLflow. A truth that cannot be used (late, foreign, contradictory,
    given twice) is counted, and listed in build/live/listed.csv. Complete rows are written to data/live, each once;
    `slipway run` trains on them. `slipway gate --live` compares champion and shadow.
    """
    from slipway.feedback import label

    if not predictions:
        raise click.UsageError(f"where are the predictions? --predictions FOLDER, or ${FOLDER} as the service has it")
    found = label(at, truth, predictions, on=on, learn=learn, trusted=trusted)
    _show(found, learn)
    if track:
        from slipway.champion import read_decision

        if champion := read_decision(at.root):
            update_mlflow(at, champion.digest, "not recorded", tags=_tags(found))


def _show(found: dict[str, Any], asked: bool) -> None:
    from slipway.feedback import RULES

    rows = [("joined", found["joined"], "scored, each once", "")]
    rows += [(rule, count, RULES[rule], found["examples"][rule]) for rule, count in found["counts"].items()]
    table(f"Truths from {found['truth']}", ("", "rows", "rule", "such as"), rows)
    if found["counts"]:
        click.echo(f"Each is listed in {found['listed']}.")
    columns = [f"{one['version']}, {one['role']}, {one['rows']:,} rows" for one in found["models"]]
    names = dict.fromkeys(name for one in found["models"] for name in one["scores"])
    scores = [(name, *(_written(one["scores"].get(name)) for one in found["models"])) for name in names]
    table("Live scores", ("", *columns), scores)
    learn = found["learn"]
    if learn["part"]:
        click.echo(f"{learn['rows']:,} new rows to learn from: {learn['part']}. `slipway run` trains with them.")
        moved = [name for name, one in learn["drift"].items() if one["psi"] > one["limit"]]
        click.echo(f"Moved since the champion's training: {', '.join(moved) or 'nothing'}.")
    elif learn["own_answers"]:
        click.secho(
            "No row to learn from: the truth is the model's answer each time, more often than its own probabilities "
            "allow. A model must not learn from itself; if these truths are the world's, --trusted takes them.",
            fg="yellow",
        )
    elif asked:
        click.echo("No new row to learn from.")


def _written(score: dict[str, float] | None) -> str:
    return f"{score['value']:.4g} ({score['low']:.4g} to {score['high']:.4g})" if score else ""


def _tags(found: dict[str, Any]) -> dict[str, str]:
    """Write the champion's live scores as tags of its version."""
    tags = {"slipway.labels.time": found["time"], "slipway.labels.joined": str(found["joined"])}
    for model in found["models"]:
        if model["role"] == "champion":
            tags["slipway.labels.rows"] = str(model["rows"])
            for name, one in model["scores"].items():
                tags["slipway.labels." + re.sub(r"[^\w.-]", "_", name)] = _written(one)
    return tags
