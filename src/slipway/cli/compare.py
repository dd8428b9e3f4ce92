"""The command `compare`: two models side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from slipway.cli.command import command
from slipway.cli.console import table

if TYPE_CHECKING:
    from slipway.comparison import Comparison, Difference
    from slipway.workspace import Workspace


@command
@click.argument("a", default="candidate")
@click.argument("b", default="champion")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def compare(at: Workspace, a: str, b: str, as_json: bool) -> None:
    """Compare two models on the test set: each score with the paired interval of the difference, also by slice.

    A and B are each `candidate`, `champion`, or a released model: its version, its digest or its tag model/<version>.
    Earlier champions are fetched with DVC. What differs between the two, such as parameters and data, is listed, too.
    """
    from slipway.comparison import compare as run
    from slipway.comparison import load
    from slipway.lineage import lineage

    facts = [lineage(at.root, _version(at, name)) for name in (a, b)]
    one, other = (load(at, fact["version"]) for fact in facts)
    found = run(at, one, other)
    manifests = [model.bundle.manifest.model_dump() for model in (one, other)]
    differs = _differing(*(_origin(fact, manifest) for fact, manifest in zip(facts, manifests, strict=True)))
    if as_json:
        content = {"a": one.version, "b": other.version, **asdict(found), "differs": differs}
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    _show(found, one.version, other.version)
    table("What differs", ("", one.version, other.version), [(name, *values) for name, values in differs.items()])


def _version(at: Workspace, name: str) -> str:
    """Give the version that a name means; other names are left to lineage."""
    from slipway.champion import read_decision
    from slipway.model.bundle import read_bundle
    from slipway.problem import SlipwayError

    if name == "candidate":
        return read_bundle(at.bundle).version
    if name == "champion":
        decision = read_decision(at.root)
        if decision is None:
            raise SlipwayError("no champion yet; `slipway promote` makes one")
        return decision.version
    return name


def _origin(fact: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a model was made of, flat, by names with dots."""
    names = ("estimator", "runtime", "data", "versions", "row", "classes", "split")
    return _flat({"built from": fact["built from"], **fact["parameters"], **{n: manifest.get(n) for n in names}})


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (a.get(name), b.get(name)) for name in {**a, **b} if a.get(name) != b.get(name)}


def _show(found: Comparison, a: str, b: str) -> None:
    def cells(one: Difference) -> tuple[str, ...]:
        change = f"{one.difference.value:+.4g} ({one.difference.low:+.4g} to {one.difference.high:+.4g})"
        return f"{one.a:.4g}", f"{one.b:.4g}", change, one.words

    title = f"{a} minus {b} on {found.rows:,} rows of the test set, {found.groups:,} groups"
    table(title, ("score", a, b, "difference", "the first is"), [(one.name, *cells(one)) for one in found.scores])
    if found.slices:
        rows = [(name, count, *cells(one)) for name, count, one in found.slices]
        table(f"By slice: {found.slices[0][2].name}", ("slice", "rows", a, b, "difference", "the first is"), rows)
    click.echo(f"The gate's view: {found.gate}.")
