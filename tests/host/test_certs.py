"""`rootlet certs`: what is made is accepted by OpenSSL's strict rules, rootlet's strictest policy, and firmware."""

from __future__ import annotations

import json
import os
import ssl
import stat
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from rootlet_host import certs, files
from rootlet_host.errors import HostError, UsageError
from rootlet_host.interpreter import find_micropython
from rootlet_host.keys import load_key
from store_help import admit_only, key_usage, make_certificate
from support import on_cpython, pki  # noqa: F401 - on_cpython makes the device package importable
from support.board import REPOSITORY, run_device_json
from support.programs import program
from support.servers import tls_server

PROBE = REPOSITORY / "tests" / "net" / "probe.py"
LONG_HOST = "x" * 60 + ".example.org"  # longer than a common name may be


@pytest.fixture
def ca(rootlet):
    """ca.pem and ca.key in the current directory."""
    assert rootlet("certs", "ca", "ca", "--no-passphrase").code == 0


def certificate(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def serving(name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{name}.pem", f"{name}.key")
    return context


def connect(port, host, **options):
    request = {"host": host, "port": port, "address": "127.0.0.1", **options}
    return run_device_json(PROBE, request)


# ------------------------------------------------------------------------------------------ who accepts them


@pytest.mark.parametrize("key_type", ["p256", "rsa2048"])
def test_rootlet_with_the_rules_of_the_public_web_connects_to_a_server_of_the_rig(rootlet, tmp_path, key_type):
    assert rootlet("certs", "rig", "board.example.org", "*.wild.example.org", "--key-type", key_type).code == 0
    os.chdir(tmp_path / "rig")
    with tls_server(None, context=serving("server")) as running:
        for host in ("board.example.org", "any.wild.example.org"):
            outcome = connect(running.port, host, cafile=str(tmp_path / "rig" / "ca.pem"), policy="webpki")
            assert outcome.get("kind") is None, outcome
            assert outcome["body"].endswith("hello")
        outcome = connect(running.port, "example.org", cafile=str(tmp_path / "rig" / "ca.der"), policy="webpki")
    assert outcome["kind"] == "HostnameError"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", LONG_HOST])
def test_addresses_and_names_too_long_for_a_common_name_keep_the_rules_too(rootlet, tmp_path, ca, host):
    assert rootlet("certs", "server", host, "--ca", "ca.pem", "--name", "s").code == 0
    with tls_server(None, context=serving("s")) as running:
        outcome = connect(running.port, host, cafile=str(tmp_path / "ca.pem"), policy="webpki")
    assert outcome.get("kind") is None, outcome


def test_a_trust_store_with_the_ca_lets_rootlet_connect(rootlet, tmp_path, ca):
    rootlet("certs", "server", "board.example.org", "--ca", "ca.pem")
    assert rootlet("store", "build", "ca.pem", "-o", "site.rtlt").code == 0
    with tls_server(None, context=serving("board.example.org")) as running:
        outcome = connect(running.port, "board.example.org", store=str(tmp_path / "site.rtlt"), policy="webpki")
    assert outcome.get("kind") is None, outcome


@pytest.mark.parametrize("key_type", ["p256", "rsa2048"])
def test_the_ca_keeps_the_rules_for_roots_of_the_public_web(rootlet, tmp_path, key_type):
    from rootlet import webpki

    rootlet("certs", "ca", "ca", "--no-passphrase", "--key-type", key_type)
    assert webpki.check_root((tmp_path / "ca.der").read_bytes()) is None


def test_openssl_verifies_them_strictly_for_their_purpose_only(rootlet, tmp_path):
    program("openssl", "openssl")
    rootlet("certs", "rig", "board.example.org", "127.0.0.1", LONG_HOST)

    def verify(name, *options):
        command = ["openssl", "verify", "-x509_strict", "-CAfile", "rig/ca.pem", *options, f"rig/{name}.pem"]
        return subprocess.run(command, capture_output=True, text=True, check=False).returncode == 0

    assert verify("server", "-purpose", "sslserver", "-verify_hostname", "board.example.org")
    assert verify("server", "-verify_ip", "127.0.0.1")
    assert not verify("server", "-verify_hostname", "other.example.org")
    assert not verify("server", "-purpose", "sslclient")
    assert verify("device", "-purpose", "sslclient")
    assert not verify("device", "-purpose", "sslserver")


@pytest.mark.parametrize("key_type", ["p256", "rsa2048"])
def test_firmware_authenticates_itself_with_the_devices_der_files(rootlet, tmp_path, key_type):
    rootlet("certs", "rig", "--device", "sensor-7", "--key-type", key_type)
    os.chdir(tmp_path / "rig")
    context, handler, seen = admit_only(Path("ca.pem"), Path("server.pem"), Path("server.key"))
    program = (
        "import sys, socket, tls\n"
        "read = lambda name: open(name, 'rb').read()\n"
        "c = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)\n"
        "c.load_verify_locations(read('ca.der'))\n"
        "c.load_cert_chain(read('device.der'), read('device.key.der'))\n"
        "s = socket.socket(); s.connect(socket.getaddrinfo('127.0.0.1', PORT)[0][-1])\n"
        "print(c.wrap_socket(s, server_hostname='127.0.0.1').read())\n"
    )
    with tls_server(None, handler, context=context) as running:
        command = [find_micropython(), "-c", program.replace("PORT", str(running.port))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert "welcome" in done.stdout, done.stdout + done.stderr
    assert seen == [{"commonName": "sensor-7"}]


# ------------------------------------------------------------------------------------------------- the files


def test_keys_can_be_read_by_their_owner_only_and_are_never_printed(rootlet, tmp_path):
    result = rootlet("certs", "rig")
    keys = sorted(path.name for path in (tmp_path / "rig").iterdir() if ".key" in path.name)
    assert keys == ["ca.key", "device.key", "device.key.der", "server.key", "server.key.der"]
    for name in keys:
        path = tmp_path / "rig" / name
        assert mode(path) == 0o600
        if name.endswith(".key"):
            key = load_key(path)
            number = key.private_numbers().private_value
            assert f"{number:x}" not in result.out + result.err and str(number) not in result.out
            assert path.read_text().splitlines()[1] not in result.out + result.err
    assert mode(tmp_path / "rig" / "ca.pem") == 0o644


def test_der_and_pem_hold_the_same(rootlet, tmp_path):
    rootlet("certs", "rig")
    for name in ("server", "device"):
        identity = certs.load_identity(tmp_path / "rig" / f"{name}.pem")
        assert (tmp_path / "rig" / f"{name}.der").read_bytes() == identity.der
        der = (tmp_path / "rig" / f"{name}.key.der").read_bytes()
        assert serialization.load_der_private_key(der, None).private_numbers() == identity.key.private_numbers()
        assert b"\x02\x01\x01\x04\x20" in der[:8]  # ECPrivateKey, RFC 5915: version 1, then the 32-byte key


def test_nothing_is_replaced_without_force_and_everything_with_it(rootlet, tmp_path):
    rootlet("certs", "rig")
    before = {path.name: path.read_bytes() for path in (tmp_path / "rig").iterdir()}
    (tmp_path / "rig" / "ca.key").unlink()
    result = rootlet("certs", "rig")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "exists" in result.err and "--force" in result.err
    del before["ca.key"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "rig").iterdir()} == before
    assert rootlet("certs", "rig", "--force").code == 0
    assert not before.items() & {path.name: path.read_bytes() for path in (tmp_path / "rig").iterdir()}.items()


def test_the_ca_is_not_replaced_by_what_it_issues(rootlet, tmp_path, ca):
    before = (tmp_path / "ca.pem").read_bytes(), (tmp_path / "ca.key").read_bytes()
    result = rootlet("certs", "server", "example.org", "--ca", "ca.pem", "--name", "ca", "--force")
    assert result.code == 2 and "made from" in result.err
    assert before == ((tmp_path / "ca.pem").read_bytes(), (tmp_path / "ca.key").read_bytes())


def test_when_a_file_cannot_be_written_what_was_there_is_there_again(rootlet, tmp_path, monkeypatch):
    old, new = tmp_path / "a.key", tmp_path / "a.pem"
    old.write_bytes(b"old key")
    old.chmod(0o600)
    (tmp_path / "blocked").mkdir()
    with pytest.raises(HostError):
        files.write_all(
            [(old, b"new key", 0o600), (new, b"new", 0o644), (tmp_path / "missing" / "x", b"", 0o644)], force=True
        )
    assert old.read_bytes() == b"old key" and mode(old) == 0o600
    assert not new.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.key", "blocked"]


def test_the_cas_key_is_encrypted_unless_that_is_refused(rootlet, tmp_path, monkeypatch):
    assert rootlet("certs", "ca", "mine").code == 2  # nobody can be asked
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("ROOTLET_PASSPHRASE", "correct horse")
    result = rootlet("certs", "ca", "mine")
    assert result.code == 0 and "encrypted" in result.out and "correct horse" not in result.out
    assert b"ENCRYPTED" in (tmp_path / "mine.key").read_bytes()
    assert not (tmp_path / "mine.key.der").exists()
    assert rootlet("certs", "server", "example.org", "--ca", "mine.pem").code == 0
    monkeypatch.setenv("ROOTLET_PASSPHRASE", "wrong")
    result = rootlet("certs", "device", "d", "--ca", "mine.pem")
    assert result.code == 1 and "wrong passphrase" in result.err
    assert not (tmp_path / "d.key").exists()


def test_a_renewed_certificate_keeps_the_key(rootlet, tmp_path, ca):
    rootlet("certs", "server", "example.org", "--ca", "ca.pem")
    key, first = (tmp_path / "example.org.key").read_bytes(), certificate(tmp_path / "example.org.pem")
    result = rootlet("certs", "server", "example.org", "--ca", "ca.pem", "--key", "example.org.key", "--force")
    assert result.code == 0, result.err
    second = certificate(tmp_path / "example.org.pem")
    assert second != first and second.public_key() == first.public_key()
    assert (tmp_path / "example.org.key").read_bytes() == key


def test_an_intermediate_ca_is_sent_with_the_certificate(rootlet, tmp_path):
    root = make_certificate("root")
    middle = make_certificate("middle", issuer=root, extensions=((key_usage(key_cert_sign=True), True),))
    (tmp_path / "middle.pem").write_bytes(middle.pem)
    (tmp_path / "middle.key").write_bytes(middle.key_pem)
    assert rootlet("certs", "server", "example.org", "--ca", "middle.pem").code == 0
    sent = x509.load_pem_x509_certificates((tmp_path / "example.org.pem").read_bytes())
    assert sent[1] == middle.certificate
    sent[0].verify_directly_issued_by(sent[1])


def test_wildcards_and_addresses_give_good_file_names(rootlet, tmp_path, ca):
    for host, name in (("*.example.org", "wildcard.example.org"), ("[2001:db8::1]", "2001-db8--1")):
        assert rootlet("certs", "server", host, "--ca", "ca.pem").code == 0
        assert (tmp_path / f"{name}.key").exists()


# ------------------------------------------------------------------------------------------- what they say


def test_p256_is_the_default_and_names_are_written_canonically(rootlet, tmp_path, ca):
    result = rootlet("certs", "server", "Example.ORG.", "example.org", "192.0.2.1", "--ca", "ca.pem", "--json")
    assert json.loads(result.out)["hosts"] == ["example.org", "192.0.2.1"]
    made = certificate(tmp_path / "Example.ORG..pem")
    assert isinstance(made.public_key(), ec.EllipticCurvePublicKey) and made.public_key().curve.name == "secp256r1"
    assert made.serial_number > 0 and made.version is x509.Version.v3
    assert made.subject.rfc4514_string() == "CN=example.org"


def test_validity_is_given_in_days_and_never_longer_than_the_cas(rootlet, tmp_path):
    assert rootlet("certs", "ca", "short", "--no-passphrase", "--days", 10).code == 0
    authority = certificate(tmp_path / "short.pem")
    now = datetime.now(timezone.utc)
    assert abs(authority.not_valid_after_utc - now - timedelta(days=10)) < timedelta(minutes=1)
    assert authority.not_valid_before_utc < now
    assert rootlet("certs", "server", "a.test", "--ca", "short.pem").code == 0
    assert certificate(tmp_path / "a.test.pem").not_valid_after_utc == authority.not_valid_after_utc
    assert certificate(tmp_path / "a.test.pem").not_valid_before_utc >= authority.not_valid_before_utc
    result = rootlet("certs", "device", "d", "--ca", "short.pem", "--days", 11)
    assert result.code == 2 and "the CA expires on" in result.err
    assert rootlet("certs", "device", "d", "--ca", "short.pem", "--days", 0).code == 2


def test_rsa_2048_can_be_chosen(rootlet, tmp_path, ca):
    assert rootlet("certs", "device", "d", "--ca", "ca.pem", "--key-type", "rsa2048").code == 0
    key = certificate(tmp_path / "d.pem").public_key()
    assert isinstance(key, rsa.RSAPublicKey) and key.key_size == 2048


def test_two_rigs_have_cas_of_different_names(rootlet, tmp_path):
    for name in ("a", "b"):
        rootlet("certs", "rig", "-d", name)
    assert certificate(tmp_path / "a" / "ca.pem").subject != certificate(tmp_path / "b" / "ca.pem").subject


# ------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "host",
    ["", "*", "*.org", "a.*.org", "*a.example.org", "exa mple.org", "b.-a.org", "a..org", "a_b.org", "bücher.example",
     "1.2.3", "x" * 64 + ".org", ".".join(["x" * 50] * 6), "fe80::1%eth0", "https://example.org", "example.org:443"],
)  # fmt: skip
def test_what_is_no_host_is_refused(rootlet, tmp_path, ca, host):
    result = rootlet("certs", "server", host, "--ca", "ca.pem", "--name", "s")
    assert result.code == 2 and "is no host" in result.err
    assert not (tmp_path / "s.key").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a:b", "a\nb"])
def test_names_that_cannot_be_files_are_refused(rootlet, ca, name):
    for command in (["ca", name, "--no-passphrase"], ["device", name, "--ca", "ca.pem"]):
        assert rootlet("certs", *command).code == 2


def test_a_name_too_long_for_a_certificate_is_refused(rootlet, tmp_path):
    result = rootlet("certs", "ca", "x" * 65, "--no-passphrase")
    assert result.code == 2 and "1 to 64" in result.err
    assert not list(tmp_path.iterdir())


def test_what_is_no_ca_cannot_issue(rootlet, tmp_path, ca):
    rootlet("certs", "server", "example.org", "--ca", "ca.pem")
    result = rootlet("certs", "server", "b.test", "--ca", "example.org.pem")
    assert result.code == 2 and "is no CA" in result.err
    expired = make_certificate("old", not_after=datetime.now(timezone.utc) - timedelta(days=1))
    (tmp_path / "old.pem").write_bytes(expired.pem)
    assert "is valid only from" in rootlet("certs", "server", "b.test", "--ca", "old.pem").err
    assert rootlet("certs", "server", "b.test", "--ca", "missing.pem").code == 2


def test_a_key_that_does_not_belong_to_the_ca_is_refused(rootlet, tmp_path, ca):
    rootlet("certs", "ca", "other", "--no-passphrase")
    result = rootlet("certs", "server", "b.test", "--ca", "ca.pem", "--ca-key", "other.key")
    assert result.code == 2 and "does not belong" in result.err
    result = rootlet("certs", "server", "b.test", "--ca", "ca.pem", "--ca-key", "ca.pem")
    assert result.code == 2 and result.err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----"])
def test_a_file_that_is_no_key_is_named(tmp_path, content):
    (tmp_path / "k").write_bytes(content)
    with pytest.raises(UsageError, match="is no private key"):
        load_key(tmp_path / "k")
