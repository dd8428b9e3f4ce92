"""The record of a release in Git: the pointer to the champion, the overlays' pins, and one commit of it all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from slipway.champion import POINTER, Decision, Pin, overlay_file, pinned
from slipway.problem import SlipwayError
from slipway.problem.editing import write_whole
from slipway.versioning import DATA, LOCK, file_at, git, pointed, remote_folder, short

INPUTS = (DATA, LOCK)  # the pointer to the data, and the record of the pipeline's last run
RECORD = (*INPUTS, POINTER)  # the files that a promotion commits
ENVIRONMENTS = ("staging", "production")  # the overlays that a release pins, as far as they exist


def commit(root: Path, repository: Any, decision: Decision, pin: Pin | None) -> None:
    """Commit the record, the overlays, and the DVC remote's new files where that is a folder of this repository."""
    store = remote_folder(root, repository)
    paths = [path for path in (*RECORD, *([store] if store else [])) if (root / path).exists()]
    paths += _write_overlays(root, pin) if pin else []
    scores = ", ".join(f"{name} {value:.4g}" for name, value in list(decision.scores.items())[:2])
    subject = f"{decision.action.capitalize()} {decision.version}: {scores}"
    body = f"Previous: {decision.previous or 'none'}\nVerdict: {decision.verdict}\nReason: {decision.reason}"
    body += f"\nImage: {pin.image}" if pin else ""
    before, now = pointed(root, DATA, "HEAD"), pointed(root, DATA)
    body += f"\nData: {short(before)} -> {short(now)}" if before != now else ""
    git(root, "add", "--", *paths)
    git(root, "commit", "--quiet", "--message", subject, "--message", body, "--", *paths)


def deploy(root: Path, pin: Pin) -> None:
    """Pin the overlays, in a commit of its own: the champion that serves already, in another image."""
    paths = _write_overlays(root, pin)
    subject, body = f"Deploy {pin.version} in a new image", f"Image: {pin.image}"
    git(root, "commit", "--quiet", "--message", subject, "--message", body, "--", *paths)


def pinned_overlays(root: Path, pin: Pin) -> dict[str, str]:
    """Give the text of each overlay, by its path, as the last commit has it but for the pin.

    Raises SlipwayError if an overlay in the work tree is neither this nor as the last commit has it.
    """
    found = {}
    for path in map(overlay_file, ENVIRONMENTS):
        if text := file_at(root, "HEAD", path):
            found[path] = pinned(text, pin)
            if (root / path).read_text("utf-8") not in (text, found[path]):
                raise SlipwayError(f"commit {path} first: a release writes the deployed image into it")
    return found


def _write_overlays(root: Path, pin: Pin) -> list[str]:
    texts = pinned_overlays(root, pin)
    for path, text in texts.items():
        (root / path).write_text(text, "utf-8")
    return list(texts)


def write_pointer(root: Path, source: str, decision: Decision) -> None:
    """Write `champion.dvc`: the outputs of `source`, the text of such a file, and the decision."""
    content = {"outs": yaml.safe_load(source)["outs"], "meta": decision.model_dump()}
    write_whole(root / POINTER, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def author(root: Path) -> str:
    """Give the name and address that Git would commit with. Raises SlipwayError if Git does not know them."""
    return git(root, "var", "GIT_AUTHOR_IDENT").rsplit(" ", 2)[0]


def timestamp() -> str:
    """Give the time as a decision records it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
