"""What the Git hooks of .pre-commit-config.yaml refuse, each with the way out, before it is in a commit."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from checkouts import ROOT, run

NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "source": "open('/home/ada/rows.csv')",
            "outputs": [{"output_type": "stream", "text": "AWS_KEY = 'AKIA" + "Z" * 16 + "'"}],
        }
    ]
}
FAULTS = {
    "a notebook with outputs, a secret and a path": (
        "notebooks/mine.ipynb",
        json.dumps(NOTEBOOK),
        "commit the script: jupytext --to py:percent FILE",
    ),
    "a path of one machine": (
        "notebooks/mine.py",
        'ROWS = "/home/ada/rows.csv"\n',
        'notebooks/mine.py:1:ROWS = "/home/ada/rows.csv"',
    ),
    "a secret": ("src/project/data.py", f'KEY = "AKIA{"ZXCVBNMA" * 2}"\n', "Secret Type: AWS Access Key"),
    "rows": ("rows.csv", "1,2\n" * 300_000, "git rm --cached FILE && .venv/bin/dvc add FILE"),
    "YAML that is none": ("k8s/one.yaml", "kind: [\n", "expected the node content"),
    "an unused import": ("src/project/model.py", "import os\n", "ruff check"),
    "a parameter that does not exist": ("params.yaml", "speed: 3\n", "speed: unknown"),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A repository with the hooks' configuration and the project."""
    folder = tmp_path_factory.mktemp("hooks") / "checkout"
    shutil.copytree(ROOT / "src/project", folder / "src/project", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".pre-commit-config.yaml", ".gitignore", "pyproject.toml", "params.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    run(folder, "git", "init", "--quiet")
    return folder


@pytest.fixture
def checkout(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "checkout", symlinks=True))


def hooks(checkout: Path) -> subprocess.CompletedProcess[str]:
    """Run the hooks over what is to be committed."""
    command = [ROOT / ".venv/bin/pre-commit", "run"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


def test_a_change_without_fault_is_committed(checkout):
    run(checkout, "git", "add", ".pre-commit-config.yaml", "src/project/data.py", "params.yaml")
    done = hooks(checkout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_with_the_way_out(checkout, fault):
    name, text, told = FAULTS[fault]
    path = checkout / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    run(checkout, "git", "add", ".pre-commit-config.yaml")
    run(checkout, "git", "add", "--force", name)
    done = hooks(checkout)
    assert done.returncode != 0
    assert told in done.stdout


def test_a_notebook_is_not_even_added(checkout):
    (checkout / "mine.ipynb").write_text(json.dumps(NOTEBOOK))
    assert "mine.ipynb" not in run(checkout, "git", "status", "--porcelain", "--untracked-files=all")
