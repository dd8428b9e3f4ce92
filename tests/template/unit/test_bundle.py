import json
from pathlib import Path

import pytest

from slipway.model.bundle import BundleError, read_bundle, write_bundle

MANIFEST = {
    "name": "m",
    "kind": "regression",
    "row": {"title": "Row", "properties": {"x": {"type": "number"}}, "required": ["x"]},
    "target": {"title": "Target", "properties": {"y": {"type": "number"}}, "required": ["y"]},
    "classes": [],
    "runtime": "onnx",
    "runtime_reason": "compiled",
    "estimator": "Ridge",
    "versions": {},
    "data": "0" * 32 + ".dir",
    "params": "0" * 64,
}
FILES = {"model.onnx": b"a model", "reference.json": b"{}", "examples.json": b'{"rows": [], "predictions": []}'}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", MANIFEST, FILES)
    return tmp_path / "bundle"


def test_what_was_written_is_read_back(folder):
    bundle = read_bundle(folder)
    assert bundle.files == FILES
    assert bundle.model == b"a model"
    assert len(bundle.version) == 12
    assert bundle.digest.startswith(bundle.version)


def test_the_same_content_has_the_same_version_and_other_content_another(tmp_path):
    versions = [
        write_bundle(tmp_path / str(i), MANIFEST, files).version
        for i, files in enumerate([FILES, dict(reversed(FILES.items())), {**FILES, "model.onnx": b"other"}])
    ]
    assert versions[0] == versions[1] != versions[2]


def test_a_bundle_that_is_replaced_leaves_nothing_of_the_old_one(folder):
    (folder / "leftover").write_bytes(b"")
    write_bundle(folder, MANIFEST, FILES)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["examples.json", "manifest.json", "model.onnx", "reference.json"]
    assert list(folder.parent.iterdir()) == [folder]


def _flip(folder):
    path = folder / "model.onnx"
    path.write_bytes(b"A" + path.read_bytes()[1:])


def _link(folder):
    (folder.parent / "elsewhere").write_bytes(FILES["model.onnx"])
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(folder.parent / "elsewhere")


def _manifest(**changes):
    def tamper(folder):
        path = folder / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return tamper


DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        pytest.param(_flip, "model.onnx: its SHA-256 is not the one", id="one byte changed"),
        pytest.param(lambda f: (f / "extra.py").write_text(""), "extra.py: not listed", id="a file added"),
        pytest.param(lambda f: (f / "reference.json").unlink(), "reference.json: missing", id="a file removed"),
        pytest.param(lambda f: (f / "model.onnx").rename(f / "model.pkl"), "model.onnx: missing", id="a file renamed"),
        pytest.param(_link, "model.onnx: a link", id="a file replaced by a link"),
        pytest.param(lambda f: (f / "code").mkdir(), "code: not a plain file", id="a folder added"),
        pytest.param(lambda f: (f / "manifest.json").unlink(), "no bundle is here: manifest.json", id="no manifest"),
        pytest.param(lambda f: (f / "manifest.json").write_text("{"), "manifest.json: not JSON", id="half a manifest"),
        pytest.param(_manifest(files={"../model.onnx": DIGEST}), "points outside", id="a name outside"),
        pytest.param(_manifest(files={"..\\model.onnx": DIGEST}), "points outside", id="a name outside, on Windows"),
        pytest.param(_manifest(files={"model.pkl": DIGEST}), "lists examples.json", id="another model file"),
        pytest.param(_manifest(runtime="pickle"), "runtime", id="another runtime"),
        pytest.param(_manifest(format=2), "format", id="another format"),
        pytest.param(_manifest(hook="x"), "hook", id="an unknown entry"),
    ],
)
def test_a_tampered_bundle_is_refused_by_name(folder, tamper, words):
    tamper(folder)
    with pytest.raises(BundleError, match=words):
        read_bundle(folder)


def test_a_link_to_a_bundle_is_refused(folder):
    (folder.parent / "link").symlink_to(folder)
    with pytest.raises(BundleError, match="no bundle is here but a link"):
        read_bundle(folder.parent / "link")


def test_another_bundle_than_the_expected_one_is_refused(folder):
    version = read_bundle(folder).version
    assert read_bundle(folder, expected=version).version == version
    with pytest.raises(BundleError, match="expected is 000000000000"):
        read_bundle(folder, expected="0" * 64)


def test_a_whole_bundle_with_a_changed_manifest_is_another_version(folder):
    version = read_bundle(folder).version
    _manifest(name="other")(folder)
    with pytest.raises(BundleError, match=version):
        read_bundle(folder, expected=version)


def test_a_manifest_that_could_not_be_read_back_is_not_written(tmp_path):
    with pytest.raises(BundleError, match="kind"):
        write_bundle(tmp_path / "bundle", {**MANIFEST, "kind": "magic"}, FILES)
    assert not (tmp_path / "bundle").exists()
