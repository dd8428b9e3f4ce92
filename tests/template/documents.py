"""The commands that documents name: lines of their shell blocks, and commands in backticks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = re.compile(r"(make|slipway|dvc|pytest|python|[\w./-]+/[\w.-]+) ")  # of a command in backticks
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def commands(path: Path) -> Iterator[list[str]]:
    """Each command of a document as words, without the variables before it. Raises ValueError if no shell reads it."""
    text = path.read_text("utf-8").replace("\\\n", " ")
    for language, block in BLOCK.findall(text):
        if language == "console":  # with what the commands print
            yield from _split(line[2:] for line in block.splitlines() if line.startswith("$ "))
        elif language in ("sh", "bash"):
            yield from _split(block.splitlines())
    yield from _split(code for code in re.findall(r"`([^`\n]+)`", BLOCK.sub("", text)) if PROGRAMS.match(code))


def _split(lines: Iterator[str] | list[str]) -> Iterator[list[str]]:
    for line in lines:
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        found: list[str] = []
        for word in [*words, ";"]:
            if not set(word) <= set("();<>|&"):
                found.append(word)
                continue
            while found and re.match(r"\w+=", found[0]):
                del found[0]
            if found:
                yield found
            found = []
