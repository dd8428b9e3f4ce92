"""Commands that decide what serves: promote, rollback, history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.cli.console import show_history
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from slipway.workspace import Workspace


@click.command()
@click.option("--force", is_flag=True, help="Overrule a verdict that is not PROMOTE; needs --reason.")
@click.option("--reason", help="Why the verdict is overruled; it is recorded.")
@click.pass_obj
def promote(root: Path, force: bool, reason: str | None) -> None:
    """Make the candidate the champion, with one commit.

    Refuses anything but a PROMOTE verdict of just this candidate and this champion. Moves champion.dvc, pushes to the
    DVC remote, commits. `git push` then releases it.
    """
    from slipway.release import promote as release
    from slipway.workspace import Workspace

    if force and not reason:
        raise click.UsageError("--force needs --reason TEXT: it is recorded")
    if reason and not force:
        raise click.UsageError("--reason goes with --force; a PROMOTE verdict is its own reason")
    workspace = Workspace(root)
    decision = release(workspace, force_reason=reason)
    if decision is None:
        click.echo("The candidate is the champion already.")
        return
    click.echo(f"{decision.version} is the champion now, instead of {decision.previous or 'none'}.")
    _point_alias(workspace, decision.digest)


@click.command()
@click.argument("version", required=False)
@click.option("--reason", default="rolled back by hand", show_default=True, help="Why; it is recorded.")
@click.pass_obj
def rollback(root: Path, version: str | None, reason: str) -> None:
    """Make an earlier champion serve again, byte for byte, with one commit.

    VERSION is one that `slipway history` lists; by default the one that served before. What is rolled back is not
    promoted again unless asked.
    """
    from slipway.release import rollback as release
    from slipway.workspace import Workspace

    workspace = Workspace(root)
    decision = release(workspace, version, reason=reason)
    click.echo(f"{decision.version} is the champion again, instead of {decision.previous}.")
    _point_alias(workspace, decision.digest)


def _point_alias(workspace: Workspace, digest: str) -> None:
    from slipway.tracking import update_version

    try:
        version = update_version(workspace, digest, alias="champion")
    except SlipwayError as error:
        click.secho(f"MLflow's alias was not moved: {error}", fg="yellow", err=True)
        return
    if version is None:
        click.echo("MLflow does not know this bundle; `slipway track` records it.")


@click.command()
@click.pass_obj
def history(root: Path) -> None:
    """List what was released, as Git recorded it: when, from, to, score, reason, who."""
    from slipway.champion import history as releases

    found = releases(root)
    if found:
        show_history(found)
    else:
        click.echo("Nothing was released yet. `slipway run`, then `slipway promote`.")
