"""Keys and signatures, made for a test."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("model_signing", reason="`make signing` installs what signs")
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing.signing import Config

from slipway.model.signature import signature_of


def make_key(folder: Path, name: str = "ada") -> tuple[Path, Path]:
    """Make a key; the files of its private and of its public half."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    pem = serialization.Encoding.PEM
    private.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def sign(bundle: Path, private: Path) -> Path:
    """Sign a bundle; the signature's file."""
    Config().use_elliptic_key_signer(private_key=private).sign(bundle, signature_of(bundle))
    return signature_of(bundle)
