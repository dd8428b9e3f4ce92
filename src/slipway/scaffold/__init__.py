"""From a table to a project: plain code with the evidence for it, and the checkout that it becomes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.scaffold.evidence import Evidence
    from slipway.scaffold.proposal import Proposal
    from slipway.scaffold.table import Table

SHIPPED = "penguins"  # the tests over the shipped example run where a problem has its name


@dataclass(frozen=True)
class Draft:
    """A project for a table: its declaration, the numbers behind it, its files by path, and notes by column."""

    proposal: Proposal
    evidence: Evidence
    files: dict[str, str]
    findings: tuple[tuple[str, str], ...]


def draft(
    table: Table,
    target: str,
    *,
    name: str,
    group: str | None = None,
    time: str | None = None,
    drop: Sequence[str] = (),
) -> Draft:
    """Draft a project that predicts one column of a table. Raises SlipwayError saying why none can be."""
    from slipway.scaffold import behaviour, evidence, proposal
    from slipway.scaffold.render import FEATURES, FILES, render

    first = proposal.propose(table, target, name, group, drop, time)
    found = evidence.gather(first, evidence.load(table, render("data.py", first)))
    proposed = found.proposal  # without features that give the target away
    derive = evidence.function(render("features.py", proposed), "features") if proposed.dated else None
    seen = behaviour.observe(found, evidence.function(render("model.py", proposed), "build"), derive)
    paths = [*FILES, *([FEATURES] if proposed.dated else [])]
    files = {path: render(path, proposed, found, seen) for path in paths}
    return Draft(proposed, found, files, (*proposed.findings, *seen.unlike))


def default_name(table: Path, target: str) -> str:
    """Make a problem's name from the file's; with the target's if that is the shipped example's."""

    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")

    name = plain(table.stem)
    if not name or not name[0].isalpha() or name == SHIPPED:
        name = f"{plain(target) or 'my'}-{name}".strip("-")
    return (name if name[0].isalpha() else f"my-{name}")[:50].strip("-")
