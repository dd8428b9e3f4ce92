"""Commands around a service: serve, smoke, monitor, and doctor."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.cli.command import command, main, update_mlflow
from slipway.cli.console import EXIT_REFUSED, EXIT_RETRAIN, table

if TYPE_CHECKING:
    from slipway.monitor import Finding
    from slipway.serving.settings import Settings
    from slipway.workspace import Workspace


@main.command()
@click.option("--bundle", type=click.Path(file_okay=False, path_type=Path), help="By default the champion's.")
@click.option("--host", help="By default 127.0.0.1.")
@click.option("--port", type=int, help="By default 8000.")
@click.pass_obj
def serve(root: Path, bundle: Path | None, host: str | None, port: int | None) -> None:
    """Serve the champion over HTTP: POST /predict, and a page at /.

    The settings are environment variables SLIPWAY_*; docs/serving.md lists them.
    """
    from slipway.champion import BUNDLE, POINTER, fetch_champion
    from slipway.problem import declared
    from slipway.serving.settings import PREFIX, Settings
    from slipway.workspace import Workspace

    settings = Settings.from_environment(host=host, port=port, bundle=bundle)
    if "bundle" not in settings.model_fields_set:
        at = Workspace(root)
        bundle = at.champion / BUNDLE
        if (root / POINTER).exists():
            fetch_champion(root)
        elif not bundle.exists() and at.bundle.exists():
            bundle = at.bundle
            click.secho("No champion yet: this serves the candidate. `slipway promote` releases it.", fg="yellow")
    # The application reads its settings where `uvicorn project.app:app` has them, too: in the environment.
    app = (declared(root) if (root / "pyproject.toml").exists() else {}).get("app")
    chosen = {"app": os.environ.get("SLIPWAY_APP", app), "bundle": bundle, "host": host, "port": port}
    os.environ |= {PREFIX + name.upper(): str(value) for name, value in chosen.items() if value is not None}
    settings = Settings.from_environment()

    from slipway.serving.server import bind, run

    sockets = bind(settings)
    _invite(settings, sockets[0].getsockname()[1])
    run(settings, sockets)


def _invite(settings: Settings, port: int) -> None:
    """Print where the page is and a request that works; the server itself reports a bundle that cannot be read."""
    from slipway.model.bundle import BundleError, read_bundle

    try:
        example = read_bundle(settings.bundle).contract.example
    except BundleError:
        return
    url = f"http://{'127.0.0.1' if settings.host == '0.0.0.0' else settings.host}:{port}"  # noqa: S104
    click.echo(f"The page: {url}/   the interface: {url}/docs   a prediction:\n")
    click.echo(f"  curl {url}/predict -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(example))}\n")


@command
@click.argument("url", default="http://127.0.0.1:8000")
@click.option("--bundle", type=click.Path(file_okay=False, path_type=Path), help="By default the champion's.")
@click.option("--wait", type=float, default=30.0, show_default=True, help="Seconds to wait for it to be ready.")
@click.option("--ops-url", help="Where /readyz is, if on a port of its own.")
@click.option("--key", envvar="API_KEY", help="An API key, if the service asks for one; or $API_KEY.")
def smoke(at: Workspace, url: str, bundle: Path | None, wait: float, ops_url: str | None, key: str | None) -> None:
    """Check a running service: readiness, version, golden rows.

    Use it after a build, a deploy or a rollback.
    """
    from slipway.champion import BUNDLE
    from slipway.cli.smoke import smoke as check
    from slipway.http import Service
    from slipway.model.bundle import read_bundle

    asked = read_bundle(bundle or at.champion / BUNDLE)
    rows = check(Service(url, key=key), asked, wait=wait, ops=Service(ops_url) if ops_url else None)
    click.echo(f"{url} serves {asked.manifest.name} {asked.version} and gives all {rows} golden rows their predictions")


@command
@click.option(
    "--prometheus", default="http://127.0.0.1:9090", show_default=True, help="URL; a token: $PROMETHEUS_TOKEN."
)
@click.option("--match", default='job="slipway"', show_default=True, help="Label matchers of the service's series.")
@click.option("--track/--no-track", default=True, help="Write the findings to the champion's version in MLflow.")
def monitor(at: Workspace, prometheus: str, match: str, track: bool) -> None:
    """Show drift and live accuracy, and whether to retrain.

    The figures are the champion's over the last 24 hours, from Prometheus. Retraining is due when an alert of severity
    `retrain` fires: the exit status is 3 if it is due, 0 if not, and 1 if Prometheus could not be asked. A scheduled
    workflow runs this.
    """
    from slipway import monitor as monitoring
    from slipway.champion import read_decision, require_released

    champion = require_released(read_decision(at.root))
    findings, alerts = monitoring.observe(prometheus, match, champion.version)
    rows = [(f.what, _value(f), f"{f.threshold or math.nan:.3f}", f.rows) for f in findings]
    table(f"Champion {champion.version}, the last 24 hours", ("what", "found", "threshold", "rows"), rows)
    found = {finding.what for finding in findings}
    for what, needs in monitoring.NEEDED.items():
        if what not in found:
            click.echo(f"No {what}: it needs {needs}, and traffic.")
    if track:
        update_mlflow(at, champion.digest, "not recorded", tags=monitoring.tags(findings, alerts))
    if alerts:
        click.secho(f"Retraining is due: {', '.join(alerts)}", fg="yellow", bold=True)
        sys.exit(EXIT_RETRAIN)
    click.echo("Retraining is not due.")


def _value(finding: Finding) -> str:
    ends = " to ".join(f"{end:.3f}" for end in finding.band)
    return f"{finding.value:.3f}" + (f" ({ends})" if ends else "")


@command
@click.option("--quick", is_flag=True, help="Check only packages, problem and parameters, as before a commit.")
def doctor(at: Workspace, quick: bool) -> None:
    """Check the installation, the project and its remotes.

    Each remote and server that is configured is asked for an answer.
    """
    from slipway.cli.doctor import examine

    findings = examine(at, quick=quick)
    table("This project on this machine", ("", "what", "found"), findings)
    if any(outcome == "fail" for outcome, *_ in findings):
        sys.exit(EXIT_REFUSED)
