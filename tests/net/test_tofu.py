"""Trust on first use: one certificate, confirmed by somebody, proved, stored whole, and no other from then on."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conformance.flight import serve
from support import forge, pki
from support.attempt import HOST
from support.board import LIBRARY, run_device_json
from support.firmware import Firmware
from support.forge import make
from support.servers import Server, tls_server

PROBE = Path(__file__).with_name("tofu_probe.py")

Meet = Callable[..., dict[str, Any]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.der"


@pytest.fixture
def meet(path: Path) -> Meet:
    def run(port: int, host: str = HOST, **request: Any) -> dict[str, Any]:
        request = {"path": str(path), "host": host, "port": port, **request}
        result: dict[str, Any] = run_device_json(PROBE, request)
        assert result["files"] <= 4, "a socket or file stayed open"
        assert not path.with_name(path.name + ".new").exists()
        return result

    return run


def fingerprint(identity: pki.Issued) -> str:
    return hashlib.sha256(identity.der).hexdigest()


@pytest.mark.every_version
def test_certificate_is_asked_about_once_then_stored_and_trusted(path: Path, meet: Meet, firmware: Firmware) -> None:
    own = pki.self_signed(HOST)
    with tls_server(own) as server:
        first = meet(server.port)
        assert first["body"].endswith("hello")
        assert server.accepted == 3 + firmware.has("tls1.3")  # to ask, to prove, to use; TLS 1.3 asks once more
        assert path.read_bytes() == own.der
        second = meet(server.port, answer=False)
        assert second["body"].endswith("hello") and second["asked"] == []
    [seen] = first["asked"]
    assert seen["fingerprint"].replace(":", "").lower() == fingerprint(own)
    assert seen["names"] == [HOST] and seen["key"] == "P-256" and seen["subject"] == seen["issuer"]
    assert first["stored_when_asked"] is False


def test_nothing_is_stored_unless_somebody_says_exactly_yes(path: Path, meet: Meet) -> None:
    with tls_server(pki.self_signed(HOST)) as server:
        for answer in (False, None, "no", 1, ""):
            result = meet(server.port, answer=answer)
            assert result["kind"] == "CertificateError" and "not confirmed" in result["message"]
            assert not path.exists()


def test_fingerprint_decides_without_a_question(path: Path, meet: Meet) -> None:
    own = pki.self_signed(HOST)
    digits = fingerprint(own).upper()
    with tls_server(own) as server:
        assert meet(server.port, fingerprint="ab" * 32)["kind"] == "CertificateError"
        assert not path.exists()
        for wrong in ("", digits[:-1], digits + "0", "x" * 64):
            assert meet(server.port, fingerprint=wrong)["kind"] == "ConfigError"
        colons = ":".join(digits[i : i + 2] for i in range(0, 64, 2))
        assert meet(server.port, fingerprint=colons)["body"].endswith("hello")
    assert path.read_bytes() == own.der


def test_somebody_must_be_there_to_agree(meet: Meet) -> None:
    with tls_server(pki.self_signed(HOST)) as server:
        assert meet(server.port, neither=True)["kind"] == "ConfigError"
        assert server.accepted == 0


def with_colons(identity: pki.Issued) -> str:
    digits = fingerprint(identity).upper()
    return ":".join(digits[i : i + 2] for i in range(0, 64, 2))


@pytest.mark.every_version
def test_another_certificate_is_refused_afterwards_with_both_fingerprints(meet: Meet) -> None:
    own = pki.self_signed(HOST)
    others = [
        pki.self_signed(HOST),
        pki.self_signed("other.example.org"),  # neither subject nor name fit
        pki.make_ca("public root").issue(HOST),
        pki.make_ca("public root").child("public CA").issue(HOST),
    ]
    with tls_server(own) as server:
        meet(server.port)
    for other in others:
        with tls_server(other) as server:
            result = meet(server.port)
        assert result["kind"] == "UnknownIssuerError" and "shows another certificate" in result["message"]
        assert result["message"].index(with_colons(other)) < result["message"].index(with_colons(own))
        assert result["asked"] == []


def test_known_certificate_with_another_fault_is_no_other_one(meet: Meet, path: Path) -> None:
    own = pki.self_signed(HOST)
    path.write_bytes(own.der)
    with tls_server(own) as server:
        assert meet(server.port, host="other.example.org")["kind"] == "HostnameError"


def test_certificate_that_could_sign_others_is_trusted_for_itself_only(meet: Meet) -> None:
    own = pki.self_signed_ca(HOST)
    with tls_server(own) as server:
        assert meet(server.port)["body"].endswith("hello")
    with tls_server(own.issue(HOST)) as server:
        assert meet(server.port)["kind"] == "UnknownIssuerError"


def test_certificate_of_a_ca_is_not_taken(path: Path, root: pki.Authority, meet: Meet) -> None:
    middle = root.child("middle")
    for identity in (root.issue(HOST), middle.issue(HOST)):
        with tls_server(identity) as server:
            result = meet(server.port)
        assert result["kind"] == "UnsupportedError" and "issued by a CA" in result["message"]
    assert result["asked"] == [] and not path.exists()


def test_confirmed_certificate_is_stored_only_if_it_passes_verification(path: Path, meet: Meet) -> None:
    with tls_server(pki.self_signed("other.example.org")) as server:
        result = meet(server.port)
        assert len(result["asked"]) == 1 and result["kind"] == "HostnameError"
    assert not path.exists()


def test_server_without_the_certificates_key_is_not_stored(path: Path, meet: Meet) -> None:
    """The first contact sees a certificate; only the second shows that the server has its key."""
    stolen = pki.self_signed(HOST)
    with Server(lambda connection: serve(connection, [stolen.der])) as server:
        result = meet(server.port)
    assert len(result["asked"]) == 1 and "made" not in result and result["kind"]
    assert not path.exists()


def test_malformed_certificate_is_refused_in_words_before_anybody_is_asked(path: Path, meet: Meet) -> None:
    """Mbed TLS reads more than is allowed."""
    name = make.name(cn=HOST)
    for fault in (
        {"serial": b"\xff"},
        {"not_before": make.utc("260101000000")},  # no Z
        {"extensions": [make.extension(f"1.2.3.{i}", b"") for i in range(41)]},
    ):
        der = forge.root(name, **fault)
        with Server(partial(serve, chain=[der])) as server:
            result = meet(server.port)
        assert result["kind"] == "CertificateError" and "malformed" in result["message"], (fault, result)
        assert result["asked"] == [] and not path.exists()


def test_file_that_cannot_be_read_is_never_a_first_contact(path: Path, meet: Meet) -> None:
    own = pki.self_signed(HOST)
    with tls_server(own) as server:
        for content in (b"", b"x", own.der[:-1], own.der + b"\0", own.der * 2, pki.make_ca().issue(HOST).der):
            path.write_bytes(content)
            result = meet(server.port)
            assert result["kind"] == "TrustStoreError" and result["asked"] == [], content
            assert path.read_bytes() == content
        path.unlink()
        path.mkdir()
        assert meet(server.port)["kind"] == "TrustStoreError"
        assert server.accepted == 0
        path.rmdir()
        path.write_bytes(own.pem)
        assert meet(server.port)["body"].endswith("hello")


def test_certificate_that_cannot_be_stored_is_told(tmp_path: Path, meet: Meet) -> None:
    with tls_server(pki.self_signed(HOST)) as server:
        assert meet(server.port, path=str(tmp_path / "no folder" / "x.der"))["kind"] == "TrustStoreError"


def test_no_other_trust_beside_it(tmp_path: Path, root: pki.Authority, meet: Meet) -> None:
    cafile = tmp_path / "ca.pem"
    cafile.write_bytes(root.pem)
    for settings in ({"cafile": str(cafile)}, {"store": str(cafile)}, {"psk": ["a", "b"]}):
        assert meet(1, settings=settings)["kind"] == "ConfigError"


def test_pins_of_the_settings_hold_too(path: Path, meet: Meet) -> None:
    backup = "sha256//" + base64.b64encode(bytes(32)).decode()
    other = "sha256//" + base64.b64encode(b"\1" * 32).decode()
    with tls_server(pki.self_signed(HOST)) as server:
        assert meet(server.port, settings={"pins": [backup, other]})["kind"] == "PinError"
    assert not path.exists()


def test_server_that_cannot_be_reached_is_told_as_ever(path: Path, meet: Meet) -> None:
    with Server(lambda connection: None) as server:
        port = server.port
    assert meet(port)["kind"] == "ConnectError"
    with Server(lambda connection: connection.sendall(b"HTTP/1.0 400 no\r\n\r\n")) as server:
        assert meet(server.port)["kind"] == "NotTLSError"
    assert not path.exists()


def test_no_weaker_verification_mode_is_set_anywhere() -> None:
    for source in LIBRARY.rglob("*.py"):
        for line in source.read_text(encoding="utf-8").splitlines():
            if "verify_mode =" in line:
                assert line.split("=")[1].strip().endswith("CERT_REQUIRED"), (source, line)
