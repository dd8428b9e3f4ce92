"""Turns a checkout into the proposal's: everything or nothing.

All new files are made in `build/new` first and then renamed into place, within milliseconds. A failure or a signal in
between is undone at once; after a kill, the next `slipway new` undoes it.
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

from slipway.champion import OVERLAYS, POINTER, Pin, pinned
from slipway.problem import SlipwayError
from slipway.scaffold.render import FEATURES, FILES
from slipway.scaffold.table import Table
from slipway.stages.prepare import data_digest
from slipway.versioning import DATA, LOCK, dvc_repository, git

STAGING = Path("build", "new")
JOURNAL = "journal.json"
PIPELINE, MODEL = "dvc.yaml", "src/project/model.py"
FOLDER, STORE = "data", ".dvc/store"
PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"
NOWHERE = "owner/repository"
ADDRESSED = ("monitoring/", "k8s/")
ALERTS = "monitoring/prometheus/rules/thresholds.yml"
GIT_LIMIT = 100e6  # bytes of a file that GitHub takes


@dataclass(frozen=True)
class Plan:
    """The changes to a checkout.

    writes: the content by path. removes: paths. notes: for a person.
    """

    root: Path
    table: Table
    writes: Mapping[str, str]
    removes: tuple[str, ...]
    notes: tuple[str, ...]


def require_clean(root: Path, table: Path) -> None:
    """Undo a run that was killed, and refuse a checkout in which work would be lost."""
    if not (root / "pyproject.toml").exists():
        raise SlipwayError(f"{root.resolve()}: no such project; run slipway new in the folder of your clone")
    recover(root)
    status = [(line[:2], line[3:]) for line in git(root, "status", "--porcelain", "--", ".").splitlines()]
    if changed := [name for state, name in status if state != "??" or name in FILES]:
        raise SlipwayError(f"uncommitted work would be overwritten: {', '.join(changed[:5])}; commit or stash it first")
    data, pointer = root / FOLDER, root / DATA
    if not data.exists() or table.resolve().is_relative_to(data.resolve()):
        return
    if not pointer.exists() or data_digest(data) not in pointer.read_text("utf-8"):
        raise SlipwayError(
            f"{data}: holds rows that {pointer} does not name; move them away, or `dvc add` them and commit"
        )


def make_plan(root: Path, table: Table, files: Mapping[str, str], accuracy: float | None) -> Plan:
    """Plan the changes. files: of the proposal. accuracy: an alert fires below it."""
    notes, origin = [], _origin(root)
    stored = git(root, "ls-files", "-z", "--", STORE)
    removes = [name for name in (POINTER, "champion", LOCK, *([STORE] if stored else [])) if (root / name).exists()]
    if stored and table.size > GIT_LIMIT:
        notes.append(
            f"`dvc push` puts {table.size / 1e6:,.0f} MB into {STORE} and so into Git: `dvc remote add` another"
        )
    if origin is None:
        notes.append("`origin` names no repository's address: OWNER/REPOSITORY stays in monitoring/ and k8s/")
    path, top = table.path.resolve(), root.resolve()
    if path.is_relative_to(top) and not path.is_relative_to(top / FOLDER):
        removes.append(path.relative_to(top).as_posix())
    if FEATURES not in files and (root / FEATURES).exists():
        removes.append(FEATURES)
    writes = {**files, **_pipeline(root, derives=FEATURES in files), **_corrected(root, origin, accuracy)}
    return Plan(root, table, writes, tuple(removes), tuple(notes))


def _pipeline(root: Path, *, derives: bool) -> dict[str, str]:
    """Give dvc.yaml so that the stages that fit depend on `features.py`, or none does; nothing if it is so."""
    before = (root / PIPELINE).read_text("utf-8")
    text = before.replace(f"      - {FEATURES}\n", "")
    if derives:
        text = text.replace(f"      - {MODEL}\n", f"      - {FEATURES}\n      - {MODEL}\n")
    return {PIPELINE: text} if text != before else {}


def _corrected(root: Path, origin: str | None, accuracy: float | None) -> dict[str, str]:
    """Give the files of monitoring/ and k8s/ with this repository's address, this accuracy, and no release pinned."""
    image = f"ghcr.io/{'/'.join((origin or NOWHERE).split('/')[-2:])}".lower()
    nothing = Pin(f"{image}@sha256:{'0' * 64}", "0" * 12, "0" * 40)
    found = {}
    for name in filter(None, git(root, "ls-files", "-z", "--", *ADDRESSED).split("\0")):
        before = text = (root / name).read_bytes().decode(errors="surrogateescape")
        text = text.replace(PLACEHOLDER, origin or PLACEHOLDER)
        if name == ALERTS and accuracy is not None:
            text = re.sub(r"(slipway:accuracy:threshold\s+expr: vector\()[0-9.]+", rf"\g<1>{accuracy:g}", text)
        if Path(name).match(f"{OVERLAYS}/*/kustomization.yaml") and "digest:" in text:
            text = pinned(text, nothing)
        if text != before:
            found[name] = text
    return found


def _origin(root: Path) -> str | None:
    """Give the address of the repository's page from its remote `origin`; None if that is none, or a folder."""
    try:
        url = git(root, "remote", "get-url", "origin").strip()
    except SlipwayError:
        return None
    found = re.fullmatch(r"(?:https?://(?:[^@/]*@)?|ssh://git@|git@)([^/:]+)(?::\d+)?[/:](.+?/.+?)(?:\.git)?/?", url)
    return found and f"https://{found[1]}/{found[2]}"


def apply(plan: Plan) -> None:
    """Make all changes of a plan, or none."""
    staging = plan.root / STAGING
    tree = staging / "tree"
    with _whole(plan.root):
        tree.mkdir(parents=True)
        for name, content in plan.writes.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(content, "utf-8")
        _format(tree)
        (tree / FOLDER).mkdir()
        for file in plan.table.files:
            shutil.copy2(file, tree / FOLDER / file.name)
        _track(plan.root, tree)
        _swap(plan.root, [*plan.writes, DATA, FOLDER], plan.removes)


def _format(tree: Path) -> None:
    """Lay the code out as `make lint` wants it, where ruff is installed."""
    ruff = Path(sys.executable).with_name("ruff")
    if ruff.exists():
        command = [str(ruff), "format", "--quiet", "--no-cache", "--line-length", "120", str(tree)]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603  (our own command)


def _track(root: Path, tree: Path) -> None:
    """Have DVC track the staged data, with the checkout's own cache: it makes `data.dvc`."""
    from dvc.repo import Repo

    with dvc_repository(root) as repository:
        cache = repository.cache.local_cache_dir
    with Repo.init(str(tree), no_scm=True) as repository, repository.config.edit() as config:
        config["cache"] = {"dir": cache}
    with dvc_repository(tree) as repository:
        repository.add([str(tree / FOLDER)])


@contextmanager
def _whole(root: Path) -> Iterator[None]:
    """Undo the changes if the block fails, is interrupted or is asked to end."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (signal's signature)
        raise KeyboardInterrupt

    recover(root)
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows: no SIGHUP
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        held = {number: signal.signal(number, signal.SIG_IGN) for number in (*before, signal.SIGINT)}
        recover(root)
        for number, handler in (held | before).items():
            signal.signal(number, handler)


def _swap(root: Path, placed: list[str], removed: tuple[str, ...]) -> None:
    """Rename old files into `old`, and new ones into their place."""
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
    """Undo an unfinished swap, and remove the staged files."""
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
