"""What a commit's files say of data, parameters and pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.trace.record import Record
from slipway.versioning import file_at, file_history

DATA, LOCK, PARAMS = "data.dvc", "dvc.lock", "params.yaml"
MADE_WITH = ("prepare", "train", "model")  # the sections of params.yaml that make a bundle what it is


@dataclass(frozen=True)
class Data:
    """The data: DVC's digest of it, and the command that fetches it; None if no commit here names it."""

    digest: str
    fetch: str | None


def data_named(record: Record, digest: str, commit: str) -> Data:
    """Say how data of that digest is fetched: from a commit if its data.dvc names it, else from any that does."""
    if digest not in (file_at(record.root, commit, DATA) or ""):
        versions = file_history(record.root, DATA, revisions=("--all",))
        commit = next((one.commit for one in versions if digest in (one.text or "")), "")
    return Data(digest, f"git checkout {commit[:12]} -- {DATA} && dvc pull {DATA}" if commit else None)


def data_at(record: Record, commit: str) -> Data | None:
    """Give the data that a commit's pipeline learned from; if it has not run there, the data that lay there."""
    used = lock_at(record.root, commit).data
    if used is None:
        outs = _yaml(record.root, commit, DATA).get("outs")
        used = _digest(outs, "data")
    return data_named(record, used, commit) if used else None


@dataclass(frozen=True)
class Locked:
    """What dvc.lock names, by DVC's digests: the data that was read, the bundle that was made."""

    data: str | None
    bundle: str | None


def lock_at(root: Path, commit: str) -> Locked:
    """Read dvc.lock at a commit; Nones where it was not there, or cannot be read."""
    stages = _yaml(root, commit, LOCK).get("stages")
    stages = stages if isinstance(stages, dict) else {}
    read, made = (stages.get(name) or {} for name in ("prepare", "train"))
    return Locked(_digest(read.get("deps"), "data"), _digest(made.get("outs"), "build/bundle"))


def parameters(root: Path, commit: str | None) -> dict[str, Any]:
    """Read the parameters that make a bundle, from params.yaml at a commit or, with None, in the work tree."""
    return {name: value for name, value in _yaml(root, commit, PARAMS).items() if name in MADE_WITH}


def _digest(files: Any, path: str) -> str | None:
    named = (one for one in files or [] if isinstance(one, dict) and one.get("path") == path)
    return next((str(one["md5"]) for one in named if "md5" in one), None)


def _yaml(root: Path, commit: str | None, name: str) -> dict[str, Any]:
    """Read a file at a commit, or in the work tree; empty where there is none, or it is no mapping."""
    import yaml

    try:
        text = file_at(root, commit, name) if commit else (root / name).read_text("utf-8")
        content = yaml.safe_load(text or "")
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}
