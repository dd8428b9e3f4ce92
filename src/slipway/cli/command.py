"""The group of all commands, how a command is made of a function, and the steps that several commands share."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slipway.cli.arithmetic import fix_arithmetic
from slipway.cli.console import EXIT_REFUSED, say, stage_line
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from slipway.workspace import Workspace

STARTED = time.perf_counter()


class _Group(click.Group):
    """Lists commands in the order in which they are used, and shows errors meant for a person without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SlipwayError as error:
            say(f"slipway {ctx.invoked_subcommand}: {error}", error=True)
            ctx.exit(EXIT_REFUSED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="slipway")
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The project's folder.")
@click.pass_context
def main(ctx: click.Context, root: Path) -> None:
    """Push code or data; a tested model goes out.

    \b
    Every day:
      slipway run       runs the pipeline where something changed, judges the candidate, records the run
      slipway report    shows the run on one page
      slipway search    finds better parameters of the model
      slipway promote   makes the candidate the champion, the model that serves
      slipway serve     serves the champion over HTTP
      slipway predict   predicts for files

    \b
    Once:
      slipway new TABLE --target COLUMN   makes a project of your own table
      slipway upgrade                     merges the newest release of the template
      slipway remove PART                 removes a part that you do not need: kubernetes, gitlab, ...

    Your problem is declared in src/project, its numbers in params.yaml.
    """
    ctx.obj = root


def command(function: Callable[..., str | None]) -> click.Command:
    """Add a function of the workspace as a command; a text that it returns becomes its line, with the seconds.

    Arithmetic is fixed before the function imports NumPy.
    """

    @functools.wraps(function)
    def call(root: Path, **options: Any) -> None:
        fix_arithmetic()
        from slipway.workspace import Workspace

        if text := function(Workspace(root), **options):
            stage_line(function.__name__, text, time.perf_counter() - STARTED)

    return main.command()(click.pass_obj(call))


def require_branch(at: Workspace) -> None:
    """Refuse a detached HEAD."""
    from slipway.versioning import current_branch

    if not current_branch(at.root):
        raise SlipwayError(
            "no branch is checked out here (a detached HEAD), so the commit would be lost: git switch BRANCH first"
        )


@contextmanager
def only_warned(failed: str) -> Iterator[None]:
    """Print a failure of the record beside the result, which is not one of the command."""
    try:
        yield
    except SlipwayError as error:
        click.secho(f"{failed}: {error}", fg="yellow", err=True)


def update_mlflow(at: Workspace, digest: str, failed: str, **changes: Any) -> None:
    """Change alias or tags of the version in MLflow that is this bundle, if it can be reached and knows it."""
    from slipway.tracking import update_version

    with only_warned(failed):
        if update_version(at, digest, **changes) is None:
            click.secho(
                "MLflow does not know this bundle; `slipway track` records the candidate.", fg="yellow", err=True
            )
