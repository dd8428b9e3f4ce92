"""How a command is made of a function, and the steps that several commands share."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slipway.cli.arithmetic import fix_arithmetic
from slipway.cli.console import stage_line
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from slipway.workspace import Workspace

STARTED = time.perf_counter()


def command(function: Callable[..., str | None]) -> click.Command:
    """Make a command of a function of the workspace; a text that it returns becomes its line, with the seconds.

    Arithmetic is fixed before the function imports NumPy.
    """

    @functools.wraps(function)
    def call(root: Path, **options: Any) -> None:
        fix_arithmetic()
        from slipway.workspace import Workspace

        if text := function(Workspace(root), **options):
            stage_line(function.__name__, text, time.perf_counter() - STARTED)

    return click.command()(click.pass_obj(call))


def require_branch(at: Workspace) -> None:
    """Refuse a detached HEAD."""
    from slipway.versioning import current_branch

    if not current_branch(at.root):
        raise SlipwayError(
            "no branch is checked out here (a detached HEAD), so the commit would be lost: git switch BRANCH first"
        )


def update_mlflow(at: Workspace, digest: str, failed: str, **changes: Any) -> str | None:
    """Change alias or tags of the version in MLflow that is this bundle; give its number. A failure is only printed."""
    from slipway.tracking import update_version

    try:
        version = update_version(at, digest, **changes)
    except SlipwayError as error:
        click.secho(f"{failed}: {error}", fg="yellow", err=True)
        return None
    if version is None:
        click.secho("MLflow does not know this bundle; `slipway track` records the candidate.", fg="yellow", err=True)
    return version
