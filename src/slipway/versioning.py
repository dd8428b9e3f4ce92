"""The few operations of Git and DVC that Slipway needs, with errors that a person can act on."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.problem import SlipwayError

DATA, CHAMPION = POINTERS = ("data.dvc", "champion.dvc")
LOCK = "dvc.lock"

# Of a merge (-c) only what differs from each of its parents. A renamed file counts as a removed and a new one.
FILES_OF_COMMITS = ("-z", "-c", "--no-renames", "--name-only", "--relative", "--format=%x01%H %cI")


@dataclass(frozen=True)
class FileVersion:
    """A file as a commit left it. when: of the commit, ISO 8601. text: None if the commit removed the file."""

    commit: str
    when: str
    path: str
    text: str | None


def git(root: Path, *arguments: str) -> str:
    """Run git in `root` and give what it prints. Raises SlipwayError with git's own words if it fails."""
    return _git(root, arguments).decode(errors="replace")


def git_names(root: Path, *arguments: str) -> list[str]:
    """Run git, which ends each name with NUL (`-z`), and give the names."""
    return [name for name in git(root, *arguments).split("\0") if name]


def _git(root: Path, arguments: Sequence[str], asked: bytes = b"", *, may_fail: bool = False) -> bytes:
    """Run git, once more if a killed git left its lock. may_fail: exit status 1 without a message is no error."""
    if not root.is_dir():
        raise SlipwayError(f"{root}: no such folder")
    try:
        run = subprocess.run(["git", *arguments], cwd=root, input=asked, capture_output=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        raise SlipwayError("git is not installed, or not on PATH") from None
    if run.returncode and not (may_fail and run.returncode == 1 and not run.stderr):
        words = (run.stderr or run.stdout).decode(errors="replace").strip()
        if "index.lock" in words and _remove_lock(root):
            return _git(root, arguments, asked, may_fail=may_fail)
        raise SlipwayError(f"git {arguments[0]} failed in {root.resolve()}: {words}")
    return run.stdout


def _remove_lock(root: Path) -> bool:
    """Remove the lock of Git's index unless a git is running in this checkout; give whether it is gone."""
    import psutil

    running = [one.info["cwd"] for one in psutil.process_iter(["name", "cwd"]) if one.info["name"] == "git"]
    if any(folder and Path(folder).is_relative_to(root.resolve()) for folder in running):
        return False
    lock = root / git(root, "rev-parse", "--git-path", "index.lock").strip()
    lock.unlink(missing_ok=True)
    return True


def file_at(root: Path, revision: str, path: str) -> str | None:
    """Give a file's text at a revision; None if it did not exist there (or nothing was committed yet)."""
    return next(files_at(root, [(revision, path)]))


def file_history(root: Path, *paths: str, revisions: Sequence[str] = ("HEAD",)) -> list[FileVersion]:
    """List every version of some files below `root`, newest first, in few processes; none before the first commit.

    paths: Git's pathspecs, so `:(glob)...` works. revisions: whose ancestors are searched (`--all`: all).
    """
    if find_commit(root, "HEAD") is None:
        return []
    found: list[tuple[str, str, str]] = []
    for entry in git(root, "log", *FILES_OF_COMMITS, *revisions, "--", *paths).split("\x01")[1:]:
        header, *names = (part.strip() for part in entry.split("\0"))
        commit, when = header.split()
        found += [(commit, when, name) for name in names if name]
    texts = files_at(root, [(commit, path) for commit, _, path in found])
    return [FileVersion(*place, text) for place, text in zip(found, texts, strict=True)]


def files_at(root: Path, places: Sequence[tuple[str, str]]) -> Iterator[str | None]:
    """Give the text of each file, named by revision and path; None for one that does not exist. One process."""
    asked = "".join(f"{revision}:./{path}\n" for revision, path in places)
    answer = io.BytesIO(_git(root, ("cat-file", "--batch"), asked.encode()))
    for _ in places:
        header = answer.readline()
        if header.endswith(b" missing\n"):
            yield None
        else:
            yield answer.read(int(header.rsplit(b" ", 1)[1])).decode(errors="replace")
            answer.read(1)


def find_commit(root: Path, revision: str) -> str | None:
    """Give the hash of the commit that a revision names; None if it names none that is here."""
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    return _git(root, asked, may_fail=True).decode().strip() or None


def current_branch(root: Path) -> str | None:
    """Give the branch that is checked out; None on a detached HEAD."""
    return _git(root, ("symbolic-ref", "--quiet", "--short", "HEAD"), may_fail=True).decode().strip() or None


def is_ancestor(root: Path, earlier: str, later: str) -> bool:
    """Whether a commit is another one, or in its history."""
    return not git(root, "rev-list", "--max-count=1", earlier, "--not", later)


def changed_files(root: Path, *paths: str) -> list[str]:
    """List tracked files, below `root` or those of some pathspecs, that differ from the last commit."""
    return git_names(root, "diff", "--name-only", "--relative", "-z", "HEAD", "--", *paths)


def require_committed(root: Path, *paths: str, why: str = "uncommitted work could be lost") -> None:
    """Refuse to go on with changes that are not committed. paths, as for `changed_files`; why: what would be wrong."""
    if changed := changed_files(root, *paths):
        raise SlipwayError(f"{why}: {', '.join(changed[:5])}; commit or stash it first")


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
            repository.drop_data_index()  # what a killed DVC left half-written there would hide files
            _drop_half_written(Path(repository.tmp_dir, "rwlock"))
            yield repository
    except (DvcException, OSError) as error:
        words, cause = {str(error): None}, error.__cause__
        while cause:
            words, cause = words | {str(cause): None}, cause.__cause__
        raise SlipwayError("DVC: " + ": ".join(words)) from error


def _drop_half_written(path: Path) -> None:
    """Remove DVC's list of the files in use if a killed DVC left no JSON there, which every later one would refuse."""
    try:
        json.loads(path.read_bytes() if path.exists() else b"{}")
    except ValueError:
        path.unlink(missing_ok=True)


def remote_folder(root: Path, repository: Any) -> str | None:
    """Give the default DVC remote's folder relative to `root`, if it lies inside of it; else None."""
    remote = repository.config["remote"].get(repository.config["core"].get("remote"), {})
    path, top = Path(remote.get("url", "")), root.resolve()
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else None


def fetch(root: Path, *pointers: str) -> list[str]:
    """Fetch the content that the pointers name into `data/` and `champion/`; give one line for each that was fetched.

    pointers: by default both. A folder that is absent, or holds what an earlier version of its pointer named, is
    replaced: the pointer moved with a pull, a merge or a checkout. Anything else in `data/` was changed here and stays.
    Anything else in `champion/` was left by an interrupted release: the last commit's champion takes its place.
    """
    said = []
    with dvc_repository(root) as repository:
        for name in pointers or POINTERS:
            if not (root / name).exists():
                continue
            if name == CHAMPION and file_at(root, "HEAD", name) not in (None, (root / name).read_text("utf-8")):
                git(root, "checkout", "--quiet", "HEAD", "--", name)
                repository._reset()
            if why := _outdated(root, repository, name):
                repository.pull(targets=[str(root / name)], force=True)
                said.append(f"fetched what {name} names{why}")
    return said


def fetch_at(root: Path, pointer: str, revision: str, into: Path) -> None:
    """Fetch what a pointer names at a revision into a folder that does not exist yet; nothing here changes.

    Raises SlipwayError if there is no such revision, or DVC cannot fetch it.
    """
    if (commit := find_commit(root, revision)) is None:
        raise SlipwayError(f"{revision}: no such commit, branch or tag here")
    with dvc_repository(root) as repository:
        repository.get(str(root.resolve()), pointer.removesuffix(".dvc"), out=str(into), rev=commit)


def _outdated(root: Path, repository: Any, pointer: str) -> str | None:
    """Say why a folder is fetched; None if it is as its pointer says, or was changed here."""
    folder = root / pointer.removesuffix(".dvc")
    if not folder.exists():
        return ", which was not here"
    (out,) = repository.find_outs_by_path(str(folder.resolve()))
    found = out.get_hash().value
    if found == out.hash_info.value:
        return None
    earlier = (version.text or "" for version in file_history(root, pointer, revisions=("--all", "--reflog", "HEAD")))
    replaced = pointer == CHAMPION or any(found in text for text in earlier)
    return f" instead of {short(found)}, which was here" if replaced else None


def pointed(root: Path, pointer: str, revision: str | None = None) -> str:
    """Give the digest that a pointer names, in the work tree or at a revision; the empty string where there is none."""
    path = root / pointer
    text = file_at(root, revision, pointer) if revision else path.exists() and path.read_text("utf-8")
    return found[1] if (found := re.search(r"md5: (\S+)", text or "")) else ""


def short(digest: str) -> str:
    """Give the first digits of a digest, as they are shown."""
    return digest[:8] or "none"


def reproduce(root: Path, *, pull: bool = False, force: bool = False) -> dict[str, bool]:
    """Run the stages that are out of date, in order; give for each stage whether it was run.

    pull: fetch the results of an unchanged stage from the DVC remote, if it has them, instead of running the stage.
    force: run all stages.
    Raises SlipwayError if a stage fails; those before it stay done.
    """
    with dvc_repository(root) as repository:
        ran = {stage.addressing for stage in repository.reproduce(pull=pull, force=force)}
        names = [stage.name for stage in repository.index.stages if getattr(stage, "name", None)]  # pointers have none
    return {name: name in ran for name in names}


def checkout(root: Path) -> None:
    """Put the results that `dvc.lock` names back into `build/`, from DVC's cache."""
    with dvc_repository(root) as repository:
        repository.checkout(targets=["dvc.yaml"], force=True)
