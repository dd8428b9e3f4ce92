"""The command that asks where a model came from."""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from slipway.cli.command import command

if TYPE_CHECKING:
    from slipway.workspace import Workspace


@command
@click.argument("what", metavar="VERSION|DIGEST|TAG")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
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
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
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
