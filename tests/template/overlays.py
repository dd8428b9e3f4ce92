"""Overlays written by hand, as a release pins them."""

from __future__ import annotations

from pathlib import Path

from checkouts import run

PINNED = """
images:
  - name: slipway
    newName: ghcr.io/ada/penguins
    digest: sha256:{digits}
commonAnnotations:
  slipway/model-version: {version}
  slipway/commit: {commit}
"""


def pinned(digit: str, version: str = "123456789012", commit: str = "c" * 40) -> str:
    """Write an overlay; its image's digest is 64 times that digit."""
    return PINNED.format(digits=digit * 64, version=version, commit=commit)


def commit_overlays(root: Path, message: str, files: dict[str, str | None]) -> str:
    """Write these overlays, or remove them (None), in one commit; its hash."""
    for overlay, text in files.items():
        path = root / "k8s" / "overlays" / overlay / "kustomization.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink() if text is None else path.write_text(text)
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", message)
    return run(root, "git", "rev-parse", "HEAD").strip()
