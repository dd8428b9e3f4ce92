"""Replaces files of a checkout: all of them or none.

All new files are made in `build/new` first and then renamed into place, within milliseconds. A failure or a signal in
between is undone at once; after a kill, the next `slipway new` or `slipway remove` undoes it.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

STAGING = Path("build", "new")
JOURNAL = "journal.json"


def replace(
    root: Path, writes: Mapping[str, str], removes: Sequence[str], more: Callable[[Path], Sequence[str]] | None = None
) -> None:
    """Write and remove files of a checkout, all or none.

    more: puts further files and folders into the folder that is made ready, and gives their names.
    """
    with _whole(root):
        tree = _stage(root, writes)
        lay_out(tree)
        _swap(root, [*writes, *(more(tree) if more else ())], removes)


def _stage(root: Path, writes: Mapping[str, str]) -> Path:
    """Write the new files below a folder, which is given; each has the mode of the file that it replaces."""
    tree = root / STAGING / "tree"
    tree.mkdir(parents=True)
    for name, text in writes.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        if (root / name).exists():
            path.chmod((root / name).stat().st_mode)
    return tree


def lay_out(tree: Path) -> None:
    """Lay the code out as `make lint` wants it, without unused imports, where ruff is installed."""
    ruff = Path(sys.executable).with_name("ruff")
    for command in (("check", "--fix", "--exit-zero", "--select", "F401"), ("format",)) if ruff.exists() else ():
        options = ("--quiet", "--no-cache", "--line-length", "120", str(tree))
        subprocess.run([str(ruff), *command, *options], check=False, capture_output=True)  # noqa: S603  (our own command)


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


def _swap(root: Path, placed: Sequence[str], removed: Sequence[str]) -> None:
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
