"""Each command that a document names exists, with its options and its files; each link leads somewhere.

The commands are not run: `make` is asked what it would do, `slipway` and `dvc` only read their arguments.
"""

from __future__ import annotations

import ast
import functools
import importlib
import subprocess
from pathlib import Path

import click
import pytest
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser

from checkouts import ROOT
from documents import BLOCK, commands
from slipway.cli import main

DOCUMENTS = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if path.name != "LICENSE.md")


def wrong(words: list[str], root: Path = ROOT) -> str | None:
    """Say what is wrong with a command; None if nothing is known to be."""
    program = words[0].removeprefix(".venv/bin/")
    if program == "make":
        return _make(tuple(words[1:]), root)
    if program == "slipway":
        return _slipway(words[1:])
    if program == "dvc":
        return _dvc(words[1:])
    files = words[1:] if program in ("pytest", "python") else words[:1]
    named = [word.partition("::")[0] for word in files if "/" in word and not word.startswith("-")]
    gone = [name for name in named if name.startswith((".", *folders(root))) and not (root / name).exists()]
    return f"no such file: {', '.join(gone)}" if gone else None


def folders(root: Path) -> tuple[str, ...]:
    return tuple(f"{path.name}/" for path in root.iterdir() if path.is_dir())


@functools.cache
def _make(words: tuple[str, ...], root: Path) -> str | None:
    done = subprocess.run(["make", "--dry-run", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else None


def _slipway(words: list[str]) -> str | None:
    names = [word for word in words if not word.startswith("-")]
    if not names:
        return None
    if not (found := main.commands.get(names[0])):
        return f"no such command: {names[0]}"
    context = click.Context(found)
    try:
        _, rest, _ = found.make_parser(context).parse_args(words[words.index(names[0]) + 1 :])
    except click.UsageError as error:
        return error.format_message()
    return f"too many arguments: {rest}" if rest else None


def _dvc(words: list[str]) -> str | None:
    try:
        get_main_parser().parse_args(words if len(words) > 1 else [*words, "--help"])  # a name alone may lack arguments
    except DvcParserError:
        return "no command of DVC's"
    except SystemExit:  # after its help
        return None
    return None


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_command_that_a_document_names_exists(path):
    found = {" ".join(words): wrong(words) for words in commands(path)}
    assert {command: why for command, why in found.items() if why} == {}


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("make fly", "No rule to make target"),
        ("slipway fly", "no such command: fly"),
        ("slipway run --fast", "No such option"),
        ("slipway history one", "too many arguments"),
        ("cd here && X=1 dvc repro --fly", "no command of DVC's"),
        ("pytest tests/template/unit/test_gone.py::test_it", "no such file: tests/template/unit/test_gone.py"),
        (".ci/gone FOLDER | cat", "no such file: .ci/gone"),
    ],
)
@pytest.mark.parametrize("form", ["```sh\n{}\n```\n", "```console\n$ {}\nits output\n```\n", "Say `{}` twice."])
def test_a_command_that_is_wrong_is_told(tmp_path, block, why, form):
    if "`{}`" in form and block.startswith("cd"):
        block = block.partition("X=1 ")[2]
    path = tmp_path / "page.md"
    path.write_text(form.format(block))
    assert why in "; ".join(str(wrong(words)) for words in commands(path))


def test_each_link_of_a_document_leads_somewhere():
    done = subprocess.run([ROOT / ".ci/documents"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_python_that_a_document_shows_can_be_read_and_what_it_imports_of_slipway_exists(path):
    for language, block in BLOCK.findall(path.read_text()):
        if language != "python":
            continue
        imports = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
        for node in imports:
            if node.module and node.module.startswith("slipway"):
                module = importlib.import_module(node.module)
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []
