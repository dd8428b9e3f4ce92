"""The signature beside a bundle, `bundle.sig`, which OpenSSF's model-signing makes and verifies.

It signs the files' digests. That of the manifest is the bundle's identity.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.problem import SlipwayError

if TYPE_CHECKING:
    from model_signing.verifying import Config


class SignatureError(SlipwayError):
    """The bundle's signature is missing or invalid; the message names the file."""


@dataclass(frozen=True)
class Signer:
    """The accepted signer: a key, or (keyless) an identity.

    key: the public key, a PEM file. Or identity: the signer's, as in the certificate; issuer: the URL of its identity
    provider; trust: Sigstore's trust root, a client trust configuration.
    """

    key: Path | None = None
    identity: str | None = None
    issuer: str | None = None
    trust: Path | None = None


def signature_of(bundle: Path) -> Path:
    """The path of the signature of the bundle in a folder."""
    return bundle.with_name(f"{bundle.name}.sig")


def verify(bundle: Path, signer: Signer) -> dict[str, str]:
    """Verify the signature of the bundle in a folder, without parsing the bundle.

    Returns the signed SHA-256 of each file; the caller must check the bytes that it reads against them.
    Raises SignatureError unless this signer signed exactly the files in the folder.
    """
    try:
        from model_signing import hashing
    except ImportError:
        raise SignatureError(
            "a signature is required, but model-signing is not installed: pip install 'slipway[signing]', "
            "or for an image make image SIGNING=1"
        ) from None
    path = signature_of(bundle)
    if not path.is_file():
        raise SignatureError(f"{path}: missing, though a signature is required; `make sign` makes one")
    try:
        found = hashing.Config().hash(bundle)
    except (OSError, ValueError) as error:
        raise SignatureError(f"{bundle}: cannot be verified: {error}") from None

    class Found(hashing.Config):
        def hash(self, *_: Any, **__: Any) -> Any:
            return found

    config = _config(signer).set_hashing_config(Found())
    try:
        config.verify(bundle, path)
    except Exception as error:  # noqa: BLE001  (the file may hold anything, and model-signing raises many types)
        why = f"the signature is not accepted: {str(error).strip() or type(error).__name__}"
        if str(error).strip().startswith("Signature mismatch"):
            why = f"it does not sign the files in {bundle}: another bundle, or a changed one"
        raise SignatureError(f"{path}: {why}") from None
    return {str(item.identifier): item.digest.digest_hex for item in found.resource_descriptors()}


def read_signature(bundle: Path, digest: str) -> bytes | None:
    """Read the signature of the bundle with this digest, if there is one, without verifying it.

    Raises SignatureError if it is the signature of another bundle.
    """
    path = signature_of(bundle)
    if not path.exists():
        return None
    content = path.read_bytes()
    try:
        statement = json.loads(base64.b64decode(json.loads(content)["dsseEnvelope"]["payload"]))
        signed = [item["digest"] for item in statement["predicate"]["resources"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        signed = []
    if digest not in signed:
        raise SignatureError(f"{path}: not the signature of bundle {digest[:12]}; `make sign` makes one, or delete it")
    return content


def _config(signer: Signer) -> Config:
    from model_signing.verifying import Config

    try:
        if signer.key is not None:
            return Config().use_elliptic_key_verifier(public_key=signer.key)
        return Config().use_sigstore_verifier(
            identity=str(signer.identity), oidc_issuer=str(signer.issuer), trust_config=signer.trust
        )
    except Exception as error:  # noqa: BLE001  (as above)
        what = "Sigstore's roots" if signer.key is None else "a public key on the curve P-256, P-384 or P-521, in PEM"
        raise SignatureError(f"{signer.key or signer.trust}: not {what}: {error}") from None
