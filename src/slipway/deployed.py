"""What is deployed where, as Git records it: what each overlay in `k8s/overlays` pins, and pinned before."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slipway.problem import SlipwayError
from slipway.versioning import file_history

OVERLAYS = ":(glob)k8s/overlays/*/kustomization.yaml"
IMAGE = "slipway"  # what k8s/base calls it
VERSION, COMMIT = "slipway/model-version", "slipway/commit"  # annotations
NOTHING = re.compile("(sha256:)?0+")  # what an overlay pins before its first release


@dataclass(frozen=True)
class Pin:
    """What an overlay deploys: an image by its digest, the model's version in it, and the commit it was built from."""

    image: str
    version: str | None
    image_commit: str | None

    @property
    def digest(self) -> str:
        """The image's digest, as hex digits."""
        return self.image.rpartition(":")[2]


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
    for version in reversed(file_history(root, OVERLAYS, revisions=(revision,))):
        overlay = Path(version.path).parent.name
        try:
            pin = read_pin(version.text) if version.text else None
        except SlipwayError as error:
            unreadable.append(f"{version.commit[:8]}:{version.path}: {error}")
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


def read_pin(text: str) -> Pin | None:
    """Read what a `kustomization.yaml` pins; None if it pins no image by its digest. Raises SlipwayError."""
    import yaml

    try:
        # Everything as text: twelve digits are no number. In C, where it was built in: histories grow long.
        content: dict[str, Any] = yaml.load(text, getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # noqa: S506
        images = [one for one in content.get("images") or [] if _named(one.get("digest"))]
        if not images:
            return None
        image = next((one for one in images if one["name"] == IMAGE), images[0])
        said = content.get("commonAnnotations") or {}
        name = image.get("newName") or image["name"]
        return Pin(f"{name}@{image['digest']}", _named(said.get(VERSION)), _named(said.get(COMMIT)))
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise SlipwayError(f"not a kustomization: {' '.join(str(error).split())}") from None


def _named(value: str | None) -> str | None:
    return None if not value or NOTHING.fullmatch(value) else value
