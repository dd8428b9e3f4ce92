"""Lineage: from a model's version, digest or tag back to all that made it, and what differs between two models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from slipway.champion import POINTER, Decision, Pin, Release, history, pin_history, pins, serving_now
from slipway.model.bundle import VERSION_DIGITS, BundleError, read_bundle
from slipway.problem import SlipwayError
from slipway.versioning import DATA, changed_files, file_at, file_history, find_commit, git
from slipway.workspace import Workspace

PARAMS = "params.yaml"
SECTIONS = ("prepare", "model", "train")  # of params.yaml: they decide the bundle's content
FACTS = ("estimator", "runtime", "data", "versions", "row", "classes", "split")  # of the manifest


def lineage(root: Path, what: str) -> dict[str, Any]:
    """Find all that made a model, as facts by name; unknown ones are None or empty. Only Git is asked.

    what: a version, the digest of a bundle or the start of one (at least 6 digits), the digest of an image that an
    overlay pins or pinned, or a tag `model/<version>`.
    Raises SlipwayError if `what` names no known model or several, or if `root` is no Git checkout.
    """
    shallow = git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
    notes = ["this clone is shallow, earlier commits are missing: git fetch --unshallow --tags"] if shallow else []
    releases = history(root, revisions=("--all",), unreadable=notes)
    candidate = _candidate(Workspace(root), notes)
    now, images = _pins(root, notes)
    decisions = [release.decision for release in releases] + ([candidate] if candidate else [])
    known = {pin.version: "" for pin in images if pin.version} | {one.version: one.digest for one in decisions}
    version = _find(what, known, images, notes)
    # A decision that several commits hold, after a rebase, counts once.
    mine = list({(r.decision.action, r.decision.when): r for r in releases if r.decision.version == version}.values())
    made = mine[-1].decision if mine else candidate if candidate and candidate.version == version else None
    commit = mine[-1].commit if mine else "HEAD"  # the first release: it holds data and parameters as they were
    told = made.model_dump() if made else {}
    return {
        "version": version,
        "name": told.get("name"),
        "state": _state(root, version, bool(mine), made, notes),
        "bundle": told.get("digest"),
        "fetch bundle": f"git checkout {commit[:12]} -- {POINTER} && dvc pull {POINTER}" if mine else None,
        "built from": _commit(root, made.commit, candidate=not mine, notes=notes) if made else None,
        "released": [_step(release) for release in mine],
        "replaced": [_step(release) for release in releases if release.decision.previous == version],
        "data": told.get("data"),
        "fetch data": _fetch_data(root, made.data or "", commit) if made else None,
        "parameters": _parameters(root, made, commit) if made else {},
        "scores": told.get("scores", {}),
        "verdict": told.get("verdict"),
        "MLflow run": told.get("run"),
        "images": list(dict.fromkeys(pin.image for pin in images if pin.version == version)),
        "pinned in": {overlay: pin.image for overlay, pin in now.items() if pin.version == version},
        "tag": f"model/{version}" if find_commit(root, f"refs/tags/model/{version}") else None,
        "notes": notes,
    }


def _candidate(workspace: Workspace, notes: list[str]) -> Decision | None:
    """Describe the bundle in `build/`, released or not, as its release would."""
    if not workspace.bundle.exists():
        return None
    try:
        bundle = read_bundle(workspace.bundle)
    except BundleError as error:
        notes.append(f"the candidate cannot be read: {error}")
        return None
    verdict = workspace.read_about(workspace.verdict, bundle.digest)
    return Decision(
        digest=bundle.digest,
        name=bundle.manifest.name,
        action="none",
        verdict=verdict.get("verdict", "none"),
        reason="",
        who="",
        commit=find_commit(workspace.root, "HEAD"),
        data=bundle.manifest.data,
        scores=verdict.get("metrics", {}),
        run=workspace.read_about(workspace.tracked, bundle.digest).get("run"),
    )


def _pins(root: Path, notes: list[str]) -> tuple[dict[str, Pin], list[Pin]]:
    """Read the pins in the last commit, by overlay, and all earlier ones, newest first."""
    if not find_commit(root, "HEAD"):
        return {}, []
    ever = [one.pin for one in pin_history(root, unreadable=notes)]
    try:
        return pins(root), ever
    except SlipwayError as error:
        notes.append(f"the present pins are not known: {error}")
        return {}, ever


def _find(what: str, known: dict[str, str], images: list[Pin], notes: list[str]) -> str:
    """Give the version that `what` names. known: digest by version, empty where only an overlay names the version."""
    digits = re.sub(r"^.*@|^(refs/tags/)?model/", "", what.strip()).removeprefix("sha256:").lower()
    found: list[str] = []
    if re.fullmatch("[0-9a-f]{6,64}", digits):
        found = [version for version, digest in known.items() if (digest or version).startswith(digits)]
        named = [pin for pin in images if not found and pin.digest.startswith(digits)]
        found = found or list(dict.fromkeys(pin.version for pin in named if pin.version))
        if named and not found:
            raise SlipwayError(
                f"no overlay says which model is in {named[0].image}; its label org.opencontainers.image.version does"
            )
    if len(found) > 1:
        raise SlipwayError(f"{what} may be any of {', '.join(found)}: give more digits")
    if not found:
        lines = [f"models known here: {', '.join(known) or 'none'}", *notes, "`git fetch --tags` brings newer ones"]
        rule = "no version or digest (at least 6 digits), image digest or tag of a model that is known here"
        raise SlipwayError("\n  ".join([f"{what!r} is {rule}", *lines]))
    return found[0]


def _state(root: Path, version: str, released: bool, made: Decision | None, notes: list[str]) -> str:
    try:
        serving = serving_now(root)
    except SlipwayError as error:
        notes.append(f"which model serves is not known: {error}")
        serving = None
    if serving and version in (serving.version, *serving.rolled_back):
        return "serves" if version == serving.version else "rolled back"
    if released:
        here = {release.decision.version for release in history(root, unreadable=[])}
        return "earlier champion" if version in here else "released on another branch"
    return "candidate" if made else "not released"


def _step(release: Release) -> str:
    decision = release.decision
    change = f"{decision.action} {decision.version} instead of {decision.previous or 'none'}"
    when = (decision.when or release.when)[:16].replace("T", " ")
    return f"{release.commit[:12]} {when} {change}: {' '.join(decision.reason.split())} ({decision.who})"


def _commit(root: Path, name: str | None, *, candidate: bool, notes: list[str]) -> str | None:
    """Describe the commit that a model was built from; with a note if files differ from it, or it is not here."""
    if not name or not find_commit(root, name):
        if name:
            notes.append(f"{name[:VERSION_DIGITS]} is not here: the parameters are those of the release")
        return name and f"{name}, not in this clone"
    if candidate and (changed := changed_files(root)):
        notes.append(f"built from files that differ from the commit: {', '.join(changed)}")
    return git(
        root, "show", "--no-patch", "--date=format:%Y-%m-%d %H:%M", "--format=%h %cd %s", "--abbrev=12", name
    ).strip()


def _fetch_data(root: Path, digest: str, commit: str) -> str | None:
    """Give the command that fetches data of that digest; None if no commit's data.dvc names it."""
    if digest not in (file_at(root, commit, DATA) or ""):
        versions = file_history(root, DATA, revisions=("--all",))
        commit = next((version.commit for version in versions if digest in (version.text or "")), "")
    return f"git checkout {commit[:12]} -- {DATA} && dvc pull {DATA}" if commit else None


def _parameters(root: Path, made: Decision, released: str) -> dict[str, Any]:
    """Read the parameters that the model was made with, at the commit that it was built from."""
    if released == "HEAD" and (root / PARAMS).exists():
        return parameters(root, None)
    return parameters(root, made.commit if made.commit and find_commit(root, made.commit) else released)


def parameters(root: Path, commit: str | None) -> dict[str, Any]:
    """Read the parameters that decide a bundle's content, at a commit or as they are here; none if that is no YAML."""
    try:
        text = file_at(root, commit, PARAMS) if commit else (root / PARAMS).read_text("utf-8")
        content = yaml.safe_load(text or "")
    except (UnicodeDecodeError, yaml.YAMLError):
        return {}
    return {name: content[name] for name in SECTIONS if name in content} if isinstance(content, dict) else {}


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Give what differs between two models' facts, flat, by names with dots."""
    one, other = _flat(a), _flat(b)
    return {name: (one.get(name), other.get(name)) for name in {**one, **other} if one.get(name) != other.get(name)}


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
