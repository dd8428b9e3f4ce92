"""Runs the stages of `dvc.yaml`, those whose inputs changed and no others."""

from __future__ import annotations

from pathlib import Path

from slipway.problem import SlipwayError
from slipway.versioning import dvc_repository

POINTERS = ("data.dvc", "champion.dvc")


def fetch(root: Path) -> list[str]:
    """Fetch the data and the champion from the DVC remote, as far as they are not here; name what was fetched for."""
    pointers = [name for name in POINTERS if (root / name).exists()]
    with dvc_repository(root) as repository:
        absent = [name for name in pointers if not (root / name.removesuffix(".dvc")).exists()]
        if absent:
            repository.pull(targets=[str(root / name) for name in absent])
    return absent


def reproduce(root: Path, *, pull: bool = False) -> dict[str, bool]:
    """Run the stages that are out of date, in order; say of each stage whether it was run.

    pull: take from the DVC remote what `dvc.lock` says of an unchanged stage, where it is not here, instead of running
    the stage; what the remote does not have is made. The stages print their own line. Raises SlipwayError if one fails;
    the stages before it stay done.
    """
    with dvc_repository(root) as repository:
        stages = [stage.name for stage in repository.index.stages if getattr(stage, "name", None)]
        ran = {stage.addressing for stage in repository.reproduce(pull=pull)}
    return {name: name in ran for name in stages}


def complete(root: Path) -> None:
    """Make again what a candidate from another machine came without: the rows, and what validation found in them.

    DVC looks for stages in the working directory, which must be `root`. Raises SlipwayError if these are not the rows
    that the candidate was made of.
    """
    lock = root / "dvc.lock"
    if (root / "build/table").exists():
        return
    fetch(root)
    expected = lock.read_bytes()
    with dvc_repository(root) as repository:
        repository.reproduce(["prepare", "validate"])
        for stage in ("train", "evaluate"):
            repository.commit(stage, force=True)
    if lock.read_bytes() != expected:
        raise SlipwayError(
            "the data and code here do not make the rows that the candidate was made of (git diff dvc.lock)"
        )
