"""The few operations of Git and DVC that Slipway needs, with errors that a person can act on."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError


def git(root: Path, *arguments: str) -> str:
    """Run git in `root` and give what it prints. Raises SlipwayError with git's own words if it fails."""
    try:
        run = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        raise SlipwayError("git is not installed, or not on PATH") from None
    if run.returncode:
        words = (run.stderr or run.stdout).strip()
        raise SlipwayError(f"git {arguments[0]} failed in {root.resolve()}: {words}")
    return run.stdout


def file_at(root: Path, revision: str, path: str) -> str | None:
    """Give a file's text at a revision; None if it did not exist there (or nothing was committed yet)."""
    try:
        return git(root, "show", f"{revision}:./{path}")
    except SlipwayError:
        return None


def changed_files(root: Path) -> list[str]:
    """List tracked files, below `root`, that differ from the last commit."""
    return [name for name in git(root, "diff", "--name-only", "--relative", "-z", "HEAD").split("\0") if name]


def author(root: Path) -> str:
    """Give the name and address that Git would commit with. Raises SlipwayError if Git does not know them."""
    return git(root, "var", "GIT_AUTHOR_IDENT").rsplit(" ", 2)[0]


@contextmanager
def dvc_repository(root: Path) -> Iterator[Any]:
    """Open the DVC repository in `root`, locked against a second one. DVC's errors become SlipwayError."""
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    logging.getLogger("dvc").setLevel(logging.WARNING)  # the stages' own lines say what is done
    # The stages are run as `slipway STAGE`: of this environment, also when it is not activated.
    scripts = str(Path(sys.executable).parent)
    if scripts not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    try:
        with Repo(str(root)) as repository, lock_repo(repository):
            yield repository
    except (DvcException, OSError) as error:
        reasons: list[str] = []
        cause: BaseException | None = error
        while cause is not None:
            reasons.append(str(cause))
            cause = cause.__cause__
        raise SlipwayError("DVC: " + ": ".join(dict.fromkeys(reasons))) from error


def remote_folder(root: Path, repository: Any) -> str | None:
    """Give the default DVC remote's folder relative to `root`, if it lies inside of it; else None."""
    remote = repository.config["remote"].get(repository.config["core"].get("remote"), {})
    path, top = Path(remote.get("url", "")), root.resolve()
    if not path.is_absolute() or not path.is_relative_to(top):
        return None
    return path.relative_to(top).as_posix()
