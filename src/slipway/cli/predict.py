"""The command `predict`: predictions for files."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.cli.command import command
from slipway.cli.console import summary as note
from slipway.cli.console import table as print_table
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slipway.batch import Output, Scorer, Summary
    from slipway.batch.keeping import Keeping
    from slipway.batch.query import Source
    from slipway.batch.tables import DatabaseTable
    from slipway.workspace import Workspace

PART_ROWS = 1_000_000
KEY = "SLIPWAY_FEEDBACK_KEY"
TABLE = "table:"  # with which an OUTPUT begins that is a table of the database


@command
@click.argument("places", nargs=-1, metavar="[INPUT] OUTPUT")
@click.option("--sql", metavar="QUERY", help="Read the rows of a SELECT in --database, instead of INPUT.")
@click.option(
    "--database", envvar="DATABASE_URL", metavar="URL", help="Such as postgresql://me@host/name; or $DATABASE_URL."
)
@click.option("--bundle", type=click.Path(file_okay=False, path_type=Path), help="By default the champion's.")
@click.option("--version", "release", metavar="V", help="An earlier champion, by its version, digest or tag.")
@click.option("--url", help="Ask a running service instead, over Arrow.")
@click.option("--key", envvar="API_KEY", help="An API key, if the service asks for one; or $API_KEY.")
@click.option(
    "--keep", metavar="FOLDER", help="Keep rows and answers there, a folder or URL, as a service does: for `labels`."
)
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="What {date} in INPUT and OUTPUT stands for; {yesterday} is the day before. By default today, in UTC.",
)
@click.option("--strict", is_flag=True, help="End at the first row that the contract refuses.")
@click.option(
    "--max-rejected",
    type=click.FloatRange(0, 1),
    default=1.0,
    metavar="SHARE",
    help="End if a larger share of the rows is refused, such as 0.01.",
)
@click.option("--rejected", metavar="PLACE", help="Where refused rows are listed; by default OUTPUT.rejected.")
@click.option("--resume", is_flag=True, help="Go on where an interrupted run into this folder ended, if there was one.")
@click.option(
    "--part-rows", type=click.IntRange(1), default=PART_ROWS, show_default=True, help="Rows of the input for each part."
)
@click.option(
    "--metrics",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write facts of the complete run for Prometheus, as node_exporter's textfile collector reads them: NAME.prom.",
)
@click.option(
    "--push-gateway", envvar="PUSHGATEWAY_URL", metavar="URL", help="Push them to a Pushgateway; or $PUSHGATEWAY_URL."
)
@click.option("--run", "name", help="The run's name there; by default NAME of the metrics' file, or predict.")
@click.option("--threads", type=click.IntRange(1), help="Of one inference; by default one for each core.")
def predict(
    at: Workspace,
    places: tuple[str, ...],
    sql: str | None,
    database: str | None,
    bundle: Path | None,
    release: str | None,
    url: str | None,
    key: str | None,
    keep: str | None,
    day: datetime | None,
    strict: bool,
    max_rejected: float,
    rejected: str | None,
    resume: bool,
    part_rows: int,
    metrics: Path | None,
    push_gateway: str | None,
    name: str | None,
    threads: int | None,
) -> None:
    """Predict for the rows of files, as the service does.

    INPUT is a CSV, Parquet or Arrow file, a folder of such files, or a glob in quotes. OUTPUT is a file, or a folder
    for parts. Both may be URIs (s3://bucket/folder/, gs://..., az://...) and hold {date}. With --database URL, give
    --sql QUERY instead of INPUT; an OUTPUT table:NAME is a new table there.

    \b
      slipway predict day.csv day-predicted.csv
      slipway predict 's3://bucket/2026-11-*/*.parquet' s3://bucket/predicted/
      slipway predict --sql "SELECT * FROM day" --database postgresql://me@host/shop table:day_predicted

    All columns are kept; prediction, probability.<class>, model_version and prediction_id are added. Rows that the
    contract refuses do not end the run: they are listed in OUTPUT.rejected, with file, row (from 0), field, rule and
    value.
    """
    from slipway.batch import predict as run

    if len([one for one in (bundle, release, url) if one]) > 1:
        raise click.UsageError("--bundle, --version and --url exclude each other")
    if len(places) != (1 if sql else 2):
        raise click.UsageError("give INPUT and OUTPUT, or --sql QUERY and OUTPUT")
    if keep and url:
        raise click.UsageError("--keep and --url exclude each other: a service keeps what it answers, or does not")
    places = tuple(_dated(place, day or datetime.now(UTC)) for place in places)
    scorer = _scorer(at, bundle, release, url, key, threads or os.cpu_count() or 1)
    keeping = _keeping(keep, scorer) if keep else None
    allowed = 0 if strict else max_rejected
    with ExitStack() as opened, _progress() as progress:
        table, to = _opened(opened, places, sql, database, scorer, part_rows, rejected)
        summary = run(table, to, scorer, max_rejected=allowed, keeping=keeping, resume=resume, progress=progress)
    _show(summary, to.shown, to.rejected.shown)
    _tell(summary, metrics, push_gateway, name or (metrics.stem if metrics else "predict"))


def _keeping(folder: str, scorer: Scorer) -> Keeping:
    from slipway.batch.keeping import Keeping

    return Keeping(folder, scorer)


def _tell(summary: Summary, metrics: Path | None, gateway: str | None, name: str) -> None:
    """Give Prometheus the facts of the complete run."""
    if metrics or gateway:
        from slipway.batch.metrics import push_metrics, write_metrics

        if metrics:
            write_metrics(summary, metrics, name)
        if gateway:
            push_metrics(summary, gateway, name)


def _dated(place: str, day: datetime) -> str:
    for word, ago in (("{date}", 0), ("{yesterday}", 1)):
        place = place.replace(word, f"{day - timedelta(ago):%Y-%m-%d}")
    return place


def _opened(
    opened: ExitStack,
    places: tuple[str, ...],
    sql: str | None,
    database: str | None,
    scorer: Scorer,
    part_rows: int,
    rejected: str | None,
) -> tuple[Source, Output | DatabaseTable]:
    """Open input and output; a connection to a database is closed with `opened`."""
    from slipway.batch import Output, Table

    into = places[-1].removeprefix(TABLE) if places[-1].startswith(TABLE) else None
    if not (sql or into):
        table = Table.open(places[0])
        return table, Output.of(places[-1], table, part_rows=part_rows, rejected=rejected)
    if into and rejected:
        raise click.UsageError("--rejected is for files: refused rows of a table go to the table NAME_rejected")
    if not database:
        raise click.UsageError("--sql and table: need --database URL, or $DATABASE_URL")
    from slipway.batch.database import Database
    from slipway.batch.query import Query
    from slipway.batch.tables import DatabaseTable

    connection = opened.enter_context(closing(Database(database)))
    rows: Source = Query(connection, sql, scorer.contract) if sql else Table.open(places[0])
    if into:
        return rows, DatabaseTable(connection, into)
    return rows, Output.of(places[-1], rows, part_rows=part_rows, rejected=rejected)


def _scorer(
    at: Workspace, bundle: Path | None, release: str | None, url: str | None, key: str | None, threads: int
) -> Scorer:
    from slipway.batch import BundleScorer

    if url:
        from slipway.batch.service import ServiceScorer

        return ServiceScorer(url, key=key)
    signs = os.environ.get(KEY) or None
    if bundle:
        return BundleScorer(bundle, key=signs, threads=threads)
    if release:
        from slipway.comparison import found
        from slipway.lineage import lineage

        with found(at, lineage(at.root, release)["version"]) as (folder, digest):
            return BundleScorer(folder, expected=digest, key=signs, threads=threads)
    from slipway.champion import BUNDLE, fetch_champion

    champion = fetch_champion(at.root)
    if champion is None:
        raise SlipwayError("no champion yet; `slipway promote` makes one, and --bundle build/bundle is the candidate")
    return BundleScorer(at.champion / BUNDLE, expected=champion.digest, key=signs, threads=threads)


@contextmanager
def _progress() -> Iterator[Callable[[int, float], None]]:
    """Show a bar with rows and the time left, on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0, rows=0)
        yield lambda rows, done: bar.update(task, completed=done, rows=rows)


def _show(summary: Summary, output: str, rejected: str) -> None:
    """Print the summary."""
    share = f"{summary.rejected / summary.rows:.2%}"
    lines = [
        ("rows", f"{summary.rows:,}" + (f", {summary.resumed:,} of them by an earlier run" if summary.resumed else "")),
        ("rejected", f"{summary.rejected:,} ({share}), see {rejected}" if summary.rejected else "0"),
        *((f"predicted {name}", f"{count:,}") for name, count in summary.predictions.items()),
        ("seconds", f"{summary.seconds:.1f}, {summary.rows_per_second:,.0f} rows a second"),
    ]
    title = f"{output} by model {summary.model_version}"
    print_table(title, ("what", "found"), lines)
    note(f"**{title}**\n\n" + "\n".join(f"- {what}: {found}" for what, found in lines))
    drift = [one for one in summary.drift or () if one.psi > one.limit]
    if summary.drift is None:
        click.echo("Drift is not known: a service does not tell its reference.")
    elif drift:
        listed = ", ".join(f"{one.name} (PSI {one.psi:.3f}, limit {one.limit:.3f})" for one in drift)
        click.secho(f"Drifted since training: {listed}", fg="yellow")
        note(f"- drifted since training: {listed}")
    else:
        most = summary.drift[0]
        click.echo(f"No drift since training; the most is {most.name}: PSI {most.psi:.3f}, limit {most.limit:.3f}.")
