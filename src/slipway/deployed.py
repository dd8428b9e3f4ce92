"""What is deployed where, as Git records it: what each overlay in `k8s/overlays` pins, and pinned before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from slipway.champion import OVERLAYS, Pin, parse_pin
from slipway.problem import SlipwayError
from slipway.versioning import file_history


@dataclass(frozen=True)
class Deployment:
    """A pin of an overlay, the commit that wrote it, and from when to when it held.

    commit, since: None if that was before a shallow clone's history begins. until: None means still.
    """

    overlay: str
    pin: Pin
    commit: str | None
    since: str | None
    until: str | None = None


def deployments(root: Path, *, revision: str, edge: frozenset[str], unreadable: list[str]) -> list[Deployment]:
    """List what each overlay has pinned up to a commit: first what still holds, then what held before, newest first.

    edge: the commits at which a shallow clone's history is cut off; what they hold may be older than they are.
    unreadable: takes one line for each version of an overlay that cannot be read; the pin before it holds on.
    """
    found: list[Deployment] = []
    open_: dict[str, int] = {}  # overlay: where its present pin stands in `found`
    for version in reversed(file_history(root, f":(glob){OVERLAYS}/*/kustomization.yaml", revisions=(revision,))):
        overlay = Path(version.path).parent.name
        try:
            pin = parse_pin(version.text or "", f"{version.commit[:8]}:{version.path}")
        except SlipwayError as error:
            unreadable.append(str(error))
            continue
        present = open_.get(overlay)
        if present is not None:
            if found[present].pin == pin:
                continue
            found[present] = replace(found[present], until=version.when)
            del open_[overlay]
        if pin:
            open_[overlay] = len(found)
            known = version.commit not in edge
            found.append(Deployment(overlay, pin, version.commit if known else None, version.when if known else None))
    found.reverse()
    return sorted(found, key=lambda one: one.until is not None)
