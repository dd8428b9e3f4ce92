"""A checkout without some of its parts: everything or nothing."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from slipway.problem import SlipwayError
from slipway.scaffold.parts import PARTS
from slipway.scaffold.swap import recover, replace
from slipway.versioning import git_names, require_committed

MARK = re.compile(r"(?:#|//|<!--) (part|end): ([a-z-]+)(.*)")
HEADING = re.compile(r"(#+) ")
LINK = re.compile(r"\[([^\]\[]*)\]\(([^)\s#]+)(?:#[^)]*)?\)")
SKIPPED = ("src/slipway/", ".dvc/", "data/")


@dataclass(frozen=True)
class Removal:
    """The changes that remove parts. names: the parts. removes: files. writes: the text of files that lose lines."""

    root: Path
    names: tuple[str, ...]
    removes: tuple[str, ...]
    writes: Mapping[str, str]


def tracked(root: Path, *paths: str) -> list[str]:
    """List the files of the checkout that Git knows, all or below some paths."""
    return [name for name in git_names(root, "ls-files", "-z", "--", *paths) if (root / name).is_file()]


def files(root: Path, name: str) -> list[str]:
    """List the files and folders of a part that are in a checkout."""
    return [path for path in PARTS[name].paths if tracked(root, path)]


def make_removal(root: Path, names: Collection[str]) -> Removal:
    """Plan to take parts out of a checkout.

    Raises SlipwayError for a part that there is not, and where uncommitted work could be lost.
    """
    if unknown := sorted(set(names) - set(PARTS)):
        raise SlipwayError(f"{', '.join(unknown)}: no such part; there are {', '.join(PARTS)}")
    recover(root)
    require_committed(root)
    gone = {*names, *(other for name in names for other in PARTS[name].with_it)}
    removes = tracked(root, *(path for name in gone for path in PARTS[name].paths))
    stays = sorted(set(tracked(root)) - set(removes))
    absent = _with_folders(removes) - _with_folders(stays)
    writes = {}
    for name in stays:
        if name.startswith(SKIPPED):
            continue
        try:
            before = (root / name).read_bytes().decode()
        except UnicodeDecodeError:
            continue
        after = without(before, gone, name)
        if name.endswith(".md"):
            after = unlinked(after, name, absent)
        if after != before:
            writes[name] = after
    if not removes and not writes:
        raise SlipwayError(f"{', '.join(sorted(names))}: nothing of it is here any more")
    return Removal(root, tuple(name for name in PARTS if name in gone), tuple(removes), writes)


def _with_folders(names: Collection[str]) -> set[str]:
    return {*names, *(str(folder) for name in names for folder in PurePosixPath(name).parents)}


def without(text: str, gone: Collection[str], place: str) -> str:
    """Give a text without the lines that are marked as a part's. Raises SlipwayError for a mark that no part has."""
    lines, kept, at = text.splitlines(keepends=True), list[str](), 0
    while at < len(lines):
        line, mark = lines[at], MARK.search(lines[at])
        at += 1
        if mark and mark[2] not in PARTS:
            raise SlipwayError(f"{place}: the mark {mark[0]!r} names no part")
        if not mark or mark[2] not in gone:
            kept.append(line)
        elif mark[1] == "part" and not line[: mark.start()].strip():
            at = _end(lines, at, mark)
            if at < len(lines) and not lines[at].strip() and not (kept and kept[-1].strip()):
                at += 1  # of the empty lines around a region one stays
    return "".join(kept)


def _end(lines: Sequence[str], start: int, begin: re.Match[str]) -> int:
    """Find the line after a marked region."""
    heading = HEADING.match(lines[start]) if begin[0].startswith("<!--") else None
    fenced = False
    for at in range(start + 1, len(lines)):
        mark = MARK.search(lines[at])
        if mark and (mark[1], mark[2]) == ("end", begin[2]):
            return at + 1
        fenced ^= lines[at].startswith("```")
        if not heading and not lines[at].strip():
            return at
        if heading and not fenced and (other := HEADING.match(lines[at])) and len(other[1]) <= len(heading[1]):
            return at - 1 if MARK.search(lines[at - 1]) else at
    return len(lines)


def unlinked(text: str, place: str, gone: Collection[str]) -> str:
    """Turn links to removed files into plain words."""

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), found[2]))
        return found[1] if target in gone else found[0]

    return LINK.sub(link, text)


def apply(removal: Removal) -> None:
    """Make all changes, or none."""
    replace(removal.root, removal.writes, removal.removes)
    for name in removal.removes:
        with suppress(OSError):  # it holds other files, or is gone with an earlier one
            os.removedirs((removal.root / name).parent)
