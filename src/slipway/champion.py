"""What serves, as the last commit says: the decision in `champion.dvc`, and what the overlays of Kubernetes pin."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from slipway.model.bundle import MANIFEST, VERSION_DIGITS
from slipway.problem import SlipwayError
from slipway.versioning import CHAMPION, fetch, file_at, file_history, git

POINTER = CHAMPION
BUNDLE, EVALUATION, DECISION = "bundle", "evaluation", "decision.json"  # in champion/
OVERLAYS = "k8s/overlays"
IMAGE = "slipway"  # what k8s/base calls it
VERSION, COMMIT, EXPECTED = "slipway/model-version", "slipway/commit", "SLIPWAY_EXPECTED"
NOTHING = re.compile("(sha256:)?0+")  # what an overlay pins before its first release
PIN = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64} [0-9a-f]{12} [0-9a-f]{40}")


class Decision(BaseModel):
    """Why a bundle serves.

    digest: of the bundle. name: of the model. action: promote or rollback. previous: the version that served before.
    commit: that the candidate was built from. data: DVC's digest of what it was trained on. when: in UTC, ISO 8601.
    run: in MLflow. scores: point estimates on the test set. rolled_back: versions that were rolled back, never to be
    promoted again unless asked.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    digest: str
    name: str | None = None
    action: str
    previous: str | None = None
    verdict: str
    reason: str
    who: str
    commit: str | None = None
    data: str | None = None
    scores: dict[str, float] = {}
    rolled_back: list[str] = []
    when: str | None = None
    run: str | None = None

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.digest[:VERSION_DIGITS]


@dataclass(frozen=True)
class Release:
    """One line of the history: a decision, and the commit that made it."""

    decision: Decision
    commit: str
    when: str


@dataclass(frozen=True)
class Pin:
    """What an overlay deploys.

    image: name@sha256:digest. version: of the model in it. commit: that the image was built from. Version and commit
    are None where whoever pinned it by hand left them out.
    """

    image: str
    version: str | None
    commit: str | None

    @property
    def digest(self) -> str:
        """The image's digest, as hex digits."""
        return self.image.rpartition(":")[2]


@dataclass(frozen=True)
class Pinned:
    """A pin as a commit left it in an overlay. when: of the commit, ISO 8601."""

    overlay: str
    pin: Pin
    commit: str
    when: str


def read_decision(root: Path) -> Decision | None:
    """Read what serves, as the last commit says; None if nothing was released, or `champion.dvc` is removed here."""
    return serving_now(root) if (root / POINTER).exists() else None


def fetch_champion(root: Path) -> Decision | None:
    """Read what serves, and see that `champion/` holds it: an older or an unfinished one is replaced by DVC."""
    decision = read_decision(root)
    manifest = root / POINTER.removesuffix(".dvc") / BUNDLE / MANIFEST
    if decision and not (manifest.exists() and sha256(manifest.read_bytes()).hexdigest() == decision.digest):
        fetch(root, POINTER)
    return decision


def parse_decision(text: str, place: str) -> Decision:
    """Read the decision from a `champion.dvc` file's text. Raises SlipwayError, naming `place`, if it has none."""
    import yaml

    try:
        # In C, where it was built in: ten times as fast, and histories grow long.
        content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        return Decision.model_validate(content["meta"])
    except (yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise SlipwayError(f"{place}: does not say what was released: {error}") from None


def serving_now(root: Path, revision: str = "HEAD") -> Decision | None:
    """Read from a commit, by default the last one, what serves; None if nothing was released yet."""
    text = file_at(root, revision, POINTER)
    return parse_decision(text, f"{revision}:{POINTER}") if text else None


def history(root: Path, *, revisions: Sequence[str] = ("HEAD",), unreadable: list[str] | None = None) -> list[Release]:
    """List what was released, newest first, as Git recorded it.

    revisions: whose history. unreadable: takes one line for each commit whose record cannot be read; without it, such a
    commit raises SlipwayError.
    """
    releases = []
    for version in file_history(root, POINTER, revisions=revisions):
        if not version.text:  # a commit may also have removed the file
            continue
        try:
            decision = parse_decision(version.text, f"{version.commit[:8]}:{POINTER}")
        except SlipwayError as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
        else:
            releases.append(Release(decision, version.commit, version.when))
    return releases


def pins(root: Path, revision: str = "HEAD") -> dict[str, Pin]:
    """Read what each overlay pins at a revision, by the overlay's name; one without an image's digest is left out.

    Raises SlipwayError naming an overlay that cannot be read.
    """
    try:
        names = git(root, "ls-tree", "--full-tree", "-d", "--name-only", "-z", f"{revision}:./{OVERLAYS}").split("\0")
    except SlipwayError:
        return {}  # no such folder there
    paths = {name: overlay_file(name) for name in names if name}
    texts = {name: (path, file_at(root, revision, path)) for name, path in paths.items()}
    found = {name: parse_pin(text, f"{revision}:{path}") for name, (path, text) in texts.items() if text}
    return {name: pin for name, pin in found.items() if pin}


def pin_history(root: Path, revision: str = "HEAD", *, unreadable: list[str] | None = None) -> list[Pinned]:
    """List what the overlays pinned, newest first: one entry for each commit that wrote an overlay with a pin.

    unreadable: takes one line for each overlay that cannot be read; without it, such an overlay raises SlipwayError.
    """
    found = []
    for version in file_history(root, f":(glob){overlay_file('*')}", revisions=(revision,)):
        try:
            pin = parse_pin(version.text or "", f"{version.commit[:8]}:{version.path}")
        except SlipwayError as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
            continue
        if pin:
            found.append(Pinned(Path(version.path).parent.name, pin, version.commit, version.when))
    return found


def parse_pin(text: str, place: str) -> Pin | None:
    """Read what the text of a `kustomization.yaml` pins; None if it names no image by a digest other than zeros.

    Raises SlipwayError, naming `place`, if it is no kustomization.
    """
    import yaml

    try:
        # Everything as text: twelve digits are no number. In C, where it was built in: histories grow long.
        content: dict[str, Any] = yaml.load(text, getattr(yaml, "CBaseLoader", yaml.BaseLoader)) or {}  # noqa: S506
        images = [one for one in content.get("images") or [] if _named(one.get("digest"))]
        if not images:
            return None
        image = next((one for one in images if one["name"] == IMAGE), images[0])
        said = content.get("commonAnnotations") or {}
        name = image.get("newName") or image["name"]
        return Pin(f"{name}@{image['digest']}", _named(said.get(VERSION)), _named(said.get(COMMIT)))
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise SlipwayError(f"{place}: not a kustomization: {' '.join(str(error).split())}") from None


def pinned(text: str, pin: Pin) -> str:
    """Give the text of a `kustomization.yaml` with another pin; everything else stays as it is, comments too.

    Raises SlipwayError if the pin is not a whole one.
    """
    from ruamel.yaml import YAML  # keeps comments, order and quotes

    if not PIN.fullmatch(f"{pin.image} {pin.version} {pin.commit}"):
        raise SlipwayError(
            f"{pin.image} {pin.version} {pin.commit}: not an image name@sha256:..., a model's version of 12 hex digits "
            "and a commit of 40"
        )
    yaml, written = YAML(), io.StringIO()
    yaml.preserve_quotes, yaml.width = True, 10**6
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(text)
    _pin(content, pin)
    yaml.dump(content, written)
    return written.getvalue()


def write_pin(root: Path, overlay: str, pin: Pin) -> Path:
    """Write into an overlay of the work tree what it deploys; give its path. Raises SlipwayError if there is none."""
    path = root / overlay_file(overlay)
    if not path.exists():
        raise SlipwayError(f"{path}: no such overlay")
    text = pinned(path.read_text("utf-8"), pin)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)
    return path


def _pin(content: dict[str, Any], pin: Pin) -> None:
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString as Quoted

    images = content.setdefault("images", [])
    image = next((one for one in images if one["name"] == IMAGE), None)
    if image is None:
        images.append(image := {"name": IMAGE})
    image.pop("newTag", None)
    image["newName"], image["digest"] = pin.image.split("@")
    # Quoted: a version of digits alone would be a number, and an annotation must be a text.
    content.setdefault("commonAnnotations", {}).update(
        {VERSION: Quoted(pin.version or ""), COMMIT: Quoted(pin.commit or "")}
    )
    for generator in content.get("configMapGenerator") or []:
        literals = generator.get("literals") or []
        for number, literal in enumerate(literals):
            if literal.startswith(f"{EXPECTED}="):
                literals[number] = f"{EXPECTED}={pin.version}"


def overlay_file(name: str) -> str:
    """Give the path of an overlay's `kustomization.yaml` below the project's folder."""
    return f"{OVERLAYS}/{name}/kustomization.yaml"


def _named(value: str | None) -> str | None:
    return None if not value or NOTHING.fullmatch(value) else value
