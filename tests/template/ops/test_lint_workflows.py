"""What `make lint-workflows` refuses: faults in a workflow, in a script of CI, in what Dependabot is told."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
WORKFLOW = f"""
name: greet
on: pull_request
concurrency: {{group: greet, cancel-in-progress: true}}
permissions: {{}}
jobs:
  greet:
    name: Greet
    runs-on: ubuntu-24.04
    steps:
      - name: Check out
        uses: {CHECKOUT}
        with:
          persist-credentials: false
      - name: Say it
        run: echo "$TITLE"
        env:
          TITLE: ${{{{ github.event.pull_request.title }}}}
"""
FAULTS = {
    "text from outside in a script": (
        '"$TITLE"',
        '"${{ github.event.pull_request.title }}"',
        "template-injection",
    ),
    "an action that can be moved": (CHECKOUT, "actions/checkout@v7", "unpinned-uses"),
    "credentials that stay in the checkout": ("persist-credentials: false", "clean: true", "artipacked"),
    "every permission there is": ("permissions: {}", "permissions: write-all", "excessive-permissions"),
    "another's code with this one's token": (
        "on: pull_request",
        "on: pull_request_target",
        "dangerous-triggers",
    ),
    "a key that there is not": ("runs-on:", "run-on:", "schema"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one workflow and one script, both without fault."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / ".github" / "workflows" / "greet.yml").write_text(WORKFLOW)
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "greet").write_text('#!/bin/sh\necho "$TITLE"\n')
    return tmp_path


def lint(project: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "--old-file", ".venv/.done", "lint-workflows"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_what_has_no_fault_passes(project):
    done = lint(project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_workflow_is_refused(project, fault):
    old, new, told = FAULTS[fault]
    assert old in WORKFLOW
    (project / ".github" / "workflows" / "greet.yml").write_text(WORKFLOW.replace(old, new))
    done = lint(project)
    assert done.returncode != 0
    assert told in (done.stdout + done.stderr).lower()


def test_a_script_that_splits_what_it_is_given_is_refused(project):
    (project / ".ci" / "greet").write_text("#!/bin/sh\necho $TITLE\n")
    done = lint(project)
    assert done.returncode != 0
    assert "SC2086" in done.stdout


@pytest.mark.parametrize("name", [".github/dependabot.yml", ".gitlab-ci.yml"])
def test_settings_that_no_schema_knows_are_refused(project, name):
    (project / name).write_text("version: two\nstages: 3\n")
    assert lint(project).returncode != 0


def test_a_project_without_github_has_only_its_scripts_checked(project):
    shutil.rmtree(project / ".github")
    assert lint(project).returncode == 0
