"""Turns a checkout into the proposal's: everything or nothing.

All that is new is made in `build/new` first; it then takes its place by renaming, which takes milliseconds. A failure
or a signal in between is undone at once. After a kill that no process sees, the next `slipway new` undoes it.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from slipway.champion import OVERLAYS, POINTER, Pin, write_pin
from slipway.problem import SlipwayError
from slipway.scaffold.render import FILES
from slipway.scaffold.table import Table
from slipway.stages.prepare import data_digest
from slipway.versioning import dvc_repository, git

STAGING = Path("build", "new")
JOURNAL = "journal.json"
DATA, DATA_POINTER, LOCK, STORE = "data", "data.dvc", "dvc.lock", ".dvc/store"
PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"
NOWHERE = "owner/repository"
ADDRESSED = ("monitoring/", "k8s/")
ALERTS = "monitoring/prometheus/rules/thresholds.yml"
GIT_LIMIT = 100e6  # bytes of a file that GitHub takes


@dataclass(frozen=True)
class Plan:
    """What will be done to a checkout.

    writes: the content by path. removes: paths. image: what overlays name, without a pin. notes: what is to be said.
    """

    root: Path
    table: Table
    writes: Mapping[str, str]
    removes: tuple[str, ...]
    image: str
    notes: tuple[str, ...]


def require_clean(root: Path, table: Path) -> None:
    """Undo what an earlier, killed run left, and refuse a checkout in which something would be lost."""
    if not (root / "pyproject.toml").exists():
        raise SlipwayError(f"{root.resolve()}: no such project; run slipway new in the folder of your clone")
    recover(root)
    status = [(line[:2], line[3:]) for line in git(root, "status", "--porcelain", "--", ".").splitlines()]
    if changed := [name for state, name in status if state != "??" or name in FILES]:
        raise SlipwayError(f"uncommitted work would be overwritten: {', '.join(changed[:5])}; commit or stash it first")
    data, pointer = root / DATA, root / DATA_POINTER
    if not data.exists() or table.resolve().is_relative_to(data.resolve()):
        return
    if not pointer.exists() or data_digest(data) not in pointer.read_text("utf-8"):
        raise SlipwayError(
            f"{data}: holds rows that {pointer} does not name; move them away, or `dvc add` them and commit"
        )


def make_plan(root: Path, table: Table, files: Mapping[str, str], accuracy: float | None) -> Plan:
    """Plan what is written and removed. files: of the proposal. accuracy: below which an alert is to fire."""
    writes, notes, origin = dict(files), [], _origin(root)
    tracked = git(root, "ls-files", "-z", "--", STORE, *ADDRESSED).split("\0")
    removes = [name for name in (POINTER, "champion", LOCK) if (root / name).exists()]
    if any(name.startswith(STORE) for name in tracked):
        removes.append(STORE)
        if table.size > GIT_LIMIT:
            notes.append(
                f"`dvc push` puts {table.size / 1e6:,.0f} MB into {STORE} and so into Git: `dvc remote add` another"
            )
    if origin is None:
        notes.append("`origin` names no repository's address: OWNER/REPOSITORY stays in monitoring/ and k8s/")
    for name in (name for name in tracked if origin and name.startswith(ADDRESSED)):
        if PLACEHOLDER.encode() in (content := (root / name).read_bytes()):
            writes[name] = content.decode().replace(PLACEHOLDER, origin or "")
    if accuracy is not None and (root / ALERTS).exists():
        rules = writes.get(ALERTS) or (root / ALERTS).read_text("utf-8")
        writes[ALERTS] = re.sub(r"(slipway:accuracy:threshold\s+expr: vector\()[0-9.]+", rf"\g<1>{accuracy:g}", rules)
    path, top = table.path.resolve(), root.resolve()
    if path.is_relative_to(top) and not path.is_relative_to(top / DATA):
        removes.append(path.relative_to(top).as_posix())
    image = f"ghcr.io/{'/'.join((origin or NOWHERE).split('/')[-2:])}".lower()
    return Plan(root, table, writes, tuple(removes), image, tuple(notes))


def _origin(root: Path) -> str | None:
    """Give the address of the repository's page from its remote `origin`; None if that is none, or a folder."""
    try:
        url = git(root, "remote", "get-url", "origin").strip()
    except SlipwayError:
        return None
    found = re.fullmatch(r"(?:https?://(?:[^@/]*@)?|ssh://git@|git@)([^/:]+)(?::\d+)?[/:](.+?/.+?)(?:\.git)?/?", url)
    return found and f"https://{found[1]}/{found[2]}"


def apply(plan: Plan) -> None:
    """Do what is planned, everything or nothing."""
    staging = plan.root / STAGING
    tree = staging / "tree"
    with _whole(plan.root):
        tree.mkdir(parents=True)
        for name, content in plan.writes.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(content, "utf-8")
        _format(tree)
        overlays = _unpin(plan, tree)
        (tree / DATA).mkdir()
        for file in plan.table.files:
            shutil.copy2(file, tree / DATA / file.name)
        _track(plan.root, tree)
        _swap(plan.root, [*plan.writes, *overlays, DATA_POINTER, DATA], plan.removes)


def _format(tree: Path) -> None:
    """Lay the code out as `make lint` wants it, where ruff is installed."""
    ruff = Path(sys.executable).with_name("ruff")
    if ruff.exists():
        command = [str(ruff), "format", "--quiet", "--no-cache", "--line-length", "120", str(tree)]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603  (our own command)


def _unpin(plan: Plan, tree: Path) -> list[str]:
    """Let the overlays that pin a release pin none, as before a first one; give their paths."""
    found = []
    for path in sorted((plan.root / OVERLAYS).glob("*/kustomization.yaml")):
        if "digest:" in path.read_text("utf-8"):
            name = path.relative_to(plan.root).as_posix()
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, tree / name)
            write_pin(tree, path.parent.name, Pin(f"{plan.image}@sha256:{'0' * 64}", "0" * 12, "0" * 40))
            found.append(name)
    return found


def _track(root: Path, tree: Path) -> None:
    """Have DVC track the staged data, with the checkout's own cache: it makes `data.dvc`."""
    from dvc.repo import Repo

    with dvc_repository(root) as repository:
        cache = repository.cache.local_cache_dir
    with Repo.init(str(tree), no_scm=True) as repository, repository.config.edit() as config:
        config["cache"] = {"dir": cache}
    with dvc_repository(tree) as repository:
        repository.add([str(tree / DATA)])


@contextmanager
def _whole(root: Path) -> Iterator[None]:
    """Undo what was done if it fails, is interrupted or is asked to end."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (signal's signature)
        raise KeyboardInterrupt

    recover(root)
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        held = {number: signal.signal(number, signal.SIG_IGN) for number in (*before, signal.SIGINT)}
        recover(root)
        for number, handler in (held | before).items():
            signal.signal(number, handler)


def _swap(root: Path, placed: list[str], removed: tuple[str, ...]) -> None:
    """Rename what is replaced or removed into `old`, and what is new into its place."""
    staging = root / STAGING
    (staging / "old").mkdir()
    names = [*(name for name in removed if name not in placed), *placed]
    (staging / JOURNAL).write_text(json.dumps({"names": names, "placed": placed}), "utf-8")
    for number, name in enumerate(names):
        here, new = root / name, staging / "tree" / name
        if here.exists():
            here.rename(staging / "old" / str(number))
        if name in placed:
            here.parent.mkdir(parents=True, exist_ok=True)
            new.rename(here)
    (staging / JOURNAL).unlink()


def recover(root: Path) -> None:
    """Undo a swap that did not come to its end, and remove what was staged."""
    staging = root / STAGING
    if (staging / JOURNAL).exists():
        journal = json.loads((staging / JOURNAL).read_text("utf-8"))
        for number, name in enumerate(journal["names"]):
            here, old, new = root / name, staging / "old" / str(number), staging / "tree" / name
            if name in journal["placed"] and here.exists() and not new.exists():
                here.rename(new)
            if old.exists():
                old.rename(here)
    shutil.rmtree(staging, ignore_errors=True)
