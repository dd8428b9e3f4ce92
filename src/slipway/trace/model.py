"""From a model back to all that made it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.champion import POINTER, Release
from slipway.deployed import Deployment
from slipway.trace.made_from import Data, data_at, data_named, parameters
from slipway.trace.record import Commit, Record, Step
from slipway.versioning import changed_files, find_commit


@dataclass(kw_only=True)
class ModelTrace:
    """All that is known of a model; what is not known is None, or empty.

    state: "serves", "rolled_back", "earlier champion", "released elsewhere" (on a branch or tag outside of HEAD's
    history), "candidate" (in build/, never released) or "not released" (an overlay names it, nothing else).
    candidate: is it the one in build/? releases: newest first. replaced: the releases of others that ended its service,
    newest first. fetch: the command that fetches the bundle. images: those that an overlay pinned it in.
    deployed: where it is, then where it was; without an `until`, it still is.
    """

    kind: str = field(default="model", init=False)
    version: str
    state: str
    digest: str | None
    name: str | None = None
    candidate: bool = False
    releases: list[Step] = field(default_factory=list)
    replaced: list[Step] = field(default_factory=list)
    built_from: Commit | None = None
    fetch: str | None = None
    data: Data | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    verdict: str | None = None
    run: str | None = None
    images: list[str] = field(default_factory=list)
    deployed: list[Deployment] = field(default_factory=list)
    tag: str | None = None
    notes: list[str] = field(default_factory=list)


def trace_model(record: Record, version: str) -> ModelTrace:
    """Tell all that is on record of a version that the record knows."""
    digest = record.versions[version]
    deployed = [one for one in record.deployments if one.pin.version == version]
    releases = record.releases_of(version)
    tag = f"model/{version}"
    found = ModelTrace(
        version=version,
        state=_state(record, version),
        digest=None if digest == version else digest,
        candidate=record.candidate is not None and record.candidate.digest == digest,
        releases=[record.step(release) for release in releases],
        replaced=[record.step(release) for release in record.releases if release.decision.previous == version],
        images=list(dict.fromkeys(one.pin.image for one in deployed)),
        deployed=deployed,
        tag=tag if find_commit(record.root, f"refs/tags/{tag}") else None,
        notes=list(record.notes),
    )
    if found.candidate:
        found.name = record.candidate.manifest.name if record.candidate else None
    if releases:
        _add_release(record, found, releases)
    elif found.candidate:
        _add_candidate(record, found)
    return found


def _state(record: Record, version: str) -> str:
    now = record.serving
    if now and now.version == version:
        return "serves"
    if now and version in now.rolled_back:
        return "rolled_back"
    for releases, state in ((record.releases, "earlier champion"), (record.elsewhere, "released elsewhere")):
        if any(release.decision.version == version for release in releases):
            return state
    return "candidate" if record.candidate and record.candidate.version == version else "not released"


def _add_release(record: Record, found: ModelTrace, releases: list[Release]) -> None:
    """Add what its first release says, a promotion: that commit holds code, data and parameters as they were."""
    first = releases[-1]
    decision = first.decision
    found.name = decision.name or found.name
    found.scores, found.verdict, found.run = decision.scores, decision.verdict, decision.run
    found.fetch = f"git checkout {first.commit[:12]} -- {POINTER} && dvc pull {POINTER}"
    cut_off = first.commit in record.edge
    if cut_off:
        found.notes.append(f"which commit released it is not known: this clone's history begins at {first.commit[:12]}")
    if decision.commit:
        found.built_from = record.commit(decision.commit)
    here = found.built_from is not None and found.built_from.when is not None
    if here and decision.commit not in record.ancestors:
        found.notes.append(f"{str(decision.commit)[:12]} is not in HEAD's history: rebased, or on another branch")
    if not here and not cut_off:
        found.notes.append(
            "the commit it was built from is not here (rebased, or left out when the repository was copied): "
            "data and parameters are those of the commit that released it"
        )
    # What is known of a release's commit in a shallow clone's first one, is not: later commits are in it, too.
    found.data = data_named(record, decision.data, first.commit) if decision.data else None
    if found.data is None and not cut_off:
        found.data = data_at(record, first.commit)
    source = decision.commit if here else None if cut_off else first.commit
    if source:
        found.parameters = parameters(record.root, str(source))


def _add_candidate(record: Record, found: ModelTrace) -> None:
    """Add what `build/` and the work tree say."""
    if record.candidate is None:
        return
    workspace = record.workspace
    if record.head:
        found.built_from = record.commit(record.head)
        if changed := changed_files(record.root):
            found.notes.append(f"the work tree differs from that commit: {', '.join(changed)}")
    found.data = data_named(record, record.candidate.manifest.data, record.head or "HEAD")
    found.parameters = parameters(record.root, None)
    verdict, tracked = _json(workspace.verdict), _json(workspace.tracked)
    if verdict.get("candidate") == found.digest:
        found.verdict, found.scores = verdict.get("verdict"), verdict.get("metrics", {})
    if tracked.get("candidate") == found.digest:
        found.run = tracked.get("run")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
