"""Bare repositories that play the remote, what people push to them, and the runs of the pipeline that follow."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from checkouts import ROOT, make_template, run
from pipeline.workflow import Done, Workflow, set_up
from slipway.champion import Pin, write_pin

FIRST, SECOND = (f"ghcr.io/ada/penguins@sha256:{digit * 64}" for digit in "12")
OVERLAY = "k8s/overlays/production/kustomization.yaml"  # part: kubernetes


def make_remote(folder: Path) -> Path:
    """Make a bare repository with this project's present files, in one commit, as a fork begins."""
    checkout = make_template(folder / "checkout")
    # part: kubernetes
    for overlay in ("staging", "production"):  # a fork of ours may have released something already
        write_pin(checkout, overlay, Pin(f"ghcr.io/owner/repository@sha256:{'0' * 64}", "0" * 12, "0" * 40))
    # end: kubernetes
    run(checkout, "git", "commit", "--quiet", "--all", "--amend", "--no-edit")
    run(checkout, "git", "clone", "--quiet", "--bare", ".", str(folder / "remote.git"))
    return folder / "remote.git"


def pipeline(remote: Path, folder: Path, *, image: str = SECOND, **contexts: Any) -> Workflow:
    """A run of pipeline.yml in which the jobs that need Docker, a cluster or all tests went well.

    What is released is signed with a key: only GitHub's own runs can be signed without one.
    """
    contexts.setdefault("secrets", {"SIGNING_KEY": signing_key()})
    workflow = Workflow("pipeline.yml", remote, folder, **contexts)
    workflow.done = {name: Done("success") for name in ("documents", "check", "image", "cluster")}
    workflow.done["publish"] = Done("success", {"image": image})
    (folder / "artifacts/image").mkdir(parents=True)
    return workflow


def run_again(workflow: Workflow, remote: Path, folder: Path, **contexts: Any) -> Workflow:
    """The same run, over a copy of its remote, as a job that is run once more sees it."""
    other = pipeline(remote, folder, **contexts)
    other.sha, other.done["model"] = workflow.sha, workflow.done["model"]
    other.contexts["github"]["sha"] = workflow.sha
    shutil.copytree(workflow.folder / "artifacts", folder / "artifacts", dirs_exist_ok=True)
    return other


@cache
def signing_key() -> str:
    """A private key, in PEM."""
    return run(ROOT, "openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout")


def clone(remote: Path, folder: Path) -> Path:
    """Make a developer's clone, with an environment and the data."""
    run(remote, "git", "clone", "--quiet", str(remote), str(folder))
    set_up(folder)
    run(folder, "dvc", "pull", "--quiet", "data.dvc")
    return folder


def push(remote: Path, folder: Path, change: Callable[[Path], None], *, data: bool = True) -> str:
    """Clone, change something, commit, push; the commit. Data goes to the DVC remote first."""
    clone(remote, folder)
    change(folder)
    if data:
        run(folder, "dvc", "add", "--quiet", "data")
        run(folder, "dvc", "push", "--quiet", "data.dvc")
    run(folder, "git", "add", ".")
    commit(folder, "A change")
    run(folder, "git", "push", "--quiet")
    return head(remote)


def commit(folder: Path, message: str) -> None:
    """Commit what is staged."""
    run(
        folder,
        "git",
        "-c",
        "user.name=Ada",
        "-c",
        "user.email=ada@example.org",
        "commit",
        "--quiet",
        "--message",
        message,
    )


def head(remote: Path) -> str:
    """The commit of a remote's branch main."""
    return run(remote, "git", "rev-parse", "main").strip()


def on(remote: Path, path: str, commit: str = "main") -> str:
    """A file's text on a remote's branch."""
    return run(remote, "git", "show", f"{commit}:{path}")


def champion(remote: Path) -> str:
    """The digest of the bundle that is to serve, as the remote's branch says."""
    return yaml.safe_load(on(remote, "champion.dvc"))["meta"]["digest"]


# part: kubernetes
def pinned(remote: Path) -> tuple[str, str]:
    """The image and the model's version that production is to run."""
    overlay = yaml.safe_load(on(remote, OVERLAY))
    (image,) = overlay["images"]
    return f"{image['newName']}@{image['digest']}", overlay["commonAnnotations"]["slipway/model-version"]


def replaced(path: str, old: str, new: str) -> Callable[[Path], None]:
    """A change to a file of a checkout."""

    def change(folder: Path) -> None:
        text = (folder / path).read_text()
        assert old in text
        (folder / path).write_text(text.replace(old, new))

    return change


BETTER = replaced("params.yaml", "inverse_regularization: 1.0", "inverse_regularization: 1.1")
