import pytest

from checkouts import run
from serving.signing import make_key, sign
from slipway.model.bundle import read_bundle
from slipway.model.signature import Signer, read_signature, signature_of, verify
from slipway.problem import SlipwayError
from slipway.release import promote, rollback
from slipway.versioning import fetch


@pytest.fixture
def keys(tmp_path):
    return make_key(tmp_path)


def test_the_signature_travels_with_the_model_and_a_rollback_restores_it(pending, keys, tmp_path):
    sign(pending.bundle, keys[0])
    first = promote(pending)
    rollback(pending, reason="it bites")
    assert not signature_of(pending.champion / "bundle").exists()  # that one never had any
    rollback(pending, first.version, reason="it does not bite any more")
    run(tmp_path, "git", "clone", "--quiet", str(pending.root), "clone")
    fetch(tmp_path / "clone")
    verify(tmp_path / "clone" / "champion" / "bundle", Signer(keys[1]))


def test_the_signature_of_another_candidate_is_not_promoted(pending, keys):
    """The one before was signed, this one was not: build/ still has the old signature."""
    signature = sign(pending.champion / "bundle", keys[0])
    signature.rename(signature_of(pending.bundle))
    before = run(pending.root, "git", "rev-parse", "HEAD")
    champion = read_bundle(pending.champion / "bundle")
    with pytest.raises(SlipwayError, match=r"build/bundle\.sig: not the signature of bundle .*make sign"):
        promote(pending)
    assert run(pending.root, "git", "rev-parse", "HEAD") == before
    assert run(pending.root, "git", "status", "--porcelain", "champion.dvc") == ""
    assert read_bundle(pending.champion / "bundle") == champion
    signature_of(pending.bundle).unlink()
    promote(pending)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"[" * 900_000, b'{"dsseEnvelope": {"payload": "e30="}}'])
def test_what_is_no_signature_is_refused(content, tmp_path):
    signature_of(tmp_path / "bundle").write_bytes(content)
    with pytest.raises(SlipwayError, match="not the signature of bundle"):
        read_signature(tmp_path / "bundle", "0" * 64)
