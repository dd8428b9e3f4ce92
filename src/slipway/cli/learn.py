"""Commands that make and judge a candidate: the pipeline, its stages, the gate, the record, the report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from slipway.cli.command import command, only_warned
from slipway.cli.console import COLOURS, EXIT_REFUSED, output, stage_line, summary, table
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from slipway.stages.validate import ValidationReport
    from slipway.workspace import Workspace


@command
@click.option("--track/--no-track", default=True, help="Record the run in MLflow.")
@click.option("--pull", is_flag=True, help="Fetch earlier results of the same inputs instead of making them again.")
def run(at: Workspace, track: bool, pull: bool) -> None:
    """Run what changed, judge the candidate, record the run.

    Stages whose inputs did not change are not run again. The exit status is 1 if a stage refuses or the verdict is
    REJECT. The champion is not touched.
    """
    from slipway.problem.params import check_arguments
    from slipway.versioning import DATA, fetch, pointed, reproduce, short

    check_arguments(at.problem.build, at.params.model)  # a typo is reported before anything is run
    at.require_dependency()
    for said in fetch(at.root):
        stage_line("pull", said)
    before = pointed(at.root, DATA)
    for name, ran in reproduce(at.root, pull=pull).items():
        if not ran:
            stage_line(name, "unchanged")
    if (now := pointed(at.root, DATA)) != before:
        stage_line("data", f"{DATA}: {short(before)} -> {short(now)}, since data/ was changed here; commit it")
    verdict = _judge(at)
    if track:
        with only_warned("not recorded"):
            stage_line("track", _record(at))
    if verdict == "PROMOTE":
        click.echo("`slipway promote` makes the candidate the champion.")
    if verdict == "REJECT":
        sys.exit(EXIT_REFUSED)


@command
def reproduce(at: Workspace) -> str:
    """Make the candidate again from the data, and compare.

    The bytes must be the same; if the candidate came from another platform, the predictions.
    """
    from slipway.reproduction import make_again

    return make_again(at)


@command
def prepare(at: Workspace) -> str:
    """Stage 1: shape the data to the schema, split off the test set.

    Rows of one group stay together, and a row never changes sides as the data grows. With prepare.split: time in
    params.yaml the newest rows are the test set.
    """
    from slipway.stages.prepare import prepare as stage

    done = stage(at.problem, at.params.prepare, at.data, at.table)
    neither = f", {done.neither} in neither" if done.neither else ""
    return f"{done.train + done.test + done.neither} rows: {done.train} to train on, {done.test} to test on{neither}"


@command
def validate(at: Workspace) -> str:
    """Stage 2: refuse data that breaks the schema or an expectation.

    The report is build/validation/data-docs/index.html (Great Expectations' Data Docs).
    """
    from slipway.stages.validate import validate as stage

    report = stage(at.problem, at.params.validate_, at.table, at.validation)
    if not report.passed:
        show_failures(report)
        sys.exit(EXIT_REFUSED)
    return f"{len(report.outcomes)} expectations hold"


def show_failures(report: ValidationReport) -> None:
    """Print the failed expectations."""
    rows = []
    for one in report.failures:
        counts = "" if one.count is None else f"{one.count:,}", "" if one.share is None else f"{one.share:.2%}"
        rows.append((one.expectation, *counts, one.found or "\n".join(one.cells), "\n".join(map(str, one.rows))))
    title = f"{len(report.failures)} of {len(report.outcomes)} expectations fail"
    table(title, ("expected", "records", "share", "found", "in row"), rows)


@command
def train(at: Workspace) -> str:
    """Stage 3: fit the estimator, compile it, write the bundle.

    The bundle in build/bundle is the candidate.
    """
    from slipway.stages.train import train as stage

    bundle = stage(at.problem, at.params, at.table, at.validation, at.bundle)
    if bundle.manifest.runtime != "onnx":
        click.echo(f"          {bundle.manifest.runtime_reason}")
    return f"{bundle.manifest.estimator} as {bundle.manifest.runtime}: candidate {bundle.version}"


@command
def evaluate(at: Workspace) -> str:
    """Stage 4: score the candidate on the test set.

    Writes scores with intervals, slices and plots. With evaluate.backtest in params.yaml the estimator is also fitted
    again on earlier training rows and scored on later ones, window by window.
    """
    from slipway.evaluation import metrics
    from slipway.stages.evaluate import evaluate as stage
    from slipway.stages.evaluate import score_windows

    scores = stage(at.problem, at.params.evaluate, at.bundle, at.table, at.evaluation)
    if at.params.evaluate.backtest:
        score_windows(at.problem, at.params, at.bundle, at.table, at.evaluation)
    return ", ".join(f"{name} {scores[name].value:.4g}" for name in metrics.headlines(at.target) if name in scores)


@command
@click.option("--live", is_flag=True, help="Compare candidate (as a shadow) and champion on live rows, too.")
def gate(at: Workspace, live: bool) -> None:
    """Judge the candidate: PROMOTE, HOLD or REJECT.

    Every reason is shown. The gate checks thresholds, slices, size and the tests in tests/model, and compares the
    candidate with the champion on the same test set. The exit status is 1 for REJECT.

    With --live, a HOLD that doubts the comparison is decided by live rows: those that both models answered and that
    `slipway labels` joined with their truth. If there are too few, the gate says how many more it needs.
    """
    if _judge(at, live=live) == "REJECT":
        sys.exit(EXIT_REFUSED)


def _judge(at: Workspace, *, live: bool = False) -> str:
    from slipway.champion import POINTER
    from slipway.gate import judge

    verdict = judge(at, live=live)
    rows = [(reason.outcome, reason.check, reason.detail) for reason in verdict.reasons]
    table(f"Candidate {verdict.candidate[:12]}", ("", "check", "found"), rows)
    click.secho(f"Verdict: {verdict.verdict}", fg=COLOURS[verdict.verdict], bold=True)
    # An image is made of the candidate that is about to be the champion, else of the champion, if there is one.
    champion = "champion" if (at.root / POINTER).exists() else ""
    output(verdict=verdict.verdict, release="build" if verdict.verdict == "PROMOTE" else champion)
    return verdict.verdict


@command
def track(at: Workspace) -> str:
    """Record the candidate's run in MLflow.

    The record is in mlflow.db (SQLite), or on the server that MLFLOW_TRACKING_URI names. `make ui` shows the runs.
    Recording the same candidate again adds nothing.
    """
    return _record(at)


def _record(at: Workspace) -> str:
    from slipway.champion import read_decision
    from slipway.tracking import track as record

    decision = read_decision(at.root)
    done = record(at, decision.digest if decision else None)
    return f"MLflow run {done.run_id}, {at.problem.name} version {done.version}"


@command
def report(at: Workspace) -> None:
    """Write the run's report, as a page and as Markdown.

    build/report.html is for a browser, build/report.md for a pull request, build/MODEL_CARD.md for the Hugging Face
    Hub. In a GitHub job the report is also the job's summary. Without a verdict, build/report.md says so.
    """
    from slipway.report import write_report
    from slipway.versioning import LOCK, changed_files

    path = at.root / "build" / "report.md"
    try:
        written = write_report(at)
        if LOCK in changed_files(at.root):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n`dvc.lock` was stale: the candidate was made here, and a release commits the lock.\n")
    except SlipwayError:
        path.parent.mkdir(exist_ok=True)
        text = "### No verdict\n\nA stage refused; the log says which one, what it found, and where.\n"
        path.write_text(text, "utf-8")
        raise
    finally:
        if path.exists():
            summary(path.read_text("utf-8"))
    for name in written:
        click.echo(name)
