"""Whole checkouts in a folder of their own: the project's files, its data, a Git and a DVC repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from slipway.gate import Verdict, judge
from slipway.release import promote
from slipway.stages.evaluate import evaluate
from slipway.stages.prepare import prepare
from slipway.stages.train import train
from slipway.stages.validate import ValidationReport, validate
from slipway.versioning import fetch
from slipway.workspace import Workspace

ROOT = Path(__file__).parents[2]
FILES = ("pyproject.toml", "params.yaml", "dvc.yaml", ".gitignore", ".dvcignore", ".gitattributes", "data.dvc")
FOLDERS = ("src/project", "src/slipway", "tests/model")


class DataRefused(Exception):
    """Validation did not pass; the report is the argument."""

    def __init__(self, report: ValidationReport) -> None:
        super().__init__("; ".join(f"{f.column}: {f.expectation}: {f.found} {f.values}" for f in report.failures))
        self.report = report


def run(folder: Path, *command: str) -> str:
    """Run a command there; its output, which is shown if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def make_repository(folder: Path) -> Path:
    """Make a Git repository with an author and no commit; its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    run(folder, "git", "config", "user.name", "Ada")
    run(folder, "git", "config", "user.email", "ada@example.org")
    return folder


def commit_files(root: Path, message: str, files: dict[str, str | None]) -> str:
    """Write these files, or remove them (None), in one commit of all that changed; its hash."""
    for name, text in files.items():
        if text is None:
            run(root, "git", "rm", "--quiet", "--", name)
            continue
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--allow-empty", "--message", message)
    return run(root, "git", "rev-parse", "HEAD").strip()


def make_template(folder: Path) -> Path:
    """Make a repository of all present files, in one commit; its folder."""
    make_repository(folder)
    for name in run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    commit_files(folder, "The template", {})
    return folder


def make_checkout(folder: Path) -> Workspace:
    """Make a checkout of the project's present files, with its data and nothing built or released, in one commit."""
    folder.mkdir(parents=True)
    for name in FILES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc" / name)
    shutil.copytree(ROOT / ".dvc" / "store", folder / ".dvc" / "store")
    make_repository(folder)
    run(folder, "git", "add", ".")
    run(folder, "git", "commit", "--quiet", "--message", "The project")
    fetch(folder)
    return Workspace(folder)


def run_stages(workspace: Workspace) -> Verdict:
    """Run every stage and the gate, in this process. Raises DataRefused, or what a stage raises."""
    prepare(workspace.problem, workspace.params.prepare, workspace.data, workspace.table)
    report = validate(workspace.problem, workspace.params.validate_, workspace.table, workspace.validation)
    if not report.passed:
        raise DataRefused(report)
    train(workspace.problem, workspace.params, workspace.table, workspace.validation, workspace.bundle)
    evaluate(workspace.problem, workspace.params.evaluate, workspace.bundle, workspace.table, workspace.evaluation)
    return judge(workspace)


def make_release(folder: Path) -> Workspace:
    """Make a checkout whose first model was released."""
    workspace = make_checkout(folder)
    assert run_stages(workspace).verdict == "PROMOTE"
    promote(workspace)
    return workspace


def copy_checkout(workspace: Workspace, folder: Path) -> Workspace:
    """Copy a checkout with all that was built and released in it."""
    shutil.copytree(workspace.root, folder, symlinks=True)
    return Workspace(folder)


def commit_params(workspace: Workspace, old: str, new: str) -> Workspace:
    """Change `params.yaml` in a commit."""
    path = workspace.root / "params.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    run(workspace.root, "git", "commit", "--quiet", "--all", "--message", f"Turn {old} into {new}")
    return Workspace(workspace.root)


def retrain(workspace: Workspace, regularization: float) -> Workspace:
    """Make and judge another candidate; a little better than the champion where it is regularized a little less."""
    new = f"inverse_regularization: {regularization}"
    workspace = commit_params(workspace, "inverse_regularization: 1.0", new)
    train(workspace.problem, workspace.params, workspace.table, workspace.validation, workspace.bundle)
    evaluate(workspace.problem, workspace.params.evaluate, workspace.bundle, workspace.table, workspace.evaluation)
    judge(workspace)
    return workspace
