"""A fork's template files brought to another release of the template.

The changes between two tags of the template are applied to the fork, file by file with a three-way merge. That needs no
common history, which a repository made with "Use this template" does not have.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from slipway.problem import SlipwayError
from slipway.scaffold.releases import (
    KEPT,
    LOCK,
    below,
    call,
    files_of,
    reference,
    removed_parts,
    version_of,
    without_parts,
)
from slipway.versioning import file_at, git, git_names, require_committed

CHECK = (sys.executable, "-m", "slipway", "doctor", "--quick")  # in a process of its own, which has the new code
RELOCK = ("make", "lock")
CHANGES = "CHANGELOG.md"


@dataclass
class Upgrade:
    """The changes of an upgrade.

    base, target: the releases, as trees without the parts that the fork removed. skipped: these parts, and files that
    the fork removed. changed: files to merge. locks: lock files that the fork has as they were, so that the new ones
    are taken. relock: whether others have to be made anew.
    """

    root: Path
    version: str
    base: str
    target: str
    skipped: list[str]
    changed: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    relock: bool = False

    @property
    def news(self) -> str:
        """The sections (`## ...`) of the target's CHANGELOG.md that the base's does not have."""
        texts = (file_at(self.root, tree, CHANGES) or "" for tree in (self.base, self.target))
        before, after = (re.split(r"^(?=## )", text, flags=re.M)[1:] for text in texts)
        known = {section.partition("\n")[0] for section in before}
        return "".join(section for section in after if section.partition("\n")[0] not in known).strip()


def make_plan(root: Path, remote: str, version: str | None) -> Upgrade | None:
    """Plan the upgrade to a version, or to the newest one; None if the fork has it.

    remote: a remote or an address of the template. Raises SlipwayError if there is uncommitted work or no such release.
    """
    require_committed(root)
    listed = git(root, "ls-remote", "--tags", "--refs", "--sort=-version:refname", remote, "refs/tags/v*")
    releases = [line.rpartition("refs/tags/v")[2] for line in listed.splitlines()]
    current = version_of(root)
    wanted = (version or (releases or [current])[0]).removeprefix("v")
    if missing := [one for one in (current, wanted) if one not in releases]:
        raise SlipwayError(f"{remote}: no release {missing[0]} of the template; it has {', '.join(releases) or 'none'}")
    if wanted == current:
        return None
    for one in (current, wanted):
        git(root, "fetch", "--quiet", "--no-tags", "--force", remote, f"refs/tags/v{one}:{reference(one)}")
    gone = removed_parts(root, reference(current))
    base, target = (without_parts(root, reference(one), gone) for one in (current, wanted))
    return _compare(Upgrade(root, wanted, base, target, skipped=sorted(gone)))


def _compare(plan: Upgrade) -> Upgrade:
    """Complete a plan with what differs between the releases."""
    before, after, here = (files_of(plan.root, tree) for tree in (plan.base, plan.target, "HEAD"))
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name) or below(name, *KEPT):
            continue
        if name not in here and (name in before or PurePosixPath(name).parent in _folders(before) - _folders(here)):
            plan.skipped.append(name)
        elif not (LOCK.fullmatch(name) and name in here and name in after):
            plan.changed.append(name)
        elif here[name] == before.get(name):
            plan.locks.append(name)
        else:
            plan.relock = True
    return plan


def _folders(files: Iterable[str]) -> set[PurePosixPath]:
    return {parent for name in files for parent in PurePosixPath(name).parents}


def apply(plan: Upgrade, *, keep_conflicts: bool = False) -> list[str]:
    """Apply an upgrade and commit it, whole or not at all; give the files with conflicts, which are left if asked for.

    Raises SlipwayError, with everything as it was, if files conflict or the project does not fit the new code.
    """
    head, conflicts = git(plan.root, "rev-parse", "HEAD").strip(), []
    try:
        conflicts = _merge(plan)
        if plan.locks:
            git(plan.root, "checkout", plan.target, "--", *plan.locks)
        if conflicts and not keep_conflicts:
            raise SlipwayError(
                f"your changes and the template's conflict in {', '.join(conflicts)}. Nothing was changed; "
                "--keep-conflicts leaves them marked in these files, for you to resolve and commit"
            )
        if not conflicts:
            if plan.relock:
                call(plan.root, RELOCK, "the locks could not be made anew; nothing was changed")
            call(plan.root, CHECK, "the project does not fit the new version; nothing was changed")
            git(plan.root, "commit", "--quiet", "--all", "--message", f"Upgrade Slipway to {plan.version}")
    except BaseException:
        git(plan.root, "reset", "--quiet", "--hard", head)
        raise
    return conflicts


def _merge(plan: Upgrade) -> list[str]:
    """Apply the changes of the template; give the files in which they conflict with the fork's."""
    if not plan.changed:
        return []
    with TemporaryDirectory() as name:
        patch = Path(name) / "patch"
        options = ("--binary", "--full-index", "--no-renames", f"--output={patch}")
        git(plan.root, "diff", *options, plan.base, plan.target, "--", *plan.changed)
        try:
            git(plan.root, "apply", "--3way", "--index", str(patch))
        except SlipwayError:
            if conflicts := git_names(plan.root, "diff", "--name-only", "--diff-filter=U", "-z"):
                return conflicts
            raise
    return []
