"""A bundle at its edges: how it is written, the sizes that are allowed, and the words for what is wrong."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from slipway.model.bundle import BundleError, read_bundle, write_bundle
from unit.test_bundle import ANY, FILES, MANIFEST


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", MANIFEST, FILES)
    return tmp_path / "bundle"


def test_it_is_written_beside_its_place_and_a_failure_leaves_the_old_one(folder, monkeypatch):
    version, seen, write = read_bundle(folder).version, [], Path.write_bytes

    def fail(path, content):
        seen.append(path.parent)
        if path.name == "reference.json":
            raise OSError("no room")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no room"):
        write_bundle(folder, MANIFEST, {**FILES, "model.onnx": b"other"})
    assert {(path.parent, path.name[:8]) for path in seen} == {(folder.parent, ".bundle-")}
    assert list(folder.parent.iterdir()) == [folder]
    assert read_bundle(folder).version == version


def test_its_folders_are_made_and_everybody_may_read_it(tmp_path):
    folder = tmp_path / "not" / "there" / "bundle"
    write_bundle(folder, MANIFEST, FILES)
    assert folder.stat().st_mode & 0o777 == 0o755


def test_content_that_could_not_be_read_back_is_not_written(tmp_path):
    with pytest.raises(BundleError, match=rf"^{tmp_path}/bundle/examples.json: KeyError: 'rows'"):
        write_bundle(tmp_path / "bundle", MANIFEST, {**FILES, "examples.json": b"{}"})
    assert list(tmp_path.iterdir()) == []


def test_a_version_is_the_start_of_the_manifests_digest(folder):
    bundle = read_bundle(folder)
    assert bundle.digest == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert read_bundle(folder, expected=bundle.digest[:12]).version == bundle.digest[:12]
    with pytest.raises(BundleError, match=f"this is bundle {bundle.version}, expected is {'f' * 12}$"):
        read_bundle(folder, expected="f" * 64)


def test_a_manifest_says_what_is_wrong_with_it_by_its_path(folder):
    path = folder / "manifest.json"
    for content, words in ((b"{", "not JSON: "), (b'{"format": 2}', "name: Field required")):
        path.write_bytes(content)
        with pytest.raises(BundleError, match=f"^{path}: {words}"):
            read_bundle(folder)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "/etc/passwd"])
def test_a_name_that_is_no_plain_one_is_refused(folder, name):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = ANY
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=re.escape(f"names {name!r}, which points outside of the bundle")):
        read_bundle(folder)


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_the_files_may_have_as_many_bytes_in_all_as_are_allowed(folder, monkeypatch, more, refused):
    size = sum(len(content) for content in FILES.values())
    monkeypatch.setattr("slipway.model.bundle.MAX_BUNDLE", size - more)
    if refused:
        with pytest.raises(BundleError, match=f"the files have {size} bytes in all; at most {size - 1} are read"):
            read_bundle(folder)
    else:
        assert read_bundle(folder).files == FILES


def test_a_manifest_may_have_as_many_bytes_as_are_allowed(folder):
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().ljust(1 << 20))
    assert read_bundle(folder).files == FILES
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleError, match="1,048,577 bytes; at most 1,048,576 are read"):
        read_bundle(folder)


def test_what_is_no_folder_is_no_bundle(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "missing"):
        with pytest.raises(BundleError, match=f"^{path}: no bundle is here$"):
            read_bundle(path)


def test_a_link_that_takes_a_files_place_while_the_bundle_is_read_is_not_followed(folder, monkeypatch):
    names = {path.name for path in folder.iterdir()}
    (folder / "model.onnx").rename(folder.parent / "model.onnx")
    (folder / "model.onnx").symlink_to(folder.parent / "model.onnx")
    monkeypatch.setattr("slipway.model.bundle._plain_files", lambda _: names)
    with pytest.raises(BundleError, match=rf"^{folder}/model\.onnx: cannot be read: \w"):
        read_bundle(folder)


BINARY = {
    **MANIFEST,
    "kind": "classification",
    "target": {
        "title": "Target",
        "properties": {"y": {"enum": ["no", "yes"], "type": "string"}},
        "required": ["y"],
    },
    "classes": ["no", "yes"],
}
DECISION = {"positive": "yes", "threshold": 0.3, "maximize": "f1"}


def test_a_decision_threshold_is_on_one_of_two_classes(tmp_path):
    bundle = write_bundle(tmp_path / "bundle", {**BINARY, "decision": DECISION}, FILES)
    assert bundle.manifest.decision.threshold == 0.3
    three = {"title": "Target", "properties": {"y": {"enum": ["no", "yes", "?"], "type": "string"}}, "required": ["y"]}
    for manifest, words in (
        ({**BINARY, "decision": {**DECISION, "positive": "maybe"}}, "ValueError: 'maybe' is not in list"),
        ({**MANIFEST, "decision": DECISION}, "ValueError: a decision threshold needs two classes"),
        (
            {**BINARY, "target": three, "classes": ["no", "yes", "?"], "decision": DECISION},
            "ValueError: a decision threshold needs two classes",
        ),
    ):
        with pytest.raises(BundleError, match=rf"bundle/manifest\.json: {words}"):
            write_bundle(tmp_path / "bundle", manifest, FILES)


def test_the_classes_are_the_targets_in_its_order(tmp_path):
    assert write_bundle(tmp_path / "bundle", BINARY, FILES).target.classes == ("no", "yes")
    with pytest.raises(BundleError, match=r"manifest\.json: ValueError: the classes differ from the target's"):
        write_bundle(tmp_path / "bundle", {**BINARY, "classes": ["yes", "no"]}, FILES)


def test_derived_features_are_in_the_bundle_of_a_project_that_has_them_and_in_no_other(tmp_path):
    features = {"function": "derive", "columns": {"z": "number"}}
    code = b"def derive(row):\n    return {'z': row['x']}\n"
    bundle = write_bundle(tmp_path / "bundle", {**MANIFEST, "features": features}, {**FILES, "features.py": code})
    assert bundle.derived.source == code
    assert (bundle.derived.function, bundle.derived.columns) == ("derive", {"z": "number"})
    assert write_bundle(tmp_path / "bundle", MANIFEST, FILES).derived is None
    for manifest, files in (({**MANIFEST, "features": features}, FILES), (MANIFEST, {**FILES, "features.py": code})):
        words = r"a bundle of this kind lists .*; differing: features\.py$"
        with pytest.raises(BundleError, match=words):
            write_bundle(tmp_path / "bundle", manifest, files)
