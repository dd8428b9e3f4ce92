"""A server that requires a signature serves nothing else, and says why."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving import bundles
from serving.running import Process, client, quiet
from serving.signing import make_key, sign
from slipway.model.bundle import read_bundle, write_bundle
from slipway.model.signature import signature_of
from slipway.problem import SlipwayError
from slipway.serving import Settings, model


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return make_key(tmp_path)


@pytest.fixture
def signed(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the bundle, signed."""
    folder = tmp_path / "champion" / "bundle"
    shutil.copytree(bundle, folder)
    sign(folder, keys[0])
    return folder


def refusal(bundle: Path, **settings: Any) -> str:
    """Why a service with these settings does not get ready; empty if it does."""
    app = quiet(bundle, **settings)
    app.load()
    assert app.metrics.ready == (app.reason == "")
    return app.reason


def test_a_signed_bundle_is_served(signed: Path, keys: tuple[Path, Path], row: dict[str, Any]) -> None:
    with Process(signed, signature_key=keys[1]) as process, client(process.url) as http:
        assert http.get("/readyz").status_code == 200
        assert http.post("/predict", json=row).status_code == 200


def test_an_unsigned_one_is_not_and_the_probe_and_the_log_say_why(bundle: Path, keys: tuple[Path, Path]) -> None:
    with Process(bundle, signature_key=keys[1], until="refused") as process, client(process.url) as http:
        ready = http.get("/readyz")
        assert (ready.status_code, "bundle.sig: missing" in ready.json()["reason"]) == (503, True)
        assert process.events("refused")[0]["reason"] == ready.json()["reason"]
        assert http.post("/predict", json={}).status_code == 503


def garble(signed: Path, folder: Path) -> None:
    (signed / "manifest.json").write_text("{")


def change_the_manifest(signed: Path, folder: Path) -> None:
    whole = read_bundle(signed)
    write_bundle(signed, whole.manifest.model_dump(exclude={"files", "format"}) | {"name": "x"}, whole.files)


def change_a_file(signed: Path, folder: Path) -> None:
    (signed / "model.onnx").write_bytes(b"\0")


def add_a_file(signed: Path, folder: Path) -> None:
    (signed / "more.json").write_text("{}")


def put_another_bundles_signature(signed: Path, folder: Path) -> None:
    other = folder / "other" / "bundle"
    bundles.write(other, name="other")
    shutil.copy(sign(other, folder / "ada.pem"), signature_of(signed))


def sign_with_another_key(signed: Path, folder: Path) -> None:
    sign(signed, make_key(folder, "eve")[0])


def pretend_the_right_key(signed: Path, folder: Path) -> None:
    """The signature names the key, which nothing protects."""
    good = json.loads(signature_of(signed).read_text())
    sign_with_another_key(signed, folder)
    bad = json.loads(signature_of(signed).read_text())
    signature_of(signed).write_text(json.dumps(bad | {"verificationMaterial": good["verificationMaterial"]}))


def change_the_signed_list(signed: Path, folder: Path) -> None:
    envelope = json.loads(signature_of(signed).read_text())
    envelope["dsseEnvelope"]["payload"] = "e30="
    signature_of(signed).write_text(json.dumps(envelope))


def write_garbage(signed: Path, folder: Path) -> None:
    signature_of(signed).write_bytes(b"\xff\x00garbage")


def write_other_json(signed: Path, folder: Path) -> None:
    signature_of(signed).write_text("[]")


def empty_it(signed: Path, folder: Path) -> None:
    signature_of(signed).write_bytes(b"")


def remove_the_bundle(signed: Path, folder: Path) -> None:
    shutil.rmtree(signed)


NOT_WHAT_IS_SIGNED = "it does not sign the files in"
NOT_ACCEPTED = "bundle.sig: the signature is not accepted: "


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (garble, NOT_WHAT_IS_SIGNED),
        (change_the_manifest, NOT_WHAT_IS_SIGNED),
        (change_a_file, NOT_WHAT_IS_SIGNED),
        (add_a_file, NOT_WHAT_IS_SIGNED),
        (put_another_bundles_signature, NOT_WHAT_IS_SIGNED),
        (sign_with_another_key, NOT_ACCEPTED + "Key mismatch"),
        (pretend_the_right_key, NOT_ACCEPTED + "InvalidSignature"),
        (change_the_signed_list, NOT_ACCEPTED + "InvalidSignature"),
        (write_garbage, NOT_ACCEPTED),
        (write_other_json, NOT_ACCEPTED),
        (empty_it, NOT_ACCEPTED),
        (remove_the_bundle, "bundle: cannot be verified"),
    ],
)
def test_nothing_else_is_served(
    fault: Callable[[Path, Path], None], reason: str, signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    assert refusal(signed, signature_key=keys[1]) == ""
    fault(signed, tmp_path)
    assert reason in refusal(signed, signature_key=keys[1])


def test_what_replaces_the_bundle_after_it_was_verified_is_not_served(
    signed: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = model.verify

    def then_replace(bundle: Path, *arguments: Any) -> Any:
        found = verify(bundle, *arguments)
        bundles.write(bundle, name="other")
        return found

    monkeypatch.setattr(model, "verify", then_replace)
    assert "expected is" in refusal(signed, signature_key=keys[1])


def test_the_version_that_is_expected_is_required_beside_the_signature(signed: Path, keys: tuple[Path, Path]) -> None:
    version = read_bundle(signed).version
    assert refusal(signed, signature_key=keys[1], expected=version) == ""
    assert "expected is 000000000000" in refusal(signed, signature_key=keys[1], expected="0" * 12)


@pytest.mark.parametrize("content", [None, b"no key", "RSA"])
def test_a_key_that_is_none_is_named(content: bytes | str | None, signed: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = tmp_path / "key.pub"
    if content == "RSA":
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        content = made.public_bytes(serialization.Encoding.PEM, form)
    if content is not None:
        key.write_bytes(content)
    assert f"{key}: not a public key" in refusal(signed, signature_key=key)


def roots(folder: Path) -> Path:
    """Sigstore's roots as the library knows them, without a network."""
    from sigstore.models import ClientTrustConfig

    path = folder / "sigstore.json"
    path.write_text(ClientTrustConfig.production(offline=True)._inner.to_json())
    return path


def test_a_keys_signature_does_not_pass_for_an_identitys(signed: Path, tmp_path: Path) -> None:
    keyless = {"signer": "ada@example.org", "signer_issuer": "https://issuer.example"}
    assert "certificate" in refusal(signed, **keyless, signer_trust=roots(tmp_path))


def test_roots_that_are_none_are_named(signed: Path, tmp_path: Path) -> None:
    keyless = {"signer": "ada@example.org", "signer_issuer": "https://issuer.example"}
    trust = tmp_path / "sigstore.json"
    assert f"{trust}: not Sigstore's roots" in refusal(signed, **keyless, signer_trust=trust)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"SIGNER": "ada"}, "set together"),
        ({"SIGNER_ISSUER": "https://x"}, "set together"),
        ({"SIGNER_TRUST": "x.json"}, "set together"),
        ({"SIGNER": "a", "SIGNER_ISSUER": "b", "SIGNER_TRUST": "c", "SIGNATURE_KEY": "d"}, "not both"),
    ],
)
def test_settings_that_require_half_a_signature_are_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(SlipwayError, match=f"SLIPWAY_SIGNER_TRUST: .*{words}"):
        Settings.from_environment({f"SLIPWAY_{name}": value for name, value in given.items()})


def test_without_the_setting_nothing_is_verified_nor_imported(signed: Path) -> None:
    signature_of(signed).write_bytes(b"garbage")
    check = """
import sys
from slipway.serving import create_app
app = create_app()
app.load()
assert app.model, app.reason
assert not {"model_signing", "sigstore", "cryptography"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", check], check=True, cwd=signed.parents[1])


def test_a_server_without_the_extra_says_what_to_install(
    signed: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    assert "slipway[signing]" in refusal(signed, signature_key=keys[1])


def test_a_shadow_needs_a_signature_too(signed: Path, bundle: Path, keys: tuple[Path, Path]) -> None:
    with Process(signed, signature_key=keys[1], shadow=bundle, until="shadow ended") as process:
        assert "bundle.sig" in process.events("shadow ended")[0]["reason"]
