"""The template's releases as this fork would have them: without the parts that it removed; and where it differs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from slipway.problem import SlipwayError
from slipway.scaffold.parts import PARTS
from slipway.scaffold.removal import tracked
from slipway.versioning import find_commit, git, git_names

# The fork's own; of a folder, all that is in it.
KEPT = (
    *("src/project", "tests/project", "tests/data", "tests/model", "params.yaml", "docs/data-card.md", "README.md"),
    *("data.dvc", "champion.dvc", "dvc.lock", ".dvc/store"),
)
SETTINGS = (".dvc/config", "k8s/overlays")  # the template's, for a fork to fill in: merged, and no difference
# As Makefile's LOCKS.
LOCK = re.compile(r"(requirements[\w-]*|(stack(/\w+)?|k8s|benchmarks|examples|notebooks)/[\w-]+)\.txt")


def below(name: str, *paths: str) -> bool:
    """Whether a file is one of some paths, or inside of one."""
    return any(PurePosixPath(name).is_relative_to(path) for path in paths)


def version_of(root: Path) -> str:
    """Give the release of the template that a checkout is at."""
    return str(tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def reference(version: str) -> str:
    """Where a release is kept: no tag, since the fork may have tags of the same name."""
    return f"refs/slipway/v{version}"


def _present(names: Iterable[str]) -> set[str]:
    """Give the parts of which some of these files are."""
    return {part for part in PARTS if any(below(name, *PARTS[part].paths) for name in names)}


def files_of(root: Path, revision: str) -> dict[str, str]:
    """Give the files of a commit or tree, and the hashes of their content."""
    lines = git_names(root, "ls-tree", "-r", "-z", "--full-tree", revision)
    return {name: details.split()[2] for details, _, name in (line.partition("\t") for line in lines)}


def removed_parts(root: Path, release: str) -> set[str]:
    """Give the parts that a release has, and of which nothing is here."""
    return _present(files_of(root, release)) - _present(tracked(root))


def without_parts(root: Path, release: str, parts: set[str]) -> str:
    """Give the tree of a release without some parts: its own code takes them out."""
    if not (gone := sorted(parts & _present(files_of(root, release)))):
        return git(root, "rev-parse", f"{release}^{{tree}}").strip()
    with TemporaryDirectory() as folder:
        tree = Path(folder) / "release"
        git(root, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", str(tree), release)
        try:
            command = (sys.executable, "-m", "slipway", "--root", str(tree), "remove", "--yes", *gone)
            failed = f"the release's own slipway remove failed for {', '.join(gone)}"
            call(tree, command, failed, PYTHONPATH=str(tree / "src"))
            git(tree, "add", "--all")
            return git(tree, "write-tree").strip()
        finally:
            git(root, "worktree", "remove", "--force", str(tree))


def call(root: Path, command: tuple[str, ...], failed: str, **environment: str) -> None:
    """Run one of the template's commands. Raises SlipwayError with what it printed, if it fails."""
    environment = os.environ | environment
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SlipwayError(f"{failed}:\n{(done.stdout + done.stderr).strip()}")


def differing(root: Path) -> list[str]:
    """List files that are not as in this fork's release of the template. Raises SlipwayError if that is unknown."""
    version = version_of(root)
    release = find_commit(root, reference(version)) or find_commit(root, f"refs/tags/v{version}")
    if release is None:
        fetch = f"git fetch ADDRESS-OF-THE-TEMPLATE refs/tags/v{version}:{reference(version)}"
        raise SlipwayError(f"release {version} is not here to compare with: {fetch}")
    tree = without_parts(root, release, removed_parts(root, release))
    names = git_names(root, "diff", "--name-only", "--no-renames", "--diff-filter=M", "-z", tree)
    return [name for name in names if not below(name, *KEPT, *SETTINGS) and not LOCK.fullmatch(name)]
