"""The shell blocks of the documents, run in a fresh clone: they do what the documents say."""

import os
import pty
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from checkouts import ROOT, make_template, run
from pipeline.workflow import environment, set_up
from slipway.scaffold.releases import version_of
from strangers import sales

MARKED = re.compile(r"(?:^<!-- needs: ([^>]*) -->\n)?^```(\w*)\n(.*?)^```", re.M | re.S)
LEFT_OUT = {  # of each document, in the order in which they are run, what its blocks need that are not run
    "docs/serving.md": ["network"],
    "README.md": [],
    "docs/tracking.md": ["a browser", "a server of MLflow"],
    "docs/your-own.md": ["network, and as long as CI takes"],
}
BEFORE = {  # what a reader has done before a command that stands in a document without it
    "README.md": {
        "curl": "dvc pull --quiet && slipway serve",
        "slipway run": "sed -i 's/inverse_regularization: 1.0/inverse_regularization: 1.1/' params.yaml && commit",
    },
    "docs/your-own.md": {
        "rm -rf data": "git checkout --quiet HEAD~1 -- champion.dvc && commit",
        "git remote": "commit",
    },
    "docs/serving.md": {},
    "docs/tracking.md": {},
}
# A service is waited for until it is ready, and ends with its document; its answer is kept for the next command. Runs
# are not recorded in MLflow, which other tests do and which takes as long as all the rest.
SHELL = """
serve() {
  exec 3< <(exec slipway serve --port PORT 2>&1); trap "kill $!" EXIT
  while read -r line <&3; do case $line in *'"event":"ready"'*) return;; esac; done; exit 1
}
slipway() { case $1 in serve) serve;; run) command slipway run --no-track;; *) command slipway "$@";; esac; }
make() { if [ "$1" = serve ]; then serve; else command make "$@"; fi; }
commit() { git add --all && git commit --quiet --allow-empty --message "As told"; }
curl() {
  command curl --silent --show-error --fail-with-body "$@" >~/said; cat ~/said
  case $* in */predict*) mv ~/said ~/answer;; esac
}
"""


class Block(NamedTuple):
    """needs: what it is marked to need. told: its commands, each with the output that the document shows, if any."""

    needs: str
    told: list[tuple[str, str | None]]


def blocks(name: str) -> list[Block]:
    return [
        Block(needs, _told(language, text))
        for needs, language, text in MARKED.findall((ROOT / name).read_text("utf-8"))
        if language in ("sh", "console")
    ]


def _told(language: str, text: str) -> list[tuple[str, str | None]]:
    text = text.replace("\\\n", " ")
    if language == "sh":
        return [(_plain(line), None) for line in text.splitlines()]
    return [tuple(part.split("\n", 1)) for part in re.split(r"^\$ ", text, flags=re.M)[1:]]


def _plain(line: str) -> str:
    """A line without its comment, as one can compare it."""
    return re.sub(r"\s+#.*", "", line)


def contained(block: Block, others: list[Block]) -> bool:
    """Whether another block has the same commands, in a row."""
    told = block.told
    starts = ((other, start) for other in others if other is not block for start in range(len(other.told)))
    return any(len(other.told) > len(told) and other.told[start:][: len(told)] == told for other, start in starts)


@pytest.fixture
def clone(penguins, every_part, tmp_path) -> Path:
    """A fresh clone, beside a table of one's own; what was run where the tests are is not run again."""
    template = make_template(tmp_path / "template")
    run(template, "git", "tag", f"v{version_of(ROOT)}")
    run(tmp_path, "git", "clone", "--quiet", str(template), "clone")
    set_up(tmp_path / "clone")
    run(tmp_path / "clone", "dvc", "config", "--local", "cache.dir", str(ROOT / ".dvc/cache"))
    sales().to_csv(tmp_path / "my-table.csv", index=False)
    columns = "species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g"
    (tmp_path / "clone/day.csv").write_text(f"{columns}\nGentoo,Biscoe,46.1,13.2,211,4500\n")
    return tmp_path / "clone"


def play(told: list[tuple[str, str | None]], before: dict[str, str], clone: Path) -> list[str]:
    """Run commands in one shell, which says yes to what it is asked; what each printed. One that fails is the last."""
    with socket.create_server(("", 0)) as free:
        port = str(free.getsockname()[1])
    lines = [SHELL]
    for command, _ in told:
        done_before = [words for start, words in before.items() if command.startswith(start)]
        lines += [*done_before, "echo $'\\x1e'", command]
    script = "\n".join(lines).replace("8000", port).replace("PORT", port)
    script = script.replace("ADDRESS-OF-THE-TEMPLATE", str(clone.parent / "template"))
    script = script.replace('"id":"…"', """"id":"'$(sed 's/.*"id":"//; s/".*//' ~/answer)'\"""")
    ours, theirs = pty.openpty()
    os.write(ours, b"y\n" * 20)
    env = environment() | {"HOME": str(clone.parent), "PYTHONPATH": str(clone / "src"), "EMAIL": "ada@example.org"}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    command = ["bash", "--noprofile", "--norc", "-e", "-c", script]
    done = subprocess.run(
        command, cwd=clone, env=env, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    os.close(ours)
    os.close(theirs)
    printed = done.stdout.split("\x1e\n")[1:]
    assert done.returncode == 0, f"{told[len(printed) - 1][0]}\n{printed[-1]}"
    return printed


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_block_that_is_not_run_is_marked_with_what_it_needs(name):
    assert [block.needs for block in blocks(name) if block.needs] == LEFT_OUT[name]


def test_the_blocks_do_what_their_documents_say(clone):
    everything = [block for name in LEFT_OUT for block in blocks(name)]
    for name in LEFT_OUT:
        told = [
            one for block in blocks(name) if not block.needs and not contained(block, everything) for one in block.told
        ]
        for (command, shown), printed in zip(told, play(told, BEFORE[name], clone), strict=True):
            expected = re.escape(_bare(shown or "…")).replace("…", ".*")
            assert re.fullmatch(expected, _bare(printed)), f"{command}\n{printed}"


def _bare(text: str) -> str:
    """A text without its spaces: documents break lines."""
    return re.sub(r"\s", "", text)
