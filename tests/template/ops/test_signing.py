"""make sign and make verify-signature, and an image whose server requires a signature."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.engine import BASE, HARDENED, Container, context, copy_makefiles, log_line, need_engine, run
from serving import bundles
from serving.signing import make_key


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return make_key(tmp_path)


def make(folder: Path, *words: str, ok: bool = True) -> str:
    """Run make in a checkout whose environment and champion are there."""
    done = run("make", *(f"-o{done}" for done in ("setup", "release-here", "signing")), *words, cwd=folder, ok=ok)
    assert done.returncode == 0 or not ok
    return done.stdout + done.stderr


def outcome(*options: str) -> str:
    """Run the image with these options; the line of its log that says whether it got ready."""
    with Container("slipway-test:signing", *options) as container:
        return log_line(container.id, '"ready"', '"refused"')


def test_what_make_signed_it_verifies_until_it_is_changed(keys, tmp_path):
    copy_makefiles(tmp_path)
    bundles.write(tmp_path / "build" / "bundle")
    make(tmp_path, "sign", f"SIGNING_KEY={keys[0]}")
    verify = ("verify-signature", "RELEASE=build", f"SIGNATURE_KEY={keys[1]}")
    assert "succeeded" in make(tmp_path, *verify)
    bundles.write(tmp_path / "build" / "bundle", name="other")
    assert "Signature mismatch" in make(tmp_path, *verify, ok=False)


def test_a_keys_signature_is_not_that_of_an_identity(keys, tmp_path):
    from sigstore.models import ClientTrustConfig

    copy_makefiles(tmp_path)
    bundles.write(tmp_path / "champion" / "bundle")
    make(tmp_path, "sign", "RELEASE=champion", f"SIGNING_KEY={keys[0]}")
    (tmp_path / "sigstore.json").write_text(ClientTrustConfig.production(offline=True)._inner.to_json())
    keyless = ("SIGNER=ada@example.org", "SIGNER_ISSUER=https://issuer.example", "SIGNER_TRUST=sigstore.json")
    assert "expected certificate" in make(tmp_path, "verify-signature", *keyless, ok=False)
    assert "Whose signature?" in make(tmp_path, "verify-signature", ok=False)


def test_an_image_that_requires_a_signature_serves_what_is_signed_and_nothing_else(keys, tmp_path):
    """A candidate, as the pipeline packs it, in a container without a network."""
    need_engine()
    bundles.write(tmp_path / "made")
    (tmp_path / "context").mkdir()
    folder = context(tmp_path / "context", tmp_path / "made")
    (folder / "champion").rename(folder / "build")
    make(folder, "sign", f"SIGNING_KEY={keys[0]}")
    make(folder, "image", "RELEASE=build", "SIGNING=1", "IMAGE=slipway-test:signing", f"BASE={BASE}")
    _, eve = make_key(tmp_path, "eve")
    options = [*HARDENED, "--network", "none", "--env", "SLIPWAY_SIGNATURE_KEY=/key.pub", "--volume"]
    assert '"event":"ready"' in outcome(*options, f"{keys[1]}:/key.pub:ro")
    refused = outcome(*options, f"{eve}:/key.pub:ro")
    assert '"event":"refused"' in refused
    assert "Key mismatch" in refused
