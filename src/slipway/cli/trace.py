"""The command that asks where a model came from, and what came of a commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from slipway.deployed import Deployment
    from slipway.trace import CommitTrace, ModelTrace
    from slipway.trace.record import Commit, Step

SHORT = 12  # digits of a commit that are shown


@click.command()
@click.argument("what", metavar="VERSION|DIGEST|TAG|COMMIT")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, for machines.")
@click.pass_obj
def trace(root: Path, what: str, as_json: bool) -> None:
    """Walk from a model back to all that made it, or from a commit forward.

    \b
    VERSION  of a model, as each answer of the service names it, or its start (at least 6 digits)
    DIGEST   of a bundle, or of an image that an overlay pins
    TAG      model/<version>
    COMMIT   any revision of Git: what was released of it, and where it is deployed

    What could be a version and a commit is the version; COMMIT^0 says that the commit is meant. Git alone is asked, so
    that a clone is enough, and nothing needs to be pulled.
    """
    from dataclasses import asdict

    from slipway.trace import ModelTrace
    from slipway.trace import trace as find

    found = find(root, what)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False))
    elif isinstance(found, ModelTrace):
        _show_model(found)
    else:
        _show_commit(found)


def _show_model(found: ModelTrace) -> None:
    at_hand = found.candidate and found.state != "candidate"
    name = f"{found.name} {found.version}" if found.name else found.version
    click.secho(f"{name}: {found.state}{', and the candidate at hand' if at_hand else ''}", bold=True)
    _field("bundle", [f"sha256:{found.digest}" if found.digest else "nothing but the version is known", found.fetch])
    if found.candidate:
        _field("", ["build/bundle"])
    _field("built from", [_commit(found.built_from)])
    _field("released", [_step(step) for step in found.releases])
    _field("replaced", [_step(step) for step in found.replaced], or_else=None)
    _field("data", [found.data.digest, found.data.fetch or "no commit here names it"] if found.data else [])
    _field("parameters", [f"{name}: {_listed(values)}" for name, values in found.parameters.items()])
    _field("scores", [", ".join(f"{name} {value:.4g}" for name, value in found.scores.items())])
    _field("verdict", [found.verdict])
    _field("MLflow run", [found.run])
    _field("image", found.images)
    _field("deployed", [_deployment(one) for one in found.deployed])
    _field("tag", [found.tag])
    _field("note", found.notes, or_else=None)


def _show_commit(found: CommitTrace) -> None:
    click.secho(f"commit {_commit(found.commit)}", bold=True)
    _field("champion", [found.champion])
    candidate = found.candidate or "of no release or candidate that is known here"
    _field("dvc.lock", [f"bundle {found.bundle}: {candidate}" if found.bundle else None])
    _field("data", [found.data.digest, found.data.fetch or "no commit here names it"] if found.data else [])
    _field("pinned then", [_deployment(one, still="") for one in found.pinned])
    _field("released", [_step(step) for step in found.released], or_else=None)
    _field("built of it", [_step(step) for step in found.built] or ["nothing that was released"])
    _field("next", [_step(found.next)] if found.next else [], or_else=None)
    _field("deployed", [_deployment(one) for one in found.deployed])
    _field("note", found.notes, or_else=None)


def _field(label: str, lines: Iterable[str | None], *, or_else: str | None = "-") -> None:
    """Print a field's lines, its name before the first one; without any, what is said instead, if anything."""
    said = [line for line in lines if line] or ([or_else] if or_else else [])
    if not said:
        return
    for name, line in zip_longest([label], said, fillvalue=""):
        click.echo(f"{click.style(f'{name:<11}', bold=True)} {line}")


def _commit(commit: Commit | None) -> str | None:
    if commit is None:
        return None
    return f"{commit.hash[:SHORT]} {_time(commit.when)} {commit.subject}" if commit.when else f"{commit.hash}, not here"


def _step(step: Step) -> str:
    commit = step.commit[:SHORT] if step.commit else "commit not known"
    return (
        f"{commit} {_time(step.when)} {step.action} {step.version} instead of {step.previous or 'none'}: "
        f"{' '.join(step.reason.split())} ({step.who})"
    )


def _deployment(one: Deployment, *, still: str = " until now") -> str:
    until = f" until {_time(one.until)}" if one.until else still
    commit = one.commit[:SHORT] if one.commit else "commit not known"
    image = one.pin.digest[:SHORT]
    model = one.pin.version or "no version said"
    return f"{one.overlay}: {model} since {_time(one.since)}{until}, {commit}, image sha256:{image}"


def _time(when: str | None) -> str:
    return when[:16].replace("T", " ") if when else "?"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in values.items())
