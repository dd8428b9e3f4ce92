"""The checks of `slipway doctor`: the installed tools, the configuration, and whether configured services answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from slipway.champion import BUNDLE, read_decision
from slipway.http import Service
from slipway.model.bundle import read_bundle
from slipway.problem import SlipwayError
from slipway.versioning import dvc_repository, git, remote_folder
from slipway.workspace import Workspace

PACKAGES = ("slipway", "scikit-learn", "onnxruntime", "great-expectations", "dvc", "mlflow", "fastapi")
PIPELINE = ".github/workflows/pipeline.yml"
BRANCHES = ("main", "master")  # whose pushes start the pipeline
SHOWN = 10  # files that are named
# What they are asked; without them images are not built, or nothing is deployed.
TOOLS = {"docker": ("version", "--format", "{{.Server.Version}}"), "kubectl": ("config", "current-context")}
TIMEOUT = 5  # seconds that a server or a tool has to answer
Finding = tuple[str, str, str]  # pass, hold or fail; what; what was found


def examine(workspace: Workspace, *, quick: bool = False) -> list[Finding]:
    """Check everything that Slipway may need. `fail`: Slipway cannot work; `hold`: something optional is missing.

    quick: only packages, problem and parameters, which takes less than a second.
    """
    checks: dict[str, Callable[[Workspace], str]] = {"problem and params": _project}
    if not quick:
        checks |= {"Git": _git, "DVC remote": _dvc, "data": _data, "champion": _champion}
        checks |= {"template": _template, "MLflow": _mlflow, **{name: partial(_tool, name) for name in TOOLS}}
    findings = list(_installed())
    for what, check in checks.items():
        try:
            findings.append(("pass", what, check(workspace)))
        except SlipwayError as error:
            findings.append(("hold" if what in ("template", *TOOLS) else "fail", what, str(error)))
    return findings


def _installed() -> Iterator[Finding]:
    yield "pass", "Python", sys.version.split()[0]
    for package in PACKAGES:
        try:
            yield "pass", package, version(package)
        except PackageNotFoundError:
            yield "fail", package, "not installed: `make setup`"


def _project(workspace: Workspace) -> str:
    from slipway.problem.params import check_arguments

    check_arguments(workspace.problem.build, workspace.params.model)
    return f"{workspace.problem.name}: predicts {workspace.problem.target} from {', '.join(workspace.features.names)}"


def _git(workspace: Workspace) -> str:
    git(workspace.root, "rev-parse", "--git-dir")
    remotes = git(workspace.root, "remote").split()
    if not remotes:
        return "a repository without a remote: nothing is pushed"
    found = f"remote {', '.join(remotes)}"
    try:
        default = (
            git(workspace.root, "symbolic-ref", "--short", f"refs/remotes/{remotes[0]}/HEAD").strip().partition("/")[2]
        )
    except SlipwayError:  # only a clone knows it
        return f"{found}; its default branch is not known here: git remote set-head {remotes[0]} --auto"
    if default not in BRANCHES:
        raise SlipwayError(
            f"{found}: the default branch is {default}; let {PIPELINE} start for it, too (on: push: branches)"
        )
    return f"{found}, default branch {default}"


def _dvc(workspace: Workspace) -> str:
    with dvc_repository(workspace.root) as repository:
        name = repository.config["core"].get("remote")
        if not name:
            raise SlipwayError("none is configured: `dvc remote add --default NAME URL`")
        folder = remote_folder(workspace.root, repository)
        url = folder or repository.config["remote"][name]["url"]
        try:
            odb = repository.cloud.get_remote_odb(name)
            odb.fs.info(odb.path)  # fs.exists() takes a server that does not answer for an empty one
        except FileNotFoundError:
            raise SlipwayError(f"{name} ({url}) is not reachable, or nothing was pushed to it: `dvc push`") from None
        except Exception as error:  # each kind of remote has its own library with its own errors
            raise SlipwayError(f"{name} ({url}) does not answer: {error}") from error
        return f"{name} ({url})"


def _data(workspace: Workspace) -> str:
    if not workspace.data.exists():
        raise SlipwayError("not here: `dvc pull data.dvc`")
    files = [path for path in workspace.data.rglob("*") if path.is_file()]
    return f"{len(files)} file(s), {sum(path.stat().st_size for path in files) / 1e6:.3g} MB"


def _champion(workspace: Workspace) -> str:
    decision = read_decision(workspace.root)
    if decision is None:
        return "none yet: `slipway run`, then `slipway promote`"
    read_bundle(workspace.champion / BUNDLE, expected=decision.digest)
    return f"{decision.version}, verified"


def _template(workspace: Workspace) -> str:
    """Name the template's files that were changed here, which an upgrade has to merge."""
    from slipway.scaffold.releases import differing, version_of

    changed, release = differing(workspace.root), version_of(workspace.root)
    if not changed:
        return f"its files here are as in release {release}"
    named = ", ".join(changed[:SHOWN]) + f" and {len(changed) - SHOWN} more" * (len(changed) > SHOWN)
    raise SlipwayError(f"{len(changed)} of its files differ from release {release}: {named}")


def _mlflow(_: Workspace) -> str:
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return "mlflow.db in this folder (MLFLOW_TRACKING_URI names a server)"
    if not uri.startswith(("http://", "https://")):
        return uri
    # Not /health: a server whose allowed hosts do not include this name says 200 there, and 403 to everything else.
    answer = Service(uri, timeout=TIMEOUT).ask("/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default")
    if not answer.status:
        raise SlipwayError(f"{uri} does not answer: {answer.content}")
    if answer.status != 200:
        refused = "; set its --allowed-hosts" if answer.status == 403 else ""
        raise SlipwayError(f"{uri} answers {answer.status}{refused}")
    return f"{uri} answers 200"


def _tool(name: str, _: Workspace) -> str:
    if not shutil.which(name):
        raise SlipwayError("not installed; needed only to build images or deploy")
    try:
        run = subprocess.run([name, *TOOLS[name]], capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise SlipwayError("does not answer") from None
    said = next(iter((run.stdout + run.stderr).strip().splitlines()), "no answer")
    if run.returncode:
        raise SlipwayError(said)
    return said
