"""Overlays written by hand, as a release pins them."""

from __future__ import annotations

from pathlib import Path

from checkouts import commit_files

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
    return commit_files(
        root, message, {f"k8s/overlays/{name}/kustomization.yaml": text for name, text in files.items()}
    )
