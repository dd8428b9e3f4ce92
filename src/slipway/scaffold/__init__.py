"""From a table to a project: what the data shows, as plain code with its evidence, and the checkout that it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.scaffold.evidence import Evidence
    from slipway.scaffold.proposal import Proposal
    from slipway.scaffold.table import Table


@dataclass(frozen=True)
class Draft:
    """A project for a table: what it declares, the numbers behind it, and its files by path."""

    evidence: Evidence
    files: dict[str, str]
    findings: tuple[tuple[str, str], ...]

    @property
    def proposal(self) -> Proposal:
        """What is declared."""
        return self.evidence.proposal

    @property
    def accuracy(self) -> float | None:
        """The threshold of accuracy; None in a regression."""
        return next((one.value for one in self.evidence.thresholds if one.metric == "accuracy"), None)


def draft(table: Table, target: str, *, name: str, group: str | None = None, drop: Sequence[str] = ()) -> Draft:
    """Draft a project that predicts one column of a table. Raises SlipwayError saying why none can be."""
    from slipway.scaffold import behaviour, evidence, proposal, render

    first = proposal.propose(table, target, name, group, drop)
    loaded = evidence.load(table, render.render("data.py", **render.of_proposal(first)))
    found = evidence.gather(first, loaded)
    known = render.of_proposal(found.proposal)
    seen = behaviour.observe(found, render.render("model.py", **known))
    known |= render.of_evidence(found, seen)
    known["findings"] = findings = (*found.proposal.findings, *seen.unlike)
    return Draft(found, {path: render.render(one, **known) for path, one in render.FILES.items()}, findings)


def default_name(table: Path, target: str) -> str:
    """Make a problem's name from the file's; with the target's if that is the shipped example's."""
    import re

    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")

    name = plain(table.stem)
    if not name or not name[0].isalpha() or name == SHIPPED:
        name = f"{plain(target) or 'my'}-{name}".strip("-")
    return (name if name[0].isalpha() else f"my-{name}")[:50].strip("-")


SHIPPED = "penguins"  # the tests over the shipped example run where a problem has its name
