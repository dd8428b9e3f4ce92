"""Rollback: an earlier champion serves again, in the image that it was released in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from slipway.champion import BUNDLE, POINTER, Decision, Release, history, pin_history, serving_now
from slipway.model.bundle import read_bundle
from slipway.problem import SlipwayError
from slipway.release.record import ENVIRONMENTS, author, commit, timestamp, write_pointer
from slipway.versioning import dvc_repository, fetch, file_at, find_commit, git
from slipway.workspace import Workspace


def rollback(workspace: Workspace, version: str | None = None, *, reason: str) -> Decision:
    """Make an earlier champion serve again, byte for byte, in the image that it was released in, with one commit.

    version: of the champion to restore, or the start of it; by default the one that served before. The gate holds the
    version that was rolled back. Repeated without a version, right after a rollback, it changes nothing: to go further
    back, name the version. Raises SlipwayError if there is no such champion.
    """
    root = workspace.root
    if version is None and (done := _done_already(root)):
        fetch(root, POINTER)
        return done
    with dvc_repository(root) as repository:
        now = serving_now(root)
        if not now:
            raise SlipwayError("nothing was released yet: there is nothing to roll back")
        earlier = _earlier(_since_the_first(history(root)), version)
        text = file_at(root, earlier.commit, POINTER) or ""
        rolled_back = [*now.rolled_back, now.version]  # which is in no list: promoting or restoring took it out
        decision = earlier.decision.model_copy(
            update={
                "action": "rollback",
                "previous": now.version,
                "reason": reason,
                "who": author(root),
                "rolled_back": [v for v in rolled_back if v != earlier.decision.version],
                "when": timestamp(),
            }
        )
        write_pointer(root, text, decision)
        _restore(workspace, repository, decision)
        before = (one.pin for one in pin_history(root, unreadable=[]) if one.overlay in ENVIRONMENTS)
        commit(root, repository, decision, next((pin for pin in before if pin.version == decision.version), None))
    return decision


def _done_already(root: Path) -> Decision | None:
    """Give the decision of the last commit if that is a rollback: the call is repeated, maybe after an interruption."""
    now = serving_now(root)
    if now and now.action == "rollback" and history(root)[0].commit == find_commit(root, "HEAD"):
        return now
    return None


def _since_the_first(releases: list[Release]) -> list[Release]:
    """Leave out the releases before the first without a predecessor: in a fork, those of another problem."""
    first = next((n for n, release in enumerate(releases) if release.decision.previous is None), len(releases))
    return releases[: first + 1]


def _earlier(releases: list[Release], version: str | None) -> Release:
    now = releases[0].decision
    for release in releases[1:]:
        found = release.decision
        wanted = found.version.startswith(version) if version else found.version not in now.rolled_back
        if wanted and found.digest != now.digest:
            return release
    known = ", ".join(dict.fromkeys(release.decision.version for release in releases))
    if version and now.version.startswith(version):
        raise SlipwayError(f"{now.version} serves already")
    what = f"no champion {version} in the history" if version else "no earlier champion that was not rolled back"
    raise SlipwayError(f"there is {what}; it has {known}")


def _restore(workspace: Workspace, repository: Any, decision: Decision) -> None:
    """Fetch the champion that the pointer names; if that fails, pointer and champion stay as they were."""
    root, champion = workspace.root, workspace.champion
    aside = champion.with_name(f".{champion.name}-old")
    shutil.rmtree(aside, ignore_errors=True)
    if champion.exists():
        champion.rename(aside)
    try:
        repository._reset()  # DVC read its files before the pointer was moved
        repository.pull(targets=[str(root / POINTER)], force=True)
        read_bundle(champion / BUNDLE, expected=decision.digest)
    except BaseException:
        git(root, "checkout", "--quiet", "HEAD", "--", POINTER)
        if aside.exists():
            shutil.rmtree(champion, ignore_errors=True)
            aside.rename(champion)
        raise
    shutil.rmtree(aside, ignore_errors=True)
