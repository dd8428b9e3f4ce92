"""On Windows every module can be imported, and the server says where it runs."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkouts import ROOT
from slipway.problem import SlipwayError
from slipway.serving import Settings
from slipway.serving.server import run

UNIX = {
    "curses",
    "fcntl",
    "grp",
    "posix",
    "pty",
    "pwd",
    "readline",
    "resource",
    "syslog",
    "termios",
    "tty",
}  # of Python's
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
NOT_THERE = UNIX | {re.match(r"[\w-]+", one)[0] for one in DECLARED if "sys_platform != 'win32'" in one}


def imported(nodes: list[ast.stmt]) -> Iterator[str]:
    """The modules that are imported when a module is; not in functions, and not for type checkers only."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.If) and (
            "TYPE_CHECKING" in ast.unparse(node.test) or "win32" in ast.unparse(node.test)
        ):
            yield from imported(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            blocks = (getattr(node, name, []) for name in ("body", "orelse", "finalbody"))
            yield from imported([each for block in blocks for each in block])


def found(root: Path) -> dict[str, set[str]]:
    modules = {path: set(imported(ast.parse(path.read_text()).body)) & NOT_THERE for path in root.rglob("*.py")}
    return {path.relative_to(root).as_posix(): names for path, names in modules.items() if names}


def test_no_module_needs_what_windows_lacks():
    assert "uvloop" in NOT_THERE
    assert found(ROOT / "src") == {}


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import fcntl", {"fcntl"}),
        ("class A:\n    from uvloop import run", {"uvloop"}),
        ("try:\n    import resource\nfinally:\n    pass", {"resource"}),
        ("def f():\n    import resource", set()),
        ("if TYPE_CHECKING:\n    import pwd", set()),
        ("if sys.platform != 'win32':\n    import pwd", set()),
    ],
)
def test_such_a_module_is_found(tmp_path, code, names):
    (tmp_path / "one.py").write_text(code)
    assert found(tmp_path) == ({"one.py": names} if names else {})


def test_the_server_says_where_it_runs(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SlipwayError, match="runs on Linux and macOS: use the image"):
        run(Settings(), [])
