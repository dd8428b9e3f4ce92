import hashlib
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
FILES = {
    "model.onnx": b"a model",
    "reference.json": b"{}",
    "examples.json": b'{"rows": [{"x": 1}], "predictions": [{"value": 2}]}',
}


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


def _text(change):
    def tamper(folder):
        path = folder / "manifest.json"
        path.write_bytes(change(path.read_bytes()))

    return tamper


def _sealed(name, content):
    """Change a file, and the manifest so that it lists the changed file."""

    def tamper(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / name).write_bytes(content)
        manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return tamper


def _sparse(folder, size=3 << 30):
    with (folder / "model.onnx").open("wb") as file:
        file.truncate(size)


def _sparse_and_listed(folder):
    _sparse(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.onnx"]["size"] = 3 << 30
    (folder / "manifest.json").write_text(json.dumps(manifest))


ANY = {"size": 7, "sha256": "0" * 64}
DEEP = b"[" * 900_000


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
        pytest.param(_manifest(files={"../model.onnx": ANY}), "points outside", id="a name outside"),
        pytest.param(_manifest(files={"..\\model.onnx": ANY}), "points outside", id="a name outside, on Windows"),
        pytest.param(_manifest(files={"model.pkl": ANY}), "lists examples.json", id="another model file"),
        pytest.param(_manifest(runtime="pickle"), "runtime", id="another runtime"),
        pytest.param(_manifest(format=1), "format", id="another format"),
        pytest.param(_manifest(format=True), "format: Input should be a valid integer", id="a format of another type"),
        pytest.param(_manifest(classes=["a"]), "the classes differ from the target's", id="other classes"),
        pytest.param(_manifest(row={}), "manifest.json: KeyError: 'properties'", id="no fields"),
        pytest.param(_manifest(row={"properties": {"x": 3}}), "manifest.json: TypeError", id="a field that is none"),
        pytest.param(_text(lambda t: b'{"name": "a",' + t[1:]), "'name' is given twice", id="a key twice"),
        pytest.param(_text(lambda t: t.decode().encode("utf-16")), "not JSON: .*utf-8", id="another encoding"),
        pytest.param(_manifest(name="\ud800"), "not JSON: .*surrogates", id="half of a surrogate pair"),
        pytest.param(_text(lambda _: DEEP), "not JSON: nested too deeply", id="deeply nested"),
        pytest.param(_text(lambda t: t + b" " * 1_100_000), "bytes; at most 1,048,576 are read", id="a huge manifest"),
        pytest.param(_sparse, "model.onnx: 3,221,225,472 bytes, manifest.json says 7", id="a huge file"),
        pytest.param(
            _sparse_and_listed, "model.onnx.size: .* less than or equal to 2147483648", id="a huge file listed"
        ),
        pytest.param(_sealed("reference.json", DEEP), "reference.json: .*nested too deeply", id="a nested reference"),
        pytest.param(_sealed("examples.json", b'{"a": 1, "a": 1}'), "'a' is given twice", id="a key twice in a file"),
        pytest.param(_sealed("examples.json", b"{}"), "examples.json: KeyError: 'rows'", id="no golden rows"),
        pytest.param(
            _sealed("examples.json", b'{"rows": [], "predictions": []}'), "golden rows are needed", id="0 golden rows"
        ),
        pytest.param(
            _sealed("examples.json", b'{"rows": [{"x": 1}], "predictions": []}'),
            "golden rows are needed, each with its prediction",
            id="a golden row without a prediction",
        ),
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


def test_a_file_larger_than_the_manifest_says_is_refused_before_it_is_read(folder, monkeypatch):
    _sparse(folder, 1 << 40)  # reading it would end in a MemoryError
    with pytest.raises(BundleError, match="the file was changed"):
        read_bundle(folder)
