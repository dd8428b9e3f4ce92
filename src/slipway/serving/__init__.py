"""Serves a bundle over HTTP. See docs/serving.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.serving.settings import Settings


def run(bundle: Path, settings: Settings) -> None:
    """Serve the bundle in a folder until SIGTERM or SIGINT."""
    from slipway.serving.server import run as serve

    serve(settings.model_copy(update={"bundle": bundle}))
