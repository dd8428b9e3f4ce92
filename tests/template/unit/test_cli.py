import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from slipway.cli import main

COMMANDS = list(main.commands)


def call(*arguments: str):
    return CliRunner().invoke(main, list(arguments))


def test_help_lists_every_command_and_says_what_to_do_every_day():
    said = call("--help").output
    assert "Every day:" in said
    for name in ("run", "prepare", "validate", "train", "evaluate", "gate", "track", "promote", "rollback", "history"):
        assert f"\n  {name} " in said
    for name in ("report", "serve", "doctor"):
        assert f"\n  {name} " in said


def test_the_list_of_commands_shows_each_summary_whole_on_a_narrow_terminal():
    listed = CliRunner().invoke(main, ["--help"], terminal_width=80).output.partition("Commands:")[2]
    assert len(listed.splitlines()) == len(COMMANDS) + 1
    assert "..." not in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_each_commands_help_teaches(name):
    command = main.commands[name]
    assert isinstance(command, click.Command)
    assert len(command.help) > 60
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    assert call(name, "--help").exit_code == 0


def test_an_error_for_a_person_is_one_line_without_a_traceback(tmp_path):
    done = call("--root", str(tmp_path), "gate")
    assert done.exit_code == 1
    assert "run slipway in the project's folder" in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["promote", "--force"], "--force needs --reason"),
        (["promote", "--reason", "x"], "--reason goes with --force"),
        (["promot"], "No such command 'promot'"),
    ],
)
def test_a_wrong_call_says_what_is_right(arguments, words):
    done = call(*arguments)
    assert done.exit_code == 2
    assert words in done.stderr


def test_history_shows_the_releases_of_a_checkout(released):
    said = call("--root", str(released.root), "history").output
    assert "promote" in said
    assert "Ada <ada@example.org>" in said


def test_help_imports_nothing_that_is_heavy():
    code = (
        "import slipway.cli, sys; print([m for m in ('numpy', 'pandas', 'dvc', 'mlflow', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
