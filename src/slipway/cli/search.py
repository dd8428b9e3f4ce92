"""The command `search`: better parameters of the model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from slipway.cli.command import command, only_warned
from slipway.cli.console import stage_line, table
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from slipway.search import Found
    from slipway.workspace import Workspace


@command
@click.option("--apply", is_flag=True, help="Write the best parameters into params.yaml, which must be committed.")
@click.option(
    "--storage",
    envvar="SLIPWAY_SEARCH_STORAGE",
    metavar="FILE|URL",
    help="A file or postgresql://... that keeps the trials; or $SLIPWAY_SEARCH_STORAGE. By default in build/search.",
)
@click.option("--join", is_flag=True, help="Join the search as one more worker; shows no result.")
@click.option("--track/--no-track", default=True, help="Record the trials in MLflow.")
def search(at: Workspace, apply: bool, storage: str | None, join: bool, track: bool) -> None:
    """Search for better parameters of the model.

    Each set of parameters is scored by cross-validation on the training rows. The section `search` of params.yaml names
    the arguments of `build` and their ranges:

    \b
      search:
        arguments:
          inverse_regularization: {float: [0.01, 100], log: true}
          max_iterations: {int: [100, 2000], step: 100}
        trials: 50         # and minutes, metric, folds, pruning

    \b
      slipway search           runs the trials, shows the change of params.yaml
      slipway search --apply   makes that change; `slipway run` then judges it
      slipway search --join    in other terminals: more workers of the same study

    An interrupted search continues where it stopped. The test set is never read, so that the gate can judge by it.
    """
    if find_spec("optuna") is None:
        raise SlipwayError("it needs Optuna: pip install 'slipway[search]'")
    from slipway.search import result, run
    from slipway.versioning import require_committed

    if apply:
        require_committed(at.root, result.PARAMS)
    done = run(at, storage, joins=join, say=lambda text: stage_line("trial", text))
    if done is None:
        click.echo("This worker is done; `slipway search` with the same storage shows the result.")
        return
    found, trials = done
    files = result.write(at, found, trials)
    _show(found)
    if track:
        from slipway.tracking.searches import record_search

        with only_warned("not recorded"):
            stage_line("track", f"MLflow run {record_search(at, found.study, found.metric, trials, files)}")
    _propose(at, found, apply)


def _propose(at: Workspace, found: Found, apply: bool) -> None:
    """Show the change of params.yaml, if there is a better one, or make it."""
    from slipway.evaluation.intervals import direction
    from slipway.search import result

    text, lines = result.proposed(at.root, found)
    change = found.value - found.before
    if not lines or direction(found.metric, change, change) != "better":
        click.echo("Nothing better than params.yaml was found.")
    elif apply:
        result.apply(at.root, text)
        click.echo(f"{lines}Written to params.yaml; `slipway run` judges it.")
    else:
        click.echo(f"{lines}`slipway search --apply` writes this; the gate then judges it as any change.")


def _show(found: Found) -> None:
    """Print the result."""
    rows = [
        ("trials", ", ".join(f"{count} {state}" for state, count in found.trials.items())),
        (f"best {found.metric}", f"{found.value:.4g}, in cross-validation"),
        ("with params.yaml", f"{found.before:.4g}"),
        *((f"importance of {name}", f"{share:.0%}") for name, share in found.importance.items()),
    ]
    table(f"Study {found.study}", ("what", "found"), rows)
