"""The output on the terminal: one line for each stage, and tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

EXIT_REFUSED = 1
EXIT_RETRAIN = 3
COLOURS = {"PROMOTE": "green", "HOLD": "yellow", "REJECT": "red", "pass": "green", "hold": "yellow", "fail": "red"}


def stage_line(name: str, text: str, seconds: float | None = None) -> None:
    """Print the result of a stage, and its seconds."""
    took = f"{seconds:6.1f} s" if seconds is not None else ""
    click.echo(f"{click.style(f'{name:<9}', bold=True)} {text:<72} {took}".rstrip())


def say(text: str, *, error: bool = False) -> None:
    """Print a line, and put it into the job's summary where there is one (GitHub)."""
    click.secho(text, err=error, fg="red" if error else None)
    summary(text)


def summary(text: str) -> None:
    """Put a text into the job's summary, where there is one (GitHub)."""
    _append("GITHUB_STEP_SUMMARY", text)


def output(**values: str | None) -> None:
    """Hand values to the jobs that follow: NAME=VALUE lines in the file $OUTPUT or $GITHUB_OUTPUT, if there is one."""
    for name, value in values.items():
        if value is not None:
            _append("OUTPUT" if os.environ.get("OUTPUT") else "GITHUB_OUTPUT", f"{name}={value}")


def _append(variable: str, line: str) -> None:
    if path := os.environ.get(variable):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table, as wide as the terminal, or 120 columns, as in a CI log. The name of an outcome is coloured."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*columns, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for row in rows:
        drawn.add_row(*(Text(str(cell), style=COLOURS.get(str(cell), "")) for cell in row))
    Console(width=None if sys.stdout.isatty() else 120, highlight=False).print(drawn)
