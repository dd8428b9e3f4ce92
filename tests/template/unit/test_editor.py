"""The settings of VS Code and of the development container: they name what exists."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checkouts import ROOT
from slipway.cli import main

SETTINGS, CONTAINER = ROOT / ".vscode", ROOT / ".devcontainer"


def read(path: Path):
    return json.loads(re.sub(r" // part: .*", "", path.read_text()))


@pytest.mark.parametrize("task", read(SETTINGS / "tasks.json")["tasks"], ids=lambda task: task["label"])
def test_each_task_is_a_target_of_make(task):
    program, target = task["command"].split()
    assert program == "make"
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_debugged_are_commands_of_slipway():
    content = read(SETTINGS / "launch.json")
    stages = {each["id"]: each["options"] for each in content["inputs"]}["stage"]
    named = {each["args"][0] for each in content["configurations"] if each["module"] == "slipway"}
    assert (named - {"${input:stage}"}) | set(stages) <= set(main.commands)


def test_the_tests_that_the_editor_discovers_are_there():
    settings = read(SETTINGS / "settings.json")
    assert settings["python.defaultInterpreterPath"].endswith("/.venv/bin/python")
    assert all((ROOT / folder).is_dir() for folder in settings["python.testing.pytestArgs"])


def test_the_container_has_the_extensions_that_are_recommended():
    recommended = set(read(SETTINGS / "extensions.json")["recommendations"])
    inside = read(CONTAINER / "devcontainer.json")["customizations"]["vscode"]["extensions"]
    assert set(inside) == recommended - {"ms-vscode-remote.remote-containers"}


def test_the_container_has_the_python_of_the_image():
    bases = {
        re.search(r"^ARG BASE=(.*)$", path.read_text(), re.M)[1]
        for path in (ROOT / "Dockerfile", CONTAINER / "Dockerfile")
    }
    assert len(bases) == 1


def test_the_containers_dockerfile_has_no_fault():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    command = [hadolint, "--ignore", "DL3008", str(CONTAINER / "Dockerfile")]  # versions of Debian's packages
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
