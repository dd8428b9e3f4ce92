"""Commands that learn: the pipeline, its stages, the gate, the record, the report."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.arithmetic import fix_arithmetic
from slipway.cli.console import EXIT_REFUSED, show, show_verdict, stage_line
from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from slipway.workspace import Workspace

STARTED = time.perf_counter()


def _seconds() -> float:
    return time.perf_counter() - STARTED


@click.command()
@click.option("--track/--no-track", default=True, help="Record the run in MLflow.")
@click.option("--pull", is_flag=True, help="Fetch what was made of the same inputs before, instead of making it again.")
@click.pass_obj
def run(root: Path, track: bool, pull: bool) -> None:
    """Run the pipeline where something changed, judge the candidate, record the run.

    The exit status is 1 if a stage refuses or the verdict is REJECT. The champion is not touched.
    """
    fix_arithmetic()
    from slipway.pipeline import fetch, reproduce
    from slipway.problem.params import check_arguments
    from slipway.workspace import Workspace

    workspace = Workspace(root)
    check_arguments(workspace.problem.build, workspace.params.model)  # a typo is reported before anything is run
    for pointer in fetch(root):
        stage_line("pull", f"fetched what {pointer} names")
    for name, ran in reproduce(root, pull=pull).items():
        if not ran:
            stage_line(name, "unchanged")
    verdict = _judge(workspace)
    if track:
        _record(workspace, must=False)
    if verdict == "PROMOTE":
        click.echo("`slipway promote` makes the candidate the champion.")
    if verdict == "REJECT":
        sys.exit(EXIT_REFUSED)


@click.command()
@click.pass_obj
def prepare(root: Path) -> None:
    """Stage 1: shape the data to the schema and divide it.

    Rows of one individual stay together, and a row never changes sides as the data grows.
    """
    fix_arithmetic()
    from slipway.stages.prepare import prepare as stage
    from slipway.workspace import Workspace

    at = Workspace(root)
    done = stage(at.problem, at.params.prepare, at.data, at.table)
    rows = f"{done.train + done.test} rows: {done.train} to learn from, {done.test} held out"
    stage_line("prepare", rows, _seconds())


@click.command()
@click.pass_obj
def validate(root: Path) -> None:
    """Stage 2: refuse data that is not what the schema and the expectations say.

    The report for people is build/validation/data-docs/index.html (Great Expectations' Data Docs).
    """
    fix_arithmetic()
    from slipway.stages.validate import failures_table
    from slipway.stages.validate import validate as stage
    from slipway.workspace import Workspace

    at = Workspace(root)
    report = stage(at.problem, at.params.validate_, at.table, at.validation)
    if not report.passed:
        show(failures_table(report))
        sys.exit(EXIT_REFUSED)
    stage_line("validate", f"{len(report.outcomes)} expectations hold", _seconds())


@click.command()
@click.pass_obj
def train(root: Path) -> None:
    """Stage 3: fit the estimator, compile it, write the bundle: the candidate."""
    fix_arithmetic()
    from slipway.stages.train import train as stage
    from slipway.workspace import Workspace

    at = Workspace(root)
    bundle = stage(at.problem, at.params, at.table, at.validation, at.bundle)
    what = f"{bundle.manifest.estimator} as {bundle.manifest.runtime}: candidate {bundle.version}"
    stage_line("train", what, _seconds())
    if bundle.manifest.runtime != "onnx":
        click.echo(f"          {bundle.manifest.runtime_reason}")


@click.command()
@click.pass_obj
def evaluate(root: Path) -> None:
    """Stage 4: score the candidate on the test set, with intervals, slices and plots."""
    fix_arithmetic()
    from slipway.evaluation import metrics
    from slipway.stages.evaluate import evaluate as stage
    from slipway.workspace import Workspace

    at = Workspace(root)
    scores = stage(at.problem, at.params.evaluate, at.bundle, at.table, at.evaluation)
    shown = [name for name in metrics.headlines(at.target) if name in scores]
    text = ", ".join(f"{name} {scores[name].value:.4g}" for name in shown)
    stage_line("evaluate", text, _seconds())


@click.command()
@click.pass_obj
def gate(root: Path) -> None:
    """Judge the candidate: PROMOTE, HOLD or REJECT, with every reason.

    Floors, slices, size, the tests in tests/model, and the champion on the same test set.
    The exit status is 1 for REJECT.
    """
    fix_arithmetic()
    from slipway.workspace import Workspace

    if _judge(Workspace(root)) == "REJECT":
        sys.exit(EXIT_REFUSED)


def _judge(workspace: Workspace) -> str:
    from slipway.gate import judge

    verdict = judge(workspace)
    show_verdict(verdict)
    return verdict.verdict


@click.command()
@click.pass_obj
def track(root: Path) -> None:
    """Record the candidate's run in MLflow; calling it again adds nothing.

    SQLite in mlflow.db by default; MLFLOW_TRACKING_URI names a server. `make ui` shows the runs.
    """
    from slipway.workspace import Workspace

    _record(Workspace(root), must=True)


def _record(workspace: Workspace, *, must: bool) -> None:
    from slipway.champion import read_decision
    from slipway.tracking import track as record

    try:
        decision = read_decision(workspace.root)
        done = record(workspace, decision.digest if decision else None)
    except SlipwayError as error:
        if must:
            raise
        click.secho(f"not recorded: {error}", fg="yellow", err=True)
        return
    stage_line("track", f"MLflow run {done.run_id}, {workspace.problem.name} version {done.version}")


@click.command()
@click.pass_obj
def report(root: Path) -> None:
    """Write the run's report: build/report.html for a browser, build/report.md for a pull request."""
    from slipway.report import write_report
    from slipway.workspace import Workspace

    for path in write_report(Workspace(root)):
        click.echo(path)
