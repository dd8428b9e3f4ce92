"""Turns a checkout into the proposal's: everything or nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from slipway.champion import OVERLAYS, POINTER, Pin, pinned
from slipway.problem import SlipwayError
from slipway.scaffold.render import FEATURES, FILES
from slipway.scaffold.swap import recover, replace
from slipway.scaffold.table import Table
from slipway.stages.prepare import data_digest
from slipway.versioning import DATA, LOCK, dvc_repository, git, git_names, require_committed

PIPELINE, MODEL = "dvc.yaml", "src/project/model.py"
FOLDER, STORE = "data", ".dvc/store"
PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"
NOWHERE = "owner/repository"
ADDRESSED = ("monitoring/", "k8s/")
ALERTS = "monitoring/prometheus/rules/thresholds.yml"
GIT_LIMIT = 100e6  # bytes of a file that GitHub takes


@dataclass(frozen=True)
class Plan:
    """The changes to a checkout. writes: the content by path. removes: paths. notes: for a person."""

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
    if unknown := git_names(root, "ls-files", "--others", "-z", "--", *FILES):
        raise SlipwayError(f"uncommitted work could be lost: {', '.join(unknown)}; commit it or move it away first")
    require_committed(root)
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
    for name in git_names(root, "ls-files", "-z", "--", *ADDRESSED):
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
    replace(plan.root, plan.writes, plan.removes, partial(_track, plan.root, plan.table))


def _track(root: Path, table: Table, tree: Path) -> tuple[str, str]:
    """Copy the data into a folder, and have DVC track it, with the checkout's own cache: it makes `data.dvc`."""
    from dvc.repo import Repo

    (tree / FOLDER).mkdir()
    for file in table.files:
        shutil.copy2(file, tree / FOLDER / file.name)
    with dvc_repository(root) as repository:
        cache = repository.cache.local_cache_dir
    with Repo.init(str(tree), no_scm=True) as repository, repository.config.edit() as config:
        config["cache"] = {"dir": cache}
    with dvc_repository(tree) as repository:
        repository.add([str(tree / FOLDER)])
    return DATA, FOLDER
