"""Sends a service on this machine everyday traffic, then drifted traffic, so that dashboards and alerts move.

Everyday traffic is the project's own rows, drawn again and again: just what the model was trained for. In drifted
traffic numbers crowd at their upper end, what was rare is common, and some rows are refused: a category that nobody
declared, a number out of its bounds. Half of the predictions get feedback with the truth, so live accuracy falls, too.

It is bounded in time, and sends to loopback alone.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from slipway.cli.smoke import Service
from slipway.contract import Array, Column, Contract
from slipway.problem import SlipwayError
from slipway.problem.files import TEST, TRAIN
from slipway.workspace import Workspace

FEEDBACK = 0.5  # of the predictions
REFUSED = 0.05  # of the drifted requests
MOST_ROWS = 4  # in one request

Row = dict[str, Any]


class Source:
    """Rows with their truths, drawn with replacement."""

    def __init__(self, contract: Contract, arrays: Mapping[str, Array], truths: list[Any], seed: int) -> None:
        self._everyday = contract.rows(arrays)
        self._drifted = contract.rows(drifted(contract, arrays))
        self._strange = [{c.name: value} for c in contract.columns if (value := _forbidden(c)) is not None]
        self._truths = truths
        self._random = np.random.default_rng(seed)

    @classmethod
    def of(cls, workspace: Workspace, seed: int) -> Source:
        """Read the rows of a project whose pipeline has run."""
        import pandas as pd

        paths = [workspace.table / TRAIN, workspace.table / TEST]
        if not all(path.exists() for path in paths):
            raise SlipwayError(f"{workspace.table} has no rows to send; `slipway run` makes them")
        table = pd.concat([pd.read_parquet(path) for path in paths])
        column = workspace.target.column
        truths = Contract("Target", (column,)).rows({column.name: column.array(table[column.name])})
        return cls(workspace.features, workspace.features.arrays(table), [row[column.name] for row in truths], seed)

    def everyday(self) -> tuple[list[Row], list[Any]]:
        """Draw the rows of one request, and their truths."""
        return self._draw(self._everyday)

    def drifted(self) -> tuple[list[Row], list[Any]]:
        """Draw the rows of one request as the world has changed; now and then one that is refused."""
        rows, truths = self._draw(self._drifted)
        if self._strange and self._random.random() < REFUSED:
            return [{**rows[0], **self._strange[self._random.integers(len(self._strange))]}], truths[:1]
        return rows, truths

    def gets_feedback(self) -> bool:
        """Whether the truth of a prediction comes to be known."""
        return bool(self._random.random() < FEEDBACK)

    def _draw(self, rows: list[Row]) -> tuple[list[Row], list[Any]]:
        drawn = self._random.integers(len(rows), size=self._random.integers(1, MOST_ROWS + 1)).tolist()
        return [rows[index] for index in drawn], [self._truths[index] for index in drawn]


def drifted(contract: Contract, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Move values to where they were rare, yet allowed; shape (rows,) each, as given."""
    moved = dict(arrays)
    for column in contract.columns:
        values = arrays[column.name]
        if column.kind in ("number", "integer"):
            there = values + 0.8 * (np.nanmax(values) - values)
            moved[column.name] = np.rint(there) if column.kind == "integer" else there
        else:
            rarest = Counter(values.tolist()).most_common()[-1][0]
            moved[column.name] = np.where(np.arange(len(values)) % 2 == 0, rarest, values)
    return moved


def _forbidden(column: Column) -> Any:
    if column.kind == "category":
        return "never heard of"
    if column.kind in ("number", "integer") and column.maximum is not None:
        return column.maximum + 1
    return None


def send(service: Service, source: Source, draw: Callable[[], tuple[list[Row], list[Any]]]) -> Counter[str]:
    """Send one request and the feedback on it; counts what was answered."""
    rows, truths = draw()
    answer = service.ask("/predict", {"rows": rows})
    if answer.status != 200:
        return Counter({f"answered {answer.status or 'not at all'}": 1})
    counts = Counter({"predictions": len(rows)})
    for prediction, truth in zip(answer.content["predictions"], truths, strict=True):
        if source.gets_feedback():
            said = service.ask("/feedback", {"id": prediction["id"], "truth": truth})
            counts[f"feedback: {said.content['outcome'] if said.status == 200 else said.status}"] += 1
    return counts


def _beats(seconds: float, rate: float) -> Iterator[None]:
    """Tick `rate` times a second, for so many seconds."""
    start = time.monotonic()
    for number in range(int(seconds * rate)):
        due = start + number / rate
        if due > start + seconds or time.monotonic() > start + seconds:
            return  # the service is slower than asked for; this ends in time all the same
        time.sleep(max(0.0, due - time.monotonic()))
        yield


@click.command()
@click.option("--port", type=int, default=8000, show_default=True, help="The service's port on this machine.")
@click.option("--everyday", type=click.FloatRange(0, 3600), default=120, show_default=True, help="Seconds of it.")
@click.option("--drifted", type=click.FloatRange(0, 3600), default=300, show_default=True, help="Seconds of it.")
@click.option("--rate", type=click.FloatRange(0.1, 500), default=10, show_default=True, help="Requests a second.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(port: int, everyday: float, drifted: float, rate: float, seed: int) -> None:
    """Send a service on this machine everyday traffic, then drifted traffic."""
    service = Service(f"http://127.0.0.1:{port}")
    try:
        source = Source.of(Workspace(Path(__file__).parents[1]), seed)
    except SlipwayError as error:
        raise click.ClickException(str(error)) from None
    if service.ask("/readyz").status != 200:
        raise click.ClickException(f"nothing at {service.url} is ready; `make up` or `make serve` starts it")
    for name, draw, seconds in (("everyday", source.everyday, everyday), ("drifted", source.drifted, drifted)):
        click.echo(f"{name} traffic for {seconds:g} s ...")
        counts: Counter[str] = Counter()
        for _ in _beats(seconds, rate):
            counts += send(service, source, draw)
        click.echo("   " + ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
