"""Commands on models by their names: where one came from, and two side by side."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby, zip_longest
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from slipway.cli.command import command
from slipway.cli.console import table

if TYPE_CHECKING:
    from slipway.comparison import Comparison, Difference
    from slipway.workspace import Workspace

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")


@command
@click.argument("what", metavar="VERSION|DIGEST|TAG")
@AS_JSON
def lineage(at: Workspace, what: str, as_json: bool) -> None:
    """Show where a model came from: code, data, run, image.

    Also its parameters, scores and verdict, and the overlays that pin it.

    \b
    VERSION  of a model, as each response of the service names it, or its first digits (at least 6)
    DIGEST   of a bundle, or of an image that an overlay pins
    TAG      model/<version>

    Only Git is read: a clone is enough, nothing needs to be pulled.
    """
    from slipway.lineage import lineage as find

    found = find(at.root, what)
    if as_json:
        _print_json(found)
        return
    for name, value in found.items():
        for label, line in zip_longest([name], _lines(value), fillvalue=""):
            click.echo(f"{click.style(f'{label:<12}', bold=True)} {line}")


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and any(isinstance(content, (dict, str)) for content in value.values()):
        return [f"{name}: {_text(content)}" for name, content in value.items()]
    return (value or ["-"]) if isinstance(value, list) else [_text(value or "-")]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(content)}" for name, content in value.items())
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


@command
@click.argument("a", default="candidate")
@click.argument("b", default="champion")
@AS_JSON
def compare(at: Workspace, a: str, b: str, as_json: bool) -> None:
    """Compare two models on the test set, score by score.

    Each score is shown with the paired interval of the difference, overall and by slice, then the calibration of both,
    and everything that differs between the two, such as parameters and data. A and B are each `candidate`, `champion`,
    a released model by its version or digest, or the champion of a commit, tag or branch. Earlier champions are fetched
    with DVC.
    """
    from slipway.comparison import compare as run
    from slipway.comparison import load
    from slipway.lineage import FACTS, differing, lineage

    facts = [lineage(at.root, _version(at, name)) for name in (a, b)]
    one, other = (load(at, fact["version"]) for fact in facts)
    found = run(at, one, other)
    manifests = [model.bundle.manifest.model_dump(include=set(FACTS)) for model in (one, other)]
    made = [
        {"built from": fact["built from"], **fact["parameters"], **m} for fact, m in zip(facts, manifests, strict=True)
    ]
    differs = differing(*made)
    if as_json:
        _print_json({"a": one.version, "b": other.version, **asdict(found), "differs": differs})
        return
    _show(found, one.version, other.version)
    table("What differs", ("", one.version, other.version), [(name, *values) for name, values in differs.items()])


def _version(at: Workspace, name: str) -> str:
    """Give the version that a name means; other names are left to lineage."""
    from slipway.champion import POINTER, parse_decision, read_decision, require_released
    from slipway.model.bundle import read_bundle
    from slipway.versioning import file_at, find_commit

    if name == "candidate":
        return read_bundle(at.bundle).version
    if name == "champion":
        return require_released(read_decision(at.root)).version
    if (commit := find_commit(at.root, name)) and (pointer := file_at(at.root, commit, POINTER)):
        return parse_decision(pointer, f"{name}:{POINTER}").version
    return name


def _show(found: Comparison, a: str, b: str) -> None:
    def cells(one: Difference) -> tuple[str, ...]:
        change = f"{one.difference.value:+.4g} ({one.difference.low:+.4g} to {one.difference.high:+.4g})"
        return f"{one.a:.4g}", f"{one.b:.4g}", change, one.words

    title = f"{a} minus {b} on {found.rows:,} rows of the test set, {found.groups:,} groups"
    table(title, ("score", a, b, "difference", "the first is"), [(one.name, *cells(one)) for one in found.scores])
    if found.slices:
        rows = [(name, count, *cells(one)) for name, count, one in found.slices]
        table(f"By slice: {found.slices[0][2].name}", ("slice", "rows", a, b, "difference", "the first is"), rows)
    for name, points in groupby(found.calibration, key=itemgetter("class")):
        rows = [(f"{one['from']:g} to {one['to']:g}", *_point(one["a"]), *_point(one["b"])) for one in points]
        columns = [f"{version}: {what}" for version in (a, b) for what in ("mean", name, "rows")]
        table(f"Calibration: predicted probability of {name}, and the share that is", ("probability", *columns), rows)
    click.echo(f"The gate's view: {found.gate}.")


def _point(point: dict[str, Any] | None) -> tuple[str, ...]:
    return (f"{point['predicted']:.3f}", f"{point['observed']:.3f}", f"{point['rows']:,}") if point else ("", "", "")


def _print_json(content: Any) -> None:
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))
