"""What is on record in a checkout: releases, deployments, and the candidate at hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from slipway.champion import Decision, Release, history, serving_now
from slipway.deployed import Deployment, deployments
from slipway.model.bundle import VERSION_DIGITS, Bundle, BundleError, read_bundle
from slipway.problem import SlipwayError
from slipway.versioning import find_commit, git, shallow_edge
from slipway.workspace import Workspace

HEX = re.compile(r"[0-9a-f]{6,64}")


@dataclass(frozen=True)
class Commit:
    """A commit of Git. when and subject: None if it is not here."""

    hash: str
    when: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class Step:
    """A release as it is shown. commit: None if it is not known, because a shallow clone's history begins later."""

    commit: str | None
    when: str | None
    action: str
    version: str
    previous: str | None
    reason: str
    who: str


@dataclass(frozen=True)
class Record:
    """What a checkout tells, newest first.

    head: the last commit; None before the first. releases: of HEAD's history. elsewhere: of bundles that only other
    branches and tags released. edge: where a shallow clone's history is cut off. notes: what could not be read.
    """

    workspace: Workspace
    head: str | None
    releases: list[Release]
    elsewhere: list[Release]
    serving: Decision | None
    candidate: Bundle | None
    deployments: list[Deployment]
    edge: frozenset[str]
    notes: list[str]

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.workspace.root

    @cached_property
    def versions(self) -> dict[str, str]:
        """Every version known here, and its digest; the version again where no more is known, from an overlay."""
        digests = [release.decision.digest for release in (*self.releases, *self.elsewhere)]
        if self.candidate:
            digests.append(self.candidate.digest)
        pinned = [one.pin.version for one in self.deployments if one.pin.version]
        return {version: version for version in pinned} | {digest[:VERSION_DIGITS]: digest for digest in digests}

    @cached_property
    def ancestors(self) -> frozenset[str]:
        """The commits of HEAD's history."""
        return frozenset(git(self.root, "rev-list", "HEAD").split()) if self.head else frozenset()

    def find_version(self, what: str) -> str | None:
        """Give the version that `what` names: its start, its digest, its tag, or an image that holds it.

        None if it names none. Raises SlipwayError if it is the start of several, or of an image of an unknown model.
        """
        name = what.removeprefix("refs/tags/").removeprefix("model/")
        digits = name.rpartition("@")[2].removeprefix("sha256:").lower()
        if not HEX.fullmatch(digits):
            return None
        found = [version for version, digest in self.versions.items() if digest.startswith(digits)]
        if not found:
            pins = [one.pin for one in self.deployments if one.pin.digest.startswith(digits)]
            found = list(dict.fromkeys(pin.version for pin in pins if pin.version))
            if pins and not found:
                raise SlipwayError(
                    f"{pins[0].image} is deployed, but no overlay says with which model; the image's own label "
                    "org.opencontainers.image.version does"
                )
        if len(found) > 1:
            raise SlipwayError(f"{what} may be any of {', '.join(found)}: give more digits")
        return found[0] if found else None

    def releases_of(self, version: str) -> list[Release]:
        """List what released a version, newest first; a decision that several commits hold counts once, the first."""
        first = {
            (release.decision.action, release.decision.when, release.decision.previous): release
            for release in (*self.releases, *self.elsewhere)
            if release.decision.version == version
        }
        return list(first.values())

    def step(self, release: Release) -> Step:
        """Show a release."""
        decision, known = release.decision, release.commit not in self.edge
        return Step(
            release.commit if known else None,
            release.when if known else decision.when,
            decision.action,
            decision.version,
            decision.previous,
            decision.reason,
            decision.who,
        )

    def commit(self, name: str) -> Commit:
        """Read a commit's date and subject, if it is here."""
        if find_commit(self.root, name) is None:
            return Commit(name)
        return Commit(*git(self.root, "show", "--no-patch", "--format=%H%x00%cI%x00%s", name).strip().split("\0"))


def read_record(root: Path) -> Record:
    """Read what a checkout tells. Raises SlipwayError if it is no Git checkout."""
    try:
        edge = shallow_edge(root)
    except SlipwayError as error:
        raise SlipwayError(f"{error}\ntrace reads what Git recorded: run it in a clone of the project") from None
    workspace, notes = Workspace(root), list[str]()
    head = find_commit(root, "HEAD")
    releases = history(root, unreadable=notes)
    known = {release.decision.digest for release in releases}
    others = history(root, revisions=("--all", *(("--not", "HEAD") if head else ())), unreadable=[])
    elsewhere = [release for release in others if release.decision.digest not in known]
    deployed = deployments(root, revision="HEAD", edge=edge, unreadable=notes) if head else []
    if edge:
        notes.append("this clone is shallow, and tells only what is recent: `git fetch --unshallow --tags`")
    serving = None
    try:
        serving = serving_now(root)
    except SlipwayError as error:
        notes.append(f"what serves cannot be told: {error}")
    return Record(workspace, head, releases, elsewhere, serving, _candidate(workspace, notes), deployed, edge, notes)


def _candidate(workspace: Workspace, notes: list[str]) -> Bundle | None:
    if not workspace.bundle.exists():
        return None
    try:
        return read_bundle(workspace.bundle)
    except BundleError as error:
        notes.append(f"the candidate cannot be read: {error}")
        return None
