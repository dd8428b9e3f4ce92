"""Other ways to an environment than `make setup`, and set-up behind a proxy that re-signs TLS."""

from __future__ import annotations

import datetime
import functools
import http.server
import os
import re
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from checkouts import ROOT

BARE = {"HOME": os.environ.get("HOME", "/"), "PATH": "/usr/local/bin:/usr/bin:/bin"}
WHEEL = "thing-1.0-py3-none-any.whl"
PROBE = """
probe:
	$(BIN)/pip download --no-cache-dir --retries 0 --no-deps --dest $(INTO)/pip --index-url $(INDEX) thing
	$(BIN)/uv pip install --quiet --no-cache --target $(INTO)/uv --index-url $(INDEX) thing
"""


def certificate(root: x509.Certificate | None, signer: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey):
    """A certificate of a company's root, or of a server that it signs."""
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server" if root else "Company Root")])
    made = (
        x509.CertificateBuilder(root.subject if root else name, name, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=root is None, path_length=None), critical=True)
    )
    if root:
        made = made.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
    return made.sign(signer, hashes.SHA256())


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """An index of packages over TLS: its address, and the root that signed its certificate."""
    folder = tmp_path_factory.mktemp("index")
    (folder / "simple/thing").mkdir(parents=True)
    (folder / "simple/thing/index.html").write_text(f'<a href="{WHEEL}">{WHEEL}</a>')
    with zipfile.ZipFile(folder / "simple/thing" / WHEEL, "w") as wheel:
        wheel.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("thing-1.0.dist-info/RECORD", "")
    ours, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate(None, ours, ours)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "root.pem").write_bytes(root.public_bytes(pem))
    private = theirs.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.pem").write_bytes(certificate(root, ours, theirs).public_bytes(pem) + private)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}/simple", folder / "root.pem"
        server.shutdown()


def install(index: tuple[str, Path], into: Path, *given: str, **environment: str) -> tuple[int, str]:
    """Install a package with pip and with uv, as the Makefile does."""
    (into / "probe.mk").write_text(PROBE)
    command = ["make", "-f", "Makefile", "-f", str(into / "probe.mk"), "probe", f"INDEX={index[0]}", f"INTO={into}"]
    where = BARE | {"PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1"} | environment
    done = subprocess.run([*command, *given], cwd=ROOT, env=where, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("place", ["PIP_CERT", "SSL_CERT_FILE", "the system's store"])
def test_pip_and_uv_trust_a_companys_root_wherever_it_is_named(index, tmp_path, place):
    system = place == "the system's store"
    given = [f"SYSTEM_CERTS={index[1]}"] if system else []
    status, errors = install(index, tmp_path, *given, **({} if system else {place: str(index[1])}))
    assert status == 0, errors
    assert (tmp_path / "pip" / WHEEL).exists()
    assert (tmp_path / "uv" / "thing-1.0.dist-info").exists()


def test_a_root_that_nobody_named_is_not_trusted(index, tmp_path):
    status, errors = install(index, tmp_path)
    assert status
    assert "CERTIFICATE_VERIFY_FAILED" in errors


def test_a_stage_finds_slipway_where_no_environment_is_activated():
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    command = pipeline["stages"]["prepare"]["cmd"].replace("${slipway}", pipeline["vars"][0]["slipway"])
    done = subprocess.run(
        ["sh", "-c", f"{command} --help"], cwd=ROOT, env=BARE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: slipway prepare" in done.stdout


def test_conda_has_the_python_of_make_setup_and_its_lock():
    *packages, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (version,) = re.findall(r"^PYTHON \?= python(.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert f"python={version}" in packages
    assert pip == {"pip": ["--requirement requirements-dev.txt"]}
