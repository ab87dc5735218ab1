"""rootlet pin: the pins of a server's verified chain and of files, the same as OpenSSL and the board compute."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import support.on_cpython  # noqa: F401
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from rootlet.pins import Pins
from rootlet_host.app import app
from support import pki
from support.servers import tls_server
from typer.testing import CliRunner, Result

DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
PKCS8 = serialization.PrivateFormat.PKCS8

Pin = Callable[..., Result]


@pytest.fixture
def pin() -> Pin:
    return lambda *words: CliRunner().invoke(app, ["pin", *map(str, words)])


def expected(identity: pki.Issued) -> str:
    spki = identity.certificate.public_key().public_bytes(DER, SPKI)
    return "sha256//" + base64.b64encode(hashlib.sha256(spki).digest()).decode()


def pins(result: Result) -> list[tuple[str, str]]:
    assert result.exit_code == 0, result.output
    return [(entry["role"], entry["pin"]) for entry in json.loads(result.stdout)]


def test_server_s_verified_chain_is_printed_up_to_its_root(pin: Pin, tmp_path: Path) -> None:
    root = pki.make_ca()
    middle = root.child("middle", key="RSA-2048")
    leaf = middle.issue("localhost")
    stranger = pki.make_ca("sent for nothing")
    leaf.intermediates += [stranger.certificate, root.certificate]
    ca = tmp_path / "root.pem"
    ca.write_bytes(root.pem)
    with tls_server(leaf) as server:
        result = pin(f"localhost:{server.port}", "--source", ca, "--json")
        table = pin(f"localhost:{server.port}", "--source", ca)
    assert pins(result) == [("server", expected(leaf)), ("intermediate", expected(middle)), ("root", expected(root))]
    assert expected(middle) in table.stdout and "middle" in table.stdout
    assert Pins([found for _, found in pins(result)]).digests


def test_pins_of_a_chain_that_is_not_verified_are_not_printed(pin: Pin, tmp_path: Path) -> None:
    root, other = pki.make_ca(), pki.make_ca("another root")
    ca = tmp_path / "root.pem"
    for identity, trusted in (
        (root.issue("localhost"), other),
        (root.issue("other.example"), root),
        (root.issue("localhost", not_before=pki.now() - pki.days(9), not_after=pki.now() - pki.days(1)), root),
    ):
        ca.write_bytes(trusted.pem)
        with tls_server(identity) as server:
            result = pin(f"localhost:{server.port}", "--source", ca)
        assert result.exit_code != 0 and "sha256//" not in result.output


def test_self_signed_server_that_is_trusted_has_one_pin(pin: Pin, tmp_path: Path) -> None:
    own = pki.self_signed("localhost")
    ca = tmp_path / "own.pem"
    ca.write_bytes(own.pem)
    with tls_server(own) as server:
        assert pins(pin(f"localhost:{server.port}", "--source", ca, "--json")) == [("server", expected(own))]


@pytest.mark.parametrize("key", ["P-256", "P-384", "RSA-2048"])
def test_every_kind_of_file_has_the_same_pin(key: str, pin: Pin, tmp_path: Path) -> None:
    leaf = pki.make_ca().issue("a.example", key=key)
    request = x509.CertificateSigningRequestBuilder().subject_name(leaf.certificate.subject)
    signed = request.sign(leaf.key, hashes.SHA256())
    public = leaf.key.public_key()
    no_password = serialization.NoEncryption()
    for role, content in (
        ("certificate", leaf.pem),
        ("certificate", leaf.der),
        ("request", signed.public_bytes(PEM)),
        ("request", signed.public_bytes(DER)),
        ("public key", public.public_bytes(PEM, SPKI)),
        ("public key", public.public_bytes(DER, SPKI)),
        ("private key", leaf.key.private_bytes(PEM, PKCS8, no_password)),
        ("private key", leaf.key.private_bytes(DER, PKCS8, no_password)),
    ):
        path = tmp_path / "file"
        path.write_bytes(content)
        assert pins(pin(path, "--json")) == [(role, expected(leaf))]


def test_all_certificates_of_a_file_are_printed(pin: Pin, tmp_path: Path) -> None:
    root = pki.make_ca()
    path = tmp_path / "chain.pem"
    path.write_bytes(root.issue("a.example").pem + root.pem)
    assert len(pins(pin(path, "--json"))) == 2


def test_what_has_no_pin_is_refused_in_one_line(pin: Pin, tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    key = pki.make_key()
    encrypted = key.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"x"))
    for content in (b"", b"x", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", encrypted):
        path.write_bytes(content)
        result = pin(path)
        assert result.exit_code != 0 and result.exception is not None and str(result.exception)
    assert "encrypted" in str(result.exception)
    for missing in ("no.pem", "folder/no", str(tmp_path)):
        assert "no file" in str(pin(missing).exception)
