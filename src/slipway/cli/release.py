"""Commands that change or list the champion: promote, rollback, release, pin, propose, history."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from slipway.cli.command import command, require_branch, update_mlflow
from slipway.cli.console import output, say, table

if TYPE_CHECKING:
    from slipway.champion import Decision
    from slipway.release import Published, Remote
    from slipway.workspace import Workspace


@command
@click.option("--force", is_flag=True, help="Overrule a verdict that is not PROMOTE; needs --reason.")
@click.option("--reason", help="Why the verdict is overruled; it is recorded.")
def promote(at: Workspace, force: bool, reason: str | None) -> None:
    """Make the candidate the champion, with one commit.

    It needs a PROMOTE verdict on exactly this candidate and this champion. It updates champion.dvc, pushes to the DVC
    remote, and commits. `git push` then releases the model.
    """
    from slipway.champion import serving_now
    from slipway.release import promote as make

    if force and not reason:
        raise click.UsageError("--force needs --reason TEXT: it is recorded")
    if reason and not force:
        raise click.UsageError("--reason goes with --force; a PROMOTE verdict is its own reason")
    require_branch(at)
    decision = make(at, force_reason=reason)
    if decision is None:
        click.echo("The candidate is the champion already.")
        decision = serving_now(at.root)
    else:
        click.echo(f"{decision.version} is the champion now, instead of {decision.previous or 'none'}.")
    if decision:
        _point_alias(at, decision)  # also where an earlier call was interrupted before it


def _to_remote(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where a release goes, as one `remote`."""

    @click.option("--branch", envvar="BRANCH", help="Branch to push to, by default the present one; or $BRANCH.")
    @click.option(
        "--remote", envvar="REMOTE", default="origin", show_default=True, help="Git remote to push to; or $REMOTE."
    )
    @click.option(
        "--by",
        envvar="RELEASE_BY",
        type=click.Choice(["push", "pull-request"]),
        default="push",
        show_default=True,
        help="Push the commit, or propose it for a protected branch; or $RELEASE_BY.",
    )
    @functools.wraps(function)
    def wrapped(*arguments: Any, branch: str | None, remote: str, by: str, **options: Any) -> None:
        from slipway.release import Remote

        function(*arguments, remote=Remote(remote, branch, by == "pull-request"), **options)

    return wrapped


@command
@click.option("--image", envvar="PIN_IMAGE", help="Image of the last commit, name@sha256:...; or $PIN_IMAGE.")
@_to_remote
def release(at: Workspace, image: str | None, remote: Remote) -> None:
    """Release the judged candidate in one commit and one push.

    If the verdict is PROMOTE, the candidate becomes the champion, staging and production are pinned to the image, and
    the tag model/<version> is added. If there is nothing to release, it does nothing. Call it again to complete an
    interrupted call.
    """
    from slipway.champion import serving_now
    from slipway.release import publish

    before = serving_now(at.root)
    _report(publish(at, remote, image))
    now = serving_now(at.root)
    if now and now != before:
        _point_alias(at, now)


@command
@click.argument("version", required=False, envvar="VERSION")
@click.option("--reason", envvar="REASON", default="rolled back by hand", show_default=True, help="It is recorded.")
@click.option("--push", is_flag=True, help="Push the commit (--by pull-request: propose it).")
@_to_remote
def rollback(at: Workspace, version: str | None, reason: str, push: bool, remote: Remote) -> None:
    """Make an earlier champion serve again, with one commit.

    The model and its image are restored byte for byte. VERSION is one that `slipway history` lists, by default the
    previous one. The version that is rolled back can be promoted again only with --force.
    """
    from slipway.champion import serving_now
    from slipway.release import publish_rollback
    from slipway.release import rollback as make

    if push:
        _report(publish_rollback(at, remote, version, reason))
        decision = serving_now(at.root)
    else:
        require_branch(at)
        decision = make(at, version, reason=reason)
        click.echo(f"{decision.version} is the champion again, instead of {decision.previous}.")
    if decision:
        _point_alias(at, decision)


@command
@_to_remote
def propose(at: Workspace, remote: Remote) -> None:
    """Propose the candidate and its data in a pull request.

    The branch is retrain/<version>, the text is the report. If there is nothing new, it does nothing. `make retrain`
    fetches the data, runs the pipeline and calls this.
    """
    from slipway.release import propose_candidate

    _report(propose_candidate(at, remote))


@command
@click.argument("overlay")
@click.argument("image")
@click.argument("version")
@click.argument("commit")
def pin(at: Workspace, overlay: str, image: str, version: str, commit: str) -> None:
    """Pin the image that an overlay of k8s/overlays deploys.

    A release does so for staging and production. IMAGE is name@sha256:..., VERSION the version of the model in it,
    COMMIT the commit that it was built from.
    """
    from slipway.champion import Pin, write_pin

    click.echo(write_pin(at.root, overlay, Pin(image, version, commit)))


def _report(done: Published) -> None:
    say(done.said)
    output(commit=done.commit, tag=done.tag)


def _point_alias(at: Workspace, decision: Decision) -> None:
    update_mlflow(at, decision.digest, "MLflow's alias was not moved", alias="champion")


@command
def history(at: Workspace) -> None:
    """List the releases: when, from, to, score, reason, who.

    Git is the only source, so a clone is enough.
    """
    from slipway.champion import history as releases

    rows = []
    for one, _, when in releases(at.root):
        scores = ", ".join(f"{name} {value:.4g}" for name, value in list(one.scores.items())[:2])
        steps = (when[:16].replace("T", " "), one.action, one.previous or "-", one.version)
        rows.append((*steps, scores, one.reason, one.who))
    if rows:
        table("Releases, newest first", ("when", "action", "from", "to", "score", "reason", "who"), rows)
    else:
        click.echo("Nothing was released yet. `slipway run`, then `slipway promote`.")
