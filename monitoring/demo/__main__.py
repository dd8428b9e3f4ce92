"""Makes a scratch copy of this repository and goes once around the loop in it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import click

from demo.birds import Traffic
from demo.picture import draw
from demo.processes import call, program
from demo.service import Service
from demo.turn import Turn
from demo.watch import watching
from slipway.problem import SlipwayError
from slipway.workspace import Workspace

ROOT = Path(__file__).parents[2]
EXAMPLE = "penguins"


@click.command()
def main() -> None:
    """Serve, drift, alert, truth, retrain, shadow, promote: the loop turns once, in a scratch copy of this repository.

    It takes two minutes, and needs Prometheus and Alertmanager. It makes build/demo anew, and touches nothing else.
    """
    try:
        _turn(ROOT / "build/demo")
    except SlipwayError as error:
        raise click.ClickException(str(error)) from None


def _turn(folder: Path) -> None:
    """Set all up, go around, draw the picture."""
    program("prometheus"), program("alertmanager", "prometheus-alertmanager")
    if (name := Workspace(ROOT).problem.name) != EXAMPLE:
        raise SlipwayError(f"the demo is about the template's own {EXAMPLE}, and this repository is about {name}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    checkout = _copy(folder / "checkout")
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(contextlib.closing(Service(checkout, folder, folder / "kept")))
        service.roll_over()
        watch = stack.enter_context(watching(folder, service.scraped))
        traffic = Traffic(checkout, service)
        turn = Turn(checkout, folder / "truth.csv", service, traffic, watch)
        stack.callback(traffic.stop)
        turn.run()
        if traffic.failed:
            raise SlipwayError(f"{len(traffic.failed)} requests got no answer, such as {traffic.failed[0]}")
        turn.say(f"Every request was answered. The picture of it all: {draw(turn, folder / 'turn.png')}")


def _copy(checkout: Path) -> Path:
    """Clone this repository's last commit, with its data and its champion; nothing can be pushed from there."""
    click.echo(f"A scratch copy of this repository, {checkout}: the checkout that you work in stays as it is.")
    call("git", "clone", "--quiet", str(ROOT), str(checkout), folder=ROOT)
    call("git", "remote", "remove", "origin", folder=checkout)
    for key, value in (("user.name", "Demo"), ("user.email", "demo@example.org")):
        call("git", "config", key, value, folder=checkout)
    call("dvc", "pull", "--quiet", "data.dvc", "champion.dvc", folder=checkout)
    return checkout


if __name__ == "__main__":
    main()
