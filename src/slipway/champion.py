"""The champion, as the last commit says: the decision in `champion.dvc`, and the pins of the Kubernetes overlays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from slipway.model.bundle import MANIFEST, VERSION_DIGITS
from slipway.problem import SlipwayError
from slipway.problem.editing import edited, write_whole
from slipway.versioning import CHAMPION, FileVersion, fetch, file_at, file_history, files_at, git_names

POINTER = CHAMPION
BUNDLE, EVALUATION, DECISION = "bundle", "evaluation", "decision.json"  # in champion/
OVERLAYS = "k8s/overlays"
IMAGE = "slipway"  # its name in k8s/base
VERSION, COMMIT, EXPECTED = "slipway/model-version", "slipway/commit", "SLIPWAY_EXPECTED"
NOTHING = re.compile("(sha256:)?0+")  # the pin of an overlay before its first release
PIN = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64} [0-9a-f]{12} [0-9a-f]{40}")
T = TypeVar("T")


class Decision(BaseModel):
    """Why a bundle serves.

    digest: of the bundle. name: of the model. action: promote or rollback. previous: the version that served before.
    commit: that the candidate was built from. data: DVC's digest of the data. when: in UTC, ISO 8601. run: in MLflow.
    scores: point estimates on the test set. rolled_back: versions that the gate holds.
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


class Release(NamedTuple):
    """One line of the history: a decision, and the commit that made it."""

    decision: Decision
    commit: str
    when: str


class Pin(NamedTuple):
    """The image that an overlay deploys.

    image: name@sha256:digest. version: of the model in it. commit: that the image was built from; both may be None in
    a pin that was written by hand.
    """

    image: str
    version: str | None
    commit: str | None

    @property
    def digest(self) -> str:
        """The image's digest, as hex digits."""
        return self.image.rpartition(":")[2]


class Pinned(NamedTuple):
    """A pin as a commit left it in an overlay."""

    overlay: str
    pin: Pin
    commit: str


def read_decision(root: Path) -> Decision | None:
    """Read the last commit's decision; None if nothing was released, or `champion.dvc` is removed here."""
    return serving_now(root) if (root / POINTER).exists() else None


def require_released(decision: Decision | None) -> Decision:
    """Give the decision. Raises SlipwayError if nothing was released."""
    if decision is None:
        raise SlipwayError("no champion yet; `slipway promote` makes one")
    return decision


def fetch_champion(root: Path) -> Decision | None:
    """Read the last commit's decision, and have DVC fetch its champion unless `champion/` holds just that."""
    decision = read_decision(root)
    manifest = root / POINTER.removesuffix(".dvc") / BUNDLE / MANIFEST
    if decision and not (manifest.exists() and sha256(manifest.read_bytes()).hexdigest() == decision.digest):
        fetch(root, POINTER)
    return decision


def parse_decision(text: str, place: str) -> Decision:
    """Read the decision from a `champion.dvc` file's text. Raises SlipwayError, naming `place`, if it has none."""
    import yaml

    try:
        return Decision.model_validate(_parse_yaml(text, "SafeLoader")["meta"])
    except (yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise SlipwayError(f"{place}: does not say what was released: {error}") from None


def serving_now(root: Path, revision: str = "HEAD") -> Decision | None:
    """Read the decision from a commit, by default the last one; None if nothing was released yet."""
    text = file_at(root, revision, POINTER)
    return parse_decision(text, f"{revision}:{POINTER}") if text else None


def history(root: Path, *, revisions: Sequence[str] = ("HEAD",), unreadable: list[str] | None = None) -> list[Release]:
    """List the releases, newest first, as Git recorded them; a commit that repeats the decision before it is none.

    unreadable: takes a line for each commit whose record cannot be read; without it, such a commit raises SlipwayError.
    """
    found = _parsed(file_history(root, POINTER, revisions=revisions), parse_decision, unreadable)
    releases = [Release(decision, version.commit, version.when) for version, decision in found]
    before = (release.decision for release in releases[1:])
    return [one for one, earlier in zip_longest(releases, before) if one.decision != earlier]


def pin_history(root: Path, revision: str = "HEAD", *, unreadable: list[str] | None = None) -> list[Pinned]:
    """List the pins of the overlays, newest first: one entry for each commit that wrote an overlay with a pin.

    unreadable: as for `history`, a line for each overlay.
    """
    versions = file_history(root, f":(glob){overlay_file('*')}", revisions=(revision,))
    found = _parsed(versions, parse_pin, unreadable)
    return [Pinned(Path(one.path).parent.name, pin, one.commit) for one, pin in found]


def _parsed(
    versions: list[FileVersion], parse: Callable[[str, str], T | None], unreadable: list[str] | None
) -> list[tuple[FileVersion, T]]:
    found = []
    for version in versions:
        try:
            if version.text and (content := parse(version.text, f"{version.commit[:8]}:{version.path}")):
                found.append((version, content))
        except SlipwayError as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
    return found


def pins(root: Path, revision: str = "HEAD") -> dict[str, Pin]:
    """Read the pin of each overlay at a revision, by the overlay's name; one without an image's digest is left out.

    Raises SlipwayError naming an overlay that cannot be read.
    """
    below = git_names(root, "ls-tree", "-r", "--name-only", "-z", revision, OVERLAYS)
    paths = [path for path in below if PurePath(path).match(overlay_file("*"))]
    texts = zip(paths, files_at(root, [(revision, path) for path in paths]), strict=True)
    found = {PurePath(path).parent.name: parse_pin(text or "", f"{revision}:{path}") for path, text in texts}
    return {name: pin for name, pin in found.items() if pin}


def parse_pin(text: str, place: str) -> Pin | None:
    """Read the pin in the text of a `kustomization.yaml`; None if it names no image by a digest other than zeros.

    Raises SlipwayError, naming `place`, if it is no kustomization.
    """
    import yaml

    try:
        content = _parse_yaml(text, "BaseLoader") or {}  # everything as text: twelve digits are no number
        images = [one for one in content.get("images") or [] if _named(one.get("digest"))]
        if not images:
            return None
        image = next((one for one in images if one["name"] == IMAGE), images[0])
        said = content.get("commonAnnotations") or {}
        name = image.get("newName") or image["name"]
        return Pin(f"{name}@{image['digest']}", _named(said.get(VERSION)), _named(said.get(COMMIT)))
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise SlipwayError(f"{place}: not a kustomization: {' '.join(str(error).split())}") from None


def _parse_yaml(text: str, loader: str) -> Any:
    """Parse YAML, in C where PyYAML was built with it: ten times as fast, and histories grow long."""
    import yaml

    return yaml.load(text, getattr(yaml, f"C{loader}", None) or getattr(yaml, loader))  # noqa: S506


def pinned(text: str, pin: Pin) -> str:
    """Give the text of a `kustomization.yaml` with another pin; all else stays. Raises SlipwayError for half a pin."""
    if not PIN.fullmatch(said := f"{pin.image} {pin.version} {pin.commit}"):
        raise SlipwayError(
            f"{said}: not an image name@sha256:..., a model's version of 12 hex digits and a commit of 40"
        )
    return edited(text, partial(_set_pin, pin))


def _set_pin(pin: Pin, content: Any) -> None:
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString as Quoted

    images = content.setdefault("images", [])
    image = next((one for one in images if one["name"] == IMAGE), None)
    if image is None:
        images.append(image := {"name": IMAGE})
    image.pop("newTag", None)
    image["newName"], image["digest"] = pin.image.split("@")
    # Quoted: a version of digits alone would be a number, and an annotation must be a text.
    annotations = {VERSION: Quoted(f"{pin.version}"), COMMIT: Quoted(f"{pin.commit}")}
    content.setdefault("commonAnnotations", {}).update(annotations)
    for generator in content.get("configMapGenerator") or []:
        literals = generator.get("literals") or []
        for number, literal in enumerate(literals):
            if literal.startswith(f"{EXPECTED}="):
                literals[number] = f"{EXPECTED}={pin.version}"


def write_pin(root: Path, overlay: str, pin: Pin) -> Path:
    """Write a pin into an overlay of the work tree; give its path. Raises SlipwayError if there is none."""
    path = root / overlay_file(overlay)
    if not path.exists():
        raise SlipwayError(f"{path}: no such overlay")
    write_whole(path, pinned(path.read_text("utf-8"), pin))
    return path


def overlay_file(name: str) -> str:
    """Give the path of an overlay's `kustomization.yaml` below the project's folder."""
    return f"{OVERLAYS}/{name}/kustomization.yaml"


def _named(value: str | None) -> str | None:
    return None if not value or NOTHING.fullmatch(value) else value
