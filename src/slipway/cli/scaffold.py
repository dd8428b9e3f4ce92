"""The commands that make a project of a table, take out what it does not need, and bring another release."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.cli.command import command
from slipway.cli.console import table as show_table
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from slipway.scaffold import Draft
    from slipway.scaffold.checkout import Plan
    from slipway.workspace import Workspace


@command
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--target", required=True, metavar="COLUMN", help="The column to predict.")
@click.option("--name", help="Name of the model, by default that of the table.")
@click.option("--group", metavar="COLUMN", help="The column that groups rows: a patient, a house.")
@click.option("--time", metavar="COLUMN", help="The column with the time: the newest rows become the test set.")
@click.option("--drop", multiple=True, metavar="COLUMN", help="A column to leave out; may be repeated.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def new(
    at: Workspace,
    table: Path,
    target: str,
    name: str | None,
    group: str | None,
    time: str | None,
    drop: tuple[str, ...],
    yes: bool,
) -> None:
    """Make a project of your own table, in place of the example.

    TABLE is a CSV, TSV or Parquet file, or a folder of them. The command shows its plan and asks. Then it writes the
    row with its bounds, the model, expectations, thresholds and tests, as plain code with the evidence in comments.
    """
    from slipway.problem import NAME
    from slipway.scaffold import SHIPPED, default_name, draft
    from slipway.scaffold.checkout import apply, make_plan, require_clean
    from slipway.scaffold.table import read_table

    name = name or default_name(table, target)
    if not NAME.fullmatch(name) or name == SHIPPED:
        raise SlipwayError(f"--name {name}: lower-case letters, digits and hyphens, a letter first, and not {SHIPPED}")
    require_clean(at.root, table)
    read = read_table(table)
    drafted = draft(read, target, name=name, group=group, time=time, drop=drop)
    accuracy = next((one.value for one in drafted.evidence.thresholds if one.metric == "accuracy"), None)
    plan = make_plan(at.root, read, drafted.files, accuracy)
    _show(drafted, plan)
    _confirm("Write this?", yes)
    apply(plan)
    click.secho(f"\n{name} predicts {target}. Next:", bold=True)
    click.echo("  slipway run\n  dvc push && git add --all && git commit -m 'Our problem'")


@command
@click.argument("parts", nargs=-1, metavar="[PART]...")
@click.option("--list", "listed", is_flag=True, help="Show the parts; the same without an argument.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(at: Workspace, parts: tuple[str, ...], listed: bool, yes: bool) -> None:
    """Remove parts of the template that you do not need.

    With a part go its files, tests, documentation, CI jobs and dependencies. Without an argument the parts are listed.
    The command shows its plan and asks; it does all of it, or nothing. src/slipway stays whole, so that updates of the
    template merge; they leave out the parts that you removed.
    """
    from slipway.scaffold.parts import PARTS
    from slipway.scaffold.removal import apply, files, make_removal

    if listed or not parts:
        here = {name: [path for path in files(at.root, name) if not path.startswith("tests/")] for name in PARTS}
        rows = [(name, part.about, ", ".join(here[name]) or "-") for name, part in PARTS.items()]
        show_table("slipway remove PART ... removes", ("part", "what it is", "its files, besides their tests"), rows)
        return
    removal = make_removal(at.root, parts)
    for name in removal.names:
        click.echo(f"Removes  {name}: {', '.join(files(at.root, name)) or 'no files'}")
    click.echo(f"Changes  {', '.join(removal.writes) or 'nothing'}")
    _confirm("Remove this?", yes)
    apply(removal)
    click.secho(f"\nRemoved: {', '.join(removal.names)}. Next:", bold=True)
    lock = "make lock && " if "pyproject.toml" in removal.writes else ""
    click.echo(f"  {lock}make lint test\n  git add --all && git commit -m 'Without {', '.join(removal.names)}'")


@command
@click.argument("version", required=False)
@click.option("--from", "remote", default="slipway", show_default=True, help="Remote or address of the template.")
@click.option("--keep-conflicts", is_flag=True, help="Leave conflicts marked in the files for you to resolve.")
def upgrade(at: Workspace, version: str | None, remote: str, keep_conflicts: bool) -> None:
    """Merge a release of the template, by default the newest.

    The result is one commit. Your own files stay as they are: src/project, params.yaml, your tests, data, model and
    README.md. Your changes of other files are merged; a part that you removed stays away. On a conflict, or if the
    project does not fit the new code, nothing is changed.
    """
    from slipway.scaffold.upgrade import apply, make_plan

    plan = make_plan(at.root, remote, version)
    if plan is None:
        click.echo("The template's files are those of this release already.")
        return
    conflicts = apply(plan, keep_conflicts=keep_conflicts)
    click.echo(
        f"{len(plan.changed) + len(plan.locks)} of the template's files changed{', locks remade' * plan.relock}."
    )
    if plan.skipped:
        click.echo(f"Left out, since you removed them: {', '.join(plan.skipped)}")
    click.echo(f"\n{plan.news}\n" if plan.news else "")
    if conflicts:
        raise SlipwayError(f"resolve the conflicts in {', '.join(conflicts)}, then git add and commit")
    click.secho(
        f"Upgraded to {plan.version}, in one commit. Next: make test. To undo: git reset --hard HEAD~1", bold=True
    )


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise SlipwayError("nothing was changed: there is no terminal to ask on; --yes goes ahead without asking")
    click.confirm(question, abort=True)


def _show(drafted: Draft, plan: Plan) -> None:
    from slipway.scaffold.checkout import PIPELINE

    proposal, rows = drafted.proposal, f"{drafted.proposal.rows:,} rows"
    if plan.table.step > 1:
        rows += f", one in {plan.table.step} of {plan.table.size / 1e6:,.0f} MB; the other rows were not read"
    fields = [
        (one.recorded, one.column.name, one.column.kind + (", optional" if one.column.optional else ""), one.evidence)
        for one in proposal.used
    ]
    show_table(f"{plan.table.path}: {rows}", ("column", "field", "kind", "evidence"), fields)
    click.echo("")
    show_table("What you should know", ("column", "found, and what was done"), drafted.findings)
    for one in drafted.evidence.thresholds:
        click.echo(f"\nThreshold: {one.metric} {one.value:g} ({one.evidence})", nl=False)
    ours = [*drafted.files, *([PIPELINE] if PIPELINE in plan.writes else [])]
    others = [name for name in plan.writes if name not in ours]
    click.echo(f"\n\nWrites   {', '.join(ours)}")
    if others:
        click.echo(
            "Corrects the repository's address, the alert's accuracy and the pins of images in k8s/ and monitoring/ "
            f"(files: {len(others)})"
        )
    click.echo(f"Replaces data/ by {plan.table.path}, tracked by DVC")
    click.echo(f"Removes  {', '.join(plan.removes) or 'nothing'}")
    for note in plan.notes:
        click.secho(f"Note     {note}", fg="yellow")
