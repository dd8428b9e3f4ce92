"""The released model on disk: write, verify and read it.

All of a bundle is verified before anything in it is parsed: the list of files, that each is a regular file, and the
size and digest of each against `manifest.json`, whose own digest is the bundle's identity. Only the verified bytes are
used.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slipway.contract import Contract, Target, canonical_json, strict_json
from slipway.model.derived import Derived
from slipway.model.manifest import FORMAT, MAX_BUNDLE, Manifest
from slipway.problem import SlipwayError

MANIFEST = "manifest.json"
REFERENCE = "reference.json"
EXAMPLES = "examples.json"
FEATURES = "features.py"
MODELS = {"onnx": "model.onnx", "skops": "model.skops"}
VERSION_DIGITS = 12
MAX_MANIFEST = 1 << 20  # bytes


class BundleError(SlipwayError):
    """The bundle is invalid or was changed; the message names the file."""


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, in memory."""

    manifest: Manifest
    digest: str
    files: Mapping[str, bytes]

    @property
    def version(self) -> str:
        """The first 12 hex digits of the digest: the model's version everywhere."""
        return self.digest[:VERSION_DIGITS]

    @cached_property
    def contract(self) -> Contract:
        """The contract of a row, as the model was trained on it."""
        return Contract.from_schema(self.manifest.row)

    @cached_property
    def target(self) -> Target:
        """The predicted column and its classes."""
        return Target.of(Contract.from_schema(self.manifest.target).columns[0])

    @property
    def model(self) -> bytes:
        """The model file's bytes, in the runtime's format."""
        return self.files[MODELS[self.manifest.runtime]]

    @cached_property
    def derived(self) -> Derived | None:
        """The project's own features, if it has any; their code runs at the first call."""
        features = self.manifest.features
        return Derived(self.files[FEATURES], features.function, features.columns) if features else None

    @cached_property
    def reference(self) -> dict[str, Any]:
        """Training-time bins and shares, see `slipway.model.reference`."""
        return dict(strict_json(self.files[REFERENCE]))

    @cached_property
    def examples(self) -> dict[str, Any]:
        """Golden rows and their stored predictions, see `slipway.model.predictor`."""
        return dict(strict_json(self.files[EXAMPLES]))


def write_bundle(folder: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle to `folder`; an old one is only replaced after the new one is complete.

    manifest: the manifest's content, to which this adds `format` and `files`.
    files: name and content of every other file of the bundle.
    """
    listed = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
    }
    content = canonical_json({**manifest, "format": FORMAT, "files": listed})
    _parsed(Bundle(_manifest(content), hashlib.sha256(content).hexdigest(), files), folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        temporary.chmod(0o755)
        for name, data in {**files, MANIFEST: content}.items():
            (temporary / name).write_bytes(data)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return read_bundle(folder)


def read_bundle(folder: Path, *, expected: str | None = None) -> Bundle:
    """Read and verify the bundle in `folder`.

    expected: the digest or version (a prefix of the digest) that the bundle must have.
    Raises BundleError, naming the file, if one is missing, added, changed, too large, a link, not a regular file, or
    has invalid content.
    """
    names = _plain_files(folder)
    if MANIFEST not in names:
        raise BundleError(f"{folder}: no bundle is here: {MANIFEST} is missing")
    content = _read(folder / MANIFEST, MAX_MANIFEST)
    digest = hashlib.sha256(content).hexdigest()
    if expected is not None and not digest.startswith(expected):
        raise BundleError(
            f"{folder / MANIFEST}: this is bundle {digest[:VERSION_DIGITS]}, expected is {expected[:VERSION_DIGITS]}"
        )
    manifest = _manifest(content, folder)
    for name in sorted(set(manifest.files) - names):
        raise BundleError(f"{folder / name}: missing, though {MANIFEST} lists it")
    for name in sorted(names - set(manifest.files) - {MANIFEST}):
        raise BundleError(f"{folder / name}: not listed in {MANIFEST}; it does not belong to this bundle")
    files = {}
    for name, file in manifest.files.items():
        files[name] = _read(folder / name, file.size, exact=True)
        if hashlib.sha256(files[name]).hexdigest() != file.sha256:
            raise BundleError(f"{folder / name}: its SHA-256 is not the one in {MANIFEST}; the file was changed")
    return _parsed(Bundle(manifest, digest, files), folder)


def _plain_files(folder: Path) -> set[str]:
    if folder.is_symlink() or not folder.is_dir():
        raise BundleError(f"{folder}: no bundle is here" + (" but a link" if folder.is_symlink() else ""))
    names = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                what = "a link" if entry.is_symlink() else "not a plain file"
                raise BundleError(f"{folder / entry.name}: {what}; a bundle holds plain files only")
            names.add(entry.name)
    return names


def _read(path: Path, size: int, *, exact: bool = False) -> bytes:
    """Read a file of at most (exact: of exactly) `size` bytes; a larger one is refused before it is read."""
    try:
        # Never follow a link that replaced the file after the folder was listed.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor).st_size
            if exact and found != size:
                raise BundleError(f"{path}: {found:,} bytes, {MANIFEST} says {size:,}; the file was changed")
            if found > size:
                raise BundleError(f"{path}: {found:,} bytes; at most {size:,} are read")
            return file.read(size)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None


def _manifest(content: bytes, folder: Path = Path()) -> Manifest:
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate(strict_json(content))
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise BundleError(f"{path}: not JSON: {error}") from None
    for name in manifest.files:
        if name != os.path.basename(name) or name in ("", ".", "..") or "\\" in name:  # noqa: PTH119
            raise BundleError(f"{path}: names {name!r}, which points outside of the bundle")
    needed = {MODELS[manifest.runtime], REFERENCE, EXAMPLES, *([FEATURES] if manifest.features else [])}
    if set(manifest.files) != needed:
        strange = sorted(set(manifest.files) ^ needed)
        raise BundleError(f"{path}: a bundle of this kind lists {', '.join(sorted(needed))}; differing: {strange[0]}")
    if (size := sum(file.size for file in manifest.files.values())) > MAX_BUNDLE:
        raise BundleError(f"{path}: the files have {size:,} bytes in all; at most {MAX_BUNDLE:,} are read")
    return manifest


def _parsed(bundle: Bundle, folder: Path) -> Bundle:
    """Parse everything but the model. Raises BundleError for invalid content, or if there is no golden row."""
    name = MANIFEST
    try:
        _ = bundle.contract
        if list(bundle.target.classes) != bundle.manifest.classes:
            raise ValueError("the classes differ from the target's")
        if bundle.manifest.decision:
            if len(bundle.manifest.classes) != 2:
                raise ValueError("a decision threshold needs two classes")
            bundle.manifest.classes.index(bundle.manifest.decision.positive)
        name = REFERENCE
        _ = bundle.reference
        name = EXAMPLES
        rows, predictions = bundle.examples["rows"], bundle.examples["predictions"]
        if not rows or len(rows) != len(predictions):
            raise ValueError("golden rows are needed, each with its prediction")
    except (SlipwayError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BundleError(f"{folder / name}: {type(error).__name__}: {error}") from None
    return bundle
