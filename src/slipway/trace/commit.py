"""From a commit forward to what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from slipway.champion import Release, serving_now
from slipway.deployed import Deployment, deployments
from slipway.problem import SlipwayError
from slipway.trace.made_from import LOCK, Data, data_at, lock_at
from slipway.trace.record import Commit, Record, Step
from slipway.versioning import files_at, git


@dataclass(kw_only=True)
class CommitTrace:
    """What a commit holds, and what came of it.

    champion: the version that champion.dvc names there. candidate: the version of the bundle that dvc.lock names
    there, which bundle names by DVC's digest; None if it was never released and is not the one in build/.
    data: that this bundle learned from. pinned: what the overlays pinned then. released: what this very commit
    released. built: the releases of what was built from it. next: where nothing was, the first release of what was
    built from a later commit. deployed: where any of these is, then where it was; without an `until`, it still is.
    """

    kind: str = field(default="commit", init=False)
    commit: Commit
    champion: str | None
    candidate: str | None
    bundle: str | None
    data: Data | None
    pinned: list[Deployment]
    released: list[Step]
    built: list[Step]
    next: Step | None
    deployed: list[Deployment]
    notes: list[str] = field(default_factory=list)


def trace_commit(record: Record, commit: str) -> CommitTrace:
    """Tell what a commit holds, and what came of it."""
    notes = list(record.notes)
    released = [release for release in record.releases if release.commit == commit and commit not in record.edge]
    built = [r for r in record.releases if r.decision.commit == commit and r.decision.action == "promote"]
    following = None if built else _next(record, commit)
    versions = {r.decision.version for r in (*released, *built, *([following] if following else []))}
    if commit not in record.ancestors:
        notes.append("this commit is not in HEAD's history: nothing that is released here came of it")
    bundle = lock_at(record.root, commit).bundle
    return CommitTrace(
        commit=record.commit(commit),
        champion=_champion(record, commit, notes),
        candidate=_version_of(record, bundle) if bundle else None,
        bundle=bundle,
        data=data_at(record, commit),
        pinned=[
            one for one in deployments(record.root, revision=commit, edge=record.edge, unreadable=[]) if not one.until
        ],
        released=[record.step(release) for release in released],
        built=[record.step(release) for release in built],
        next=record.step(following) if following else None,
        deployed=[d for d in record.deployments if d.pin.version in versions or d.pin.commit == commit],
        notes=notes,
    )


def _champion(record: Record, commit: str, notes: list[str]) -> str | None:
    try:
        decision = serving_now(record.root, commit)
    except SlipwayError as error:
        if str(error) not in notes:
            notes.append(str(error))
        return None
    return decision.version if decision else None


def _next(record: Record, commit: str) -> Release | None:
    """Find the first promotion of what was built from a later commit."""
    later = set(git(record.root, "rev-list", "--ancestry-path", f"{commit}..HEAD").split())
    for release in reversed(record.releases):
        built = release.decision.commit if release.decision.commit in record.ancestors else release.commit
        if release.decision.action == "promote" and built in later:
            return release
    return None


def _version_of(record: Record, bundle: str) -> str | None:
    """Find the version of a bundle that dvc.lock names: a promotion commits both."""
    # The first commit of a shallow clone or of a copied repository may hold a champion and another one's dvc.lock.
    whole = [release for release in record.releases if release.decision.commit in record.ancestors]
    promotions = [release for release in whole if release.decision.action == "promote"]
    locks = files_at(record.root, [(release.commit, LOCK) for release in promotions])
    for release, lock in zip(promotions, locks, strict=True):
        if bundle in (lock or ""):
            return release.decision.version
    if record.candidate:
        from slipway.stages.prepare import data_digest

        if data_digest(record.workspace.bundle) == bundle:
            return record.candidate.version
    return None
