"""Lineage from Git alone: from a model back to all that made it, and from a commit forward to what came of it."""

from __future__ import annotations

from pathlib import Path

from slipway.problem import SlipwayError
from slipway.trace.commit import CommitTrace, trace_commit
from slipway.trace.model import ModelTrace, trace_model
from slipway.trace.record import HEX, Record, read_record
from slipway.versioning import find_commit

__all__ = ["CommitTrace", "ModelTrace", "trace"]


def trace(root: Path, what: str) -> ModelTrace | CommitTrace:
    """Trace a model back, or a commit forward. No server is asked, and nothing needs to be pulled.

    what: a version or bundle digest (or its start, at least 6 digits), an image's digest, a tag model/<version>, or any
    revision of Git. What could be a model and a commit is the model. Raises SlipwayError if it is none of these, or the
    start of several models.
    """
    what = what.strip()
    record = read_record(root)
    version = record.find_version(what)
    commit = find_commit(root, what)
    if version:
        found = trace_model(record, version)
        if commit and HEX.fullmatch(what.lower()):
            found.notes.append(f"{what} is a commit, too: slipway trace {what}^0")
        return found
    if commit:
        return trace_commit(record, commit)
    raise SlipwayError(_unknown(record, what))


def _unknown(record: Record, what: str) -> str:
    versions = ", ".join(record.versions) or "none"
    ways = ["`git fetch --tags` brings what is newer"]
    if record.edge:
        ways = ["this clone is shallow: `git fetch --unshallow --tags` brings the rest"]
    return "\n".join(
        [
            f"{what!r} is no model's version or digest (of at least 6 digits), no image's digest, no tag and no commit "
            "that is known here",
            f"  models known here: {versions}",
            *(f"  {way}" for way in (*ways, *record.notes)),
        ]
    )
