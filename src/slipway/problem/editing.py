"""Files that people write, too: their comments stay, and they are written whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any


def edited(text: str, change: Callable[[Any], None]) -> str:
    """Give a YAML text after a change of its content; comments, order and quotes stay."""
    from ruamel.yaml import YAML

    yaml, written = YAML(), io.StringIO()
    yaml.preserve_quotes, yaml.width = True, 10**6
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(text)
    change(content)
    yaml.dump(content, written)
    return written.getvalue()


def write_whole(path: Path, text: str) -> None:
    """Write a file, or leave it as it is."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)
