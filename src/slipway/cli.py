"""The `slipway` command. What a command needs is imported when it is called, so that `--help` is quick."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slipway.console import show, show_history, show_verdict, stage_line, table
from slipway.errors import SlipwayError

if TYPE_CHECKING:
    from slipway.serving.settings import Settings
    from slipway.workspace import Workspace

STARTED = time.perf_counter()
EXIT_REFUSED = 1
EXIT_RETRAIN = 3


class _Group(click.Group):
    """Lists commands in the order in which they are used, and shows errors meant for a person without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SlipwayError as error:
            click.secho(f"slipway {ctx.invoked_subcommand}: {error}", fg="red", err=True)
            ctx.exit(EXIT_REFUSED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="slipway")
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The project's folder.")
@click.pass_context
def main(ctx: click.Context, root: Path) -> None:
    """Push code or data; a tested model goes out.

    \b
    Every day:
      slipway run       runs the pipeline where something changed, judges the candidate, records the run
      slipway report    shows the run on one page
      slipway promote   makes the candidate the champion: what serves
      slipway serve     serves the champion over HTTP

    Your problem is declared in src/project, its numbers in params.yaml.
    """
    ctx.obj = root


def _workspace(root: Path) -> Workspace:
    from slipway.workspace import Workspace

    return Workspace(root)


def _seconds() -> float:
    return time.perf_counter() - STARTED


@main.command()
@click.option("--track/--no-track", default=True, help="Record the run in MLflow.")
@click.pass_obj
def run(root: Path, track: bool) -> None:
    """Run the pipeline where something changed, judge the candidate, record the run.

    The exit status is 1 if a stage refuses or the verdict is REJECT. The champion is not touched.
    """
    from slipway.pipeline import fetch, reproduce

    workspace = _workspace(root)
    _ = workspace.params  # a typo is told before anything is run
    for pointer in fetch(root):
        stage_line("pull", f"fetched what {pointer} names")
    for name, ran in reproduce(root).items():
        if not ran:
            stage_line(name, "unchanged")
    verdict = _judge(workspace)
    if track:
        _record(workspace, must=False)
    if verdict == "PROMOTE":
        click.echo("`slipway promote` makes the candidate the champion.")
    if verdict == "REJECT":
        sys.exit(EXIT_REFUSED)


@main.command()
@click.pass_obj
def prepare(root: Path) -> None:
    """Stage 1: shape the data to the schema and divide it.

    Rows of one individual stay together, and a row never changes sides as the data grows.
    """
    from slipway.stages.prepare import prepare as stage

    at = _workspace(root)
    done = stage(at.problem, at.params.prepare, at.data, at.table)
    rows = f"{done.train + done.test} rows: {done.train} to learn from, {done.test} held out"
    stage_line("prepare", rows, _seconds())


@main.command()
@click.pass_obj
def validate(root: Path) -> None:
    """Stage 2: refuse data that is not what the schema and the expectations say.

    The report for people is build/validation/data-docs/index.html (Great Expectations' Data Docs).
    """
    from slipway.stages.validate import failures_table
    from slipway.stages.validate import validate as stage

    at = _workspace(root)
    report = stage(at.problem, at.params.validate_, at.table, at.validation)
    if not report.passed:
        show(failures_table(report))
        sys.exit(EXIT_REFUSED)
    stage_line("validate", f"{len(report.outcomes)} expectations hold", _seconds())


@main.command()
@click.pass_obj
def train(root: Path) -> None:
    """Stage 3: fit the estimator, compile it, write the bundle: the candidate."""
    from slipway.stages.train import train as stage

    at = _workspace(root)
    bundle = stage(at.problem, at.params, at.table, at.validation, at.bundle)
    what = f"{bundle.manifest.estimator} as {bundle.manifest.runtime}: candidate {bundle.version}"
    stage_line("train", what, _seconds())
    if bundle.manifest.runtime != "onnx":
        click.echo(f"          {bundle.manifest.runtime_reason}")


@main.command()
@click.pass_obj
def evaluate(root: Path) -> None:
    """Stage 4: score the candidate on the held-out rows, with intervals, slices and plots."""
    from slipway import metrics
    from slipway.stages.evaluate import evaluate as stage

    at = _workspace(root)
    scores = stage(at.problem, at.params.evaluate, at.bundle, at.table, at.evaluation)
    shown = [name for name in metrics.headlines(at.target) if name in scores]
    text = ", ".join(f"{name} {scores[name].value:.4g}" for name in shown)
    stage_line("evaluate", text, _seconds())


@main.command()
@click.pass_obj
def gate(root: Path) -> None:
    """Judge the candidate: PROMOTE, HOLD or REJECT, with every reason.

    Floors, slices, size, the tests in tests/model, and the champion on the same held-out rows.
    The exit status is 1 for REJECT.
    """
    if _judge(_workspace(root)) == "REJECT":
        sys.exit(EXIT_REFUSED)


def _judge(workspace: Workspace) -> str:
    from slipway.gate import judge

    verdict = judge(workspace)
    show_verdict(verdict)
    return verdict.verdict


@main.command()
@click.pass_obj
def track(root: Path) -> None:
    """Record the candidate's run in MLflow; calling it again adds nothing.

    SQLite in mlflow.db by default; MLFLOW_TRACKING_URI names a server. `make ui` shows the runs.
    """
    _record(_workspace(root), must=True)


def _record(workspace: Workspace, *, must: bool) -> None:
    from slipway.tracking import track as record

    try:
        done = record(workspace)
    except SlipwayError as error:
        if must:
            raise
        click.secho(f"not recorded: {error}", fg="yellow", err=True)
        return
    stage_line("track", f"MLflow run {done.run_id}, {workspace.problem.name} version {done.model_version}")


@main.command()
@click.option("--force", is_flag=True, help="Overrule a verdict that is not PROMOTE; needs --reason.")
@click.option("--reason", help="Why the verdict is overruled; it is recorded.")
@click.pass_obj
def promote(root: Path, force: bool, reason: str | None) -> None:
    """Make the candidate the champion, with one commit.

    Refuses anything but a PROMOTE verdict of just this candidate and this champion. Moves champion.dvc, pushes to the
    DVC remote, commits. `git push` then releases it.
    """
    from slipway.release import promote as release

    if force and not reason:
        raise click.UsageError("--force needs --reason TEXT: it is recorded")
    if reason and not force:
        raise click.UsageError("--reason goes with --force; a PROMOTE verdict is its own reason")
    workspace = _workspace(root)
    decision = release(workspace, force_reason=reason)
    if decision is None:
        click.echo("The candidate is the champion already.")
        return
    click.echo(f"{decision.version} is the champion now, instead of {decision.previous or 'none'}.")
    _point_alias(workspace, decision.digest)


@main.command()
@click.argument("version", required=False)
@click.option("--reason", default="rolled back by hand", show_default=True, help="Why; it is recorded.")
@click.pass_obj
def rollback(root: Path, version: str | None, reason: str) -> None:
    """Make an earlier champion serve again, byte for byte, with one commit.

    VERSION is one that `slipway history` lists; by default the one that served before. What is rolled back is not
    promoted again unless asked.
    """
    from slipway.release import rollback as release

    workspace = _workspace(root)
    decision = release(workspace, version, reason=reason)
    click.echo(f"{decision.version} is the champion again, instead of {decision.previous}.")
    _point_alias(workspace, decision.digest)


def _point_alias(workspace: Workspace, digest: str) -> None:
    from slipway.tracking import set_alias

    try:
        version = set_alias(workspace, digest, "champion")
    except SlipwayError as error:
        click.secho(f"MLflow's alias was not moved: {error}", fg="yellow", err=True)
        return
    if version is None:
        click.echo("MLflow does not know this bundle; `slipway track` records it.")


@main.command()
@click.pass_obj
def history(root: Path) -> None:
    """List what was released, as Git recorded it: when, from, to, score, reason, who."""
    from slipway.release import history as releases

    found = releases(root)
    if found:
        show_history(found)
    else:
        click.echo("Nothing was released yet. `slipway run`, then `slipway promote`.")


@main.command()
@click.pass_obj
def report(root: Path) -> None:
    """Write the run's report: build/report.html for a browser, build/report.md for a pull request."""
    from slipway.report import write_report

    for path in write_report(_workspace(root)):
        click.echo(path)


@main.command()
@click.option("--bundle", type=click.Path(file_okay=False, path_type=Path), help="By default the champion's.")
@click.option("--host", help="By default 127.0.0.1.")
@click.option("--port", type=int, help="By default 8000.")
@click.pass_obj
def serve(root: Path, bundle: Path | None, host: str | None, port: int | None) -> None:
    """Serve the champion over HTTP: POST /predict, and a page at /.

    Settings are environment variables SLIPWAY_*; docs/serving.md lists them.
    """
    from slipway.champion import BUNDLE, POINTER
    from slipway.serving import run as run_server
    from slipway.serving.settings import Settings

    settings = Settings.from_environment(host=host, port=port, bundle=bundle)
    if "bundle" not in settings.model_fields_set:
        at = _workspace(root)
        bundle = at.champion / BUNDLE
        if not (root / POINTER).exists() and not bundle.exists() and at.bundle.exists():
            bundle = at.bundle
            click.secho("No champion yet: this serves the candidate. `slipway promote` releases it.", fg="yellow")
    _invite(bundle or settings.bundle, settings)
    run_server(bundle or settings.bundle, settings)


def _invite(bundle: Path, settings: Settings) -> None:
    """Print where the page is and a request that works; a bundle that cannot be read is told by the server itself."""
    from slipway.bundle import BundleError, read_bundle

    try:
        example = read_bundle(bundle).contract.example
    except BundleError:
        return
    url = f"http://{'127.0.0.1' if settings.host == '0.0.0.0' else settings.host}:{settings.port}"  # noqa: S104
    click.echo(f"The page: {url}/   the interface: {url}/docs   a prediction:\n")
    click.echo(f"  curl {url}/predict -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(example))}\n")


@main.command()
@click.argument("url", default="http://127.0.0.1:8000")
@click.option("--bundle", type=click.Path(file_okay=False, path_type=Path), help="By default the champion's.")
@click.option("--wait", type=float, default=30.0, show_default=True, help="Seconds to wait for it to be ready.")
@click.option("--ops-url", help="Where /readyz is, if on a port of its own.")
@click.option("--key", envvar="API_KEY", help="An API key, if the service asks for one; or $API_KEY.")
@click.pass_obj
def smoke(root: Path, url: str, bundle: Path | None, wait: float, ops_url: str | None, key: str | None) -> None:
    """Ask a running service whether it is ready, of the right version, and right about the golden rows.

    After a build, a deploy, a rollback: anywhere a service of the bundle should be running.
    """
    from slipway.bundle import read_bundle
    from slipway.champion import BUNDLE
    from slipway.smoke import Service
    from slipway.smoke import smoke as check

    asked = read_bundle(bundle or _workspace(root).champion / BUNDLE)
    rows = check(Service(url, key=key), asked, wait=wait, ops=Service(ops_url) if ops_url else None)
    click.echo(f"{url} serves {asked.manifest.name} {asked.version} and gives all {rows} golden rows their predictions")


@main.command()
@click.option(
    "--prometheus", default="http://127.0.0.1:9090", show_default=True, help="URL; a token: $PROMETHEUS_TOKEN."
)
@click.option("--window", default="24h", show_default=True, help="How far to look back.")
@click.option("--match", default='job="slipway"', show_default=True, help="Label matchers of the service's series.")
@click.option("--track/--no-track", default=True, help="Write the findings to the champion's version in MLflow.")
@click.pass_obj
def monitor(root: Path, prometheus: str, window: str, match: str, track: bool) -> None:
    """Read drift and live accuracy of the champion from Prometheus, and say whether retraining is due.

    The exit status is 3 if it is due, 0 if not, 1 if that could not be found out. A scheduled workflow asks this.
    """
    from slipway import monitor as monitoring
    from slipway.champion import read_decision

    champion = read_decision(root)
    if champion is None:
        raise SlipwayError("no champion yet; `slipway promote` makes one")
    workspace = _workspace(root)
    server = monitoring.Prometheus(prometheus, match, champion.version)
    floor = workspace.params.gate.floors.get("accuracy")
    findings = monitoring.observe(server, champion.version, window, floor)
    rows = [(f.outcome, f.what, f"{f.value:.3f}", f"{f.limit:.3f}", f.rows) for f in findings]
    table(f"Champion {champion.version}, the last {window}", ("", "what", "found", "limit", "rows"), rows)
    if track:
        _record_findings(workspace, champion.digest, monitoring.tags(findings, window))
    if monitoring.retraining_due(findings):
        click.secho("Retraining is due.", fg="yellow", bold=True)
        sys.exit(EXIT_RETRAIN)
    click.echo("Retraining is not due.")


def _record_findings(workspace: Workspace, digest: str, tags: dict[str, str]) -> None:
    from slipway.tracking import set_tags

    try:
        version = set_tags(workspace, digest, tags)
    except SlipwayError as error:
        click.secho(f"not recorded: {error}", fg="yellow", err=True)
        return
    if version is None:
        click.secho("MLflow does not know the champion; `slipway track` records a candidate.", fg="yellow", err=True)
    else:
        click.echo(f"Written to {workspace.problem.name} version {version} in MLflow.")


@main.command()
@click.pass_obj
def doctor(root: Path) -> None:
    """Say what is installed, which remotes and servers are configured, and whether they answer."""
    from slipway.doctor import examine

    findings = examine(_workspace(root))
    table("This project on this machine", ("", "what", "found"), findings)
    if any(outcome == "fail" for outcome, *_ in findings):
        sys.exit(EXIT_REFUSED)
