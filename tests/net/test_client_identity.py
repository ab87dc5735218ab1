"""The board's own certificate: what is refused beforehand, and servers that demand one."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from support import pki
from support.attempt import HOST
from support.firmware import Firmware
from support.programs import daemon, free_port, mosquitto, openssl_server, program
from support.servers import answer, http_response, server_context, tls_server

Exchange = Callable[..., dict[str, Any]]
GET = b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"
MQTT_CONNECT = bytes.fromhex("100f00044d51545404020005000362726400"[:-2])  # MQTT 3.1.1, client "brd", clean session
MQTT_ACCEPTED = "20020000"

Encoding = serialization.Encoding
Format = serialization.PrivateFormat
PLAIN = serialization.NoEncryption()


@pytest.fixture(scope="module")
def clients() -> pki.Authority:
    return pki.make_ca("clients' root")


@pytest.fixture(scope="module")
def identities(clients: pki.Authority) -> dict[str, pki.Issued]:
    """Of a board, by kind of key; each issued by an intermediate that the servers do not know."""
    issuer = clients.child("clients' issuer")
    return {kind: issue_client(issuer, kind) for kind in ("P-256", "P-384", "RSA-2048")}


def issue_client(issuer: pki.Authority, kind: str = "P-256", **options: Any) -> pki.Issued:
    return issuer.issue(key=kind, common_name="board", usage=(ExtendedKeyUsageOID.CLIENT_AUTH,), **options)


def key_bytes(identity: pki.Issued, encoding: Encoding, form: Format) -> bytes:
    return identity.key.private_bytes(encoding, form, PLAIN)


def demanding_context(server: pki.Issued, clients: pki.Authority) -> ssl.SSLContext:
    context = server_context(server)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=clients.pem.decode())
    return context


FORMS = {
    "PKCS #8, PEM": (Encoding.PEM, Format.PKCS8),
    "PKCS #8, DER": (Encoding.DER, Format.PKCS8),
    "traditional, PEM": (Encoding.PEM, Format.TraditionalOpenSSL),
    "traditional, DER": (Encoding.DER, Format.TraditionalOpenSSL),
}


@pytest.mark.every_version
@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048"])
def test_chain_of_two_is_shown_whatever_form_the_key_has(
    kind: str,
    root: pki.Authority,
    clients: pki.Authority,
    identities: dict[str, pki.Issued],
    cafile: Path,
    exchange: Exchange,
) -> None:
    identity = identities[kind]
    seen = []

    def note(stream: ssl.SSLSocket) -> None:
        seen.append(stream.getpeercert(binary_form=True))
        answer(http_response())(stream)

    chain_der = b"".join([identity.der, *(c.public_bytes(Encoding.DER) for c in identity.intermediates)])
    chains = {Encoding.PEM: identity.chain_pem, Encoding.DER: chain_der}
    with tls_server(root.issue(HOST), note, context=demanding_context(root.issue(HOST), clients)) as server:
        for encoding, form in FORMS.values():
            context = {
                "cafile": cafile,
                "client_cert": chains[encoding],
                "client_key": key_bytes(identity, encoding, form),
            }
            result = exchange(server.port, context=context, say=GET)
            assert result["kind"] is None, result
            assert bytes.fromhex(result["heard"]).endswith(b"hello")
    assert seen == [identity.der] * len(FORMS)


def test_files_are_read_and_one_file_may_hold_both(
    root: pki.Authority,
    clients: pki.Authority,
    identities: dict[str, pki.Issued],
    cafile: Path,
    tmp_path: Path,
    exchange: Exchange,
) -> None:
    identity = identities["P-256"]
    cert, key, both = tmp_path / "cert.pem", tmp_path / "key.der", tmp_path / "both.pem"
    cert.write_bytes(identity.chain_pem)
    key.write_bytes(key_bytes(identity, Encoding.DER, Format.PKCS8))
    both.write_bytes(identity.key_pem + identity.chain_pem)
    with tls_server(root.issue(HOST), context=demanding_context(root.issue(HOST), clients)) as server:
        for files in ({"client_cert": cert, "client_key": key}, {"client_cert": both}):
            assert exchange(server.port, context={"cafile": cafile, **files}, say=GET)["kind"] is None


def encrypted(identity: pki.Issued, encoding: Encoding, form: Format) -> bytes:
    return identity.key.private_bytes(encoding, form, serialization.BestAvailableEncryption(b"secret"))


def test_what_cannot_work_is_refused_before_connecting(
    identities: dict[str, pki.Issued], cafile: Path, tmp_path: Path, exchange: Exchange
) -> None:
    ec, rsa = identities["P-256"], identities["RSA-2048"]
    other = pki.make_key("P-256").private_bytes(Encoding.PEM, Format.PKCS8, PLAIN)
    other_rsa = pki.make_key("RSA-2048").private_bytes(Encoding.DER, Format.TraditionalOpenSSL, PLAIN)
    ed = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, Format.PKCS8, PLAIN)
    reversed_chain = ec.intermediates[0].public_bytes(Encoding.PEM) + ec.pem
    der_key = key_bytes(ec, Encoding.DER, Format.PKCS8)
    cases: dict[str, tuple[Any, Any, str]] = {
        "another EC key": (ec.pem, other, "does not belong"),
        "another RSA key": (rsa.pem, other_rsa, "does not belong"),
        "key of another kind": (ec.pem, rsa.key_pem, "does not belong"),
        "key of another curve": (ec.pem, identities["P-384"].key_pem, "does not belong"),
        "wrong order": (reversed_chain, ec.key_pem, "does not belong"),
        "encrypted, PKCS #8 in PEM": (ec.pem, encrypted(ec, Encoding.PEM, Format.PKCS8), "encrypted"),
        "encrypted, PKCS #8 in DER": (ec.pem, encrypted(ec, Encoding.DER, Format.PKCS8), "encrypted"),
        "encrypted, traditional": (rsa.pem, encrypted(rsa, Encoding.PEM, Format.TraditionalOpenSSL), "encrypted"),
        "Ed25519": (ec.pem, ed, "neither an EC nor an RSA key"),
        "no key in the file": (ec.pem, ec.pem, "no private key"),
        "no key at all": (ec.pem, None, "no private key"),
        "cut key": (ec.pem, der_key[:-1], "damaged"),
        "something behind the key": (ec.pem, der_key + b"\0", "damaged"),
        "no certificate": (None, ec.key_pem, "without client_cert"),
        "cut certificate": (ec.der[:-1], ec.key_pem, "client_cert"),
        "missing file": (tmp_path / "nowhere.pem", ec.key_pem, "nowhere.pem"),
    }
    for name, (cert, key, words) in cases.items():
        context = {"cafile": cafile, "client_cert": cert, "client_key": key}
        result = exchange(context=context, connect=False)
        assert result["kind"] == "ConfigError" and words in result["message"], (name, result)
        if words == "encrypted":
            assert "openssl pkey" in result["remedy"]


def test_every_cut_and_every_changed_byte_of_a_key_is_refused_or_harmless(
    identities: dict[str, pki.Issued], cafile: Path, exchange: Exchange
) -> None:
    identity = identities["P-256"]
    key = key_bytes(identity, Encoding.DER, Format.PKCS8)
    for n in (1, 2, 5, 30, 60, 100, len(key) - 2):
        result = exchange(context={"cafile": cafile, "client_cert": identity.der, "client_key": key[:n]}, connect=False)
        assert result["kind"] == "ConfigError", (n, result)


def test_signing_in_a_secure_element_is_refused_where_the_firmware_cannot(
    identities: dict[str, pki.Issued], cafile: Path, exchange: Exchange
) -> None:
    identity = identities["P-256"]
    context = {"cafile": cafile, "client_cert": identity.pem, "client_key": identity.key_pem, "ecdsa_sign": "any"}
    result = exchange(context=context, connect=False)
    assert result["kind"] == "UnsupportedError"
    assert "ECDSA_SIGN_ALT" in result["remedy"]


@pytest.mark.every_version
def test_server_that_demands_a_certificate_which_the_board_does_not_have_is_explained(
    root: pki.Authority, clients: pki.Authority, cafile: Path, exchange: Exchange, firmware: Firmware
) -> None:
    with tls_server(root.issue(HOST), context=demanding_context(root.issue(HOST), clients)) as server:
        result = exchange(server.port, context={"cafile": cafile}, say=GET)
    assert "client_cert" in result["remedy"], result
    # With TLS 1.3 the board has finished by then, and the alert is encrypted.
    if not firmware.has("tls1.3"):
        assert result["kind"] == "AlertError" and "demands a client certificate" in result["message"]


def test_server_that_only_asks_for_a_certificate_is_content_without(
    root: pki.Authority, clients: pki.Authority, cafile: Path, exchange: Exchange
) -> None:
    context = demanding_context(root.issue(HOST), clients)
    context.verify_mode = ssl.CERT_OPTIONAL
    with tls_server(root.issue(HOST), context=context) as server:
        assert exchange(server.port, context={"cafile": cafile}, say=GET)["kind"] is None


@pytest.mark.parametrize("case", ["stranger", "expired"])
def test_certificate_that_the_server_refuses_is_named_as_the_cause(
    case: str, root: pki.Authority, clients: pki.Authority, cafile: Path, exchange: Exchange, firmware: Firmware
) -> None:
    if case == "stranger":
        identity = issue_client(pki.make_ca("stranger"))
    else:
        identity = issue_client(clients, not_after=pki.now() - pki.days(0.5))
    context = {"cafile": cafile, "client_cert": identity.chain_pem, "client_key": identity.key_pem}
    with tls_server(root.issue(HOST), context=demanding_context(root.issue(HOST), clients)) as server:
        result = exchange(server.port, context=context, say=GET)
    assert result["kind"] is not None
    assert "client certificate" in result["remedy"]
    if not firmware.has("tls1.3"):  # where the alert is encrypted
        assert result["kind"] == "AlertError"
        assert result["alert"] == (48 if case == "stranger" else 45)


@pytest.fixture
def credentials(root: pki.Authority, clients: pki.Authority, tmp_path: Path) -> Path:
    """A folder with what a server program needs: server.pem, server.key, clients.pem."""
    root.issue(HOST).write(tmp_path, "server")
    tmp_path.joinpath("clients.pem").write_bytes(clients.pem)
    return tmp_path


@pytest.mark.servers
@pytest.mark.every_version
@pytest.mark.parametrize("kind", ["P-256", "RSA-2048"])
def test_openssl_accepts_the_certificate(
    kind: str,
    identities: dict[str, pki.Issued],
    cafile: Path,
    credentials: Path,
    exchange: Exchange,
    firmware: Firmware,
) -> None:
    identity = identities[kind]
    context = {"cafile": cafile, "client_cert": identity.chain_pem, "client_key": identity.key_pem}
    options = ("-cert", credentials / "server.pem", "-key", credentials / "server.key", "-Verify", "3")
    trust = ("-CAfile", credentials / "clients.pem", "-verify_return_error", "-www")
    with openssl_server(credentials, *options, *trust) as (port, _):
        result = exchange(port, context=context, say=GET)
        assert result["kind"] is None, result
        assert b"CN = board" in bytes.fromhex(result["heard"]) or b"CN=board" in bytes.fromhex(result["heard"])
        assert result["cipher"][1] == ("TLSv1.3" if firmware.has("tls1.3") else "TLSv1.2")
        result = exchange(port, context={"cafile": cafile}, say=GET)
        assert "client_cert" in result["remedy"], result


@pytest.mark.servers
@pytest.mark.every_version
def test_nginx_accepts_the_certificate(
    identities: dict[str, pki.Issued], cafile: Path, credentials: Path, exchange: Exchange
) -> None:
    nginx = program("nginx", "nginx-light")
    identity = identities["P-256"]
    port = free_port()
    config = credentials / "nginx.conf"
    config.write_text(f"""
        daemon off; pid {credentials}/pid; error_log stderr; worker_processes 1;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path {credentials}/b; proxy_temp_path {credentials}/p; fastcgi_temp_path {credentials}/f;
            uwsgi_temp_path {credentials}/u; scgi_temp_path {credentials}/s;
            server {{
                listen 127.0.0.1:{port} ssl;
                ssl_certificate server.pem; ssl_certificate_key server.key;
                ssl_client_certificate clients.pem; ssl_verify_client on; ssl_verify_depth 3;
                location / {{ return 200 "$ssl_client_s_dn"; }}
            }}
        }}
    """)
    with daemon(nginx, "-c", config, "-p", credentials, "-e", "stderr", port=port, log=credentials / "nginx.log"):
        context = {"cafile": cafile, "client_cert": identity.chain_pem, "client_key": identity.key_pem}
        heard = bytes.fromhex(exchange(port, context=context, say=GET)["heard"])
        assert heard.startswith(b"HTTP/1.1 200") and b"CN=board" in heard
        # nginx says it in HTTP.
        heard = bytes.fromhex(exchange(port, context={"cafile": cafile}, say=GET)["heard"])
        assert heard.startswith(b"HTTP/1.1 400") and b"No required SSL certificate" in heard


@pytest.mark.servers
@pytest.mark.every_version
def test_mosquitto_accepts_the_certificate(
    identities: dict[str, pki.Issued], cafile: Path, credentials: Path, exchange: Exchange
) -> None:
    identity = identities["P-256"]
    files = [f"certfile {credentials}/server.pem", f"keyfile {credentials}/server.key"]
    demand = [f"cafile {credentials}/clients.pem", "require_certificate true", "use_identity_as_username true"]
    with mosquitto(credentials, *files, *demand) as (port, broker):
        context = {"cafile": cafile, "client_cert": identity.chain_pem, "client_key": identity.key_pem}
        result = exchange(port, context=context, say=MQTT_CONNECT, bytes=4)
        assert result.get("heard") == MQTT_ACCEPTED, (result, broker.log)
        assert "u'board'" in broker.log
        result = exchange(port, context={"cafile": cafile}, say=MQTT_CONNECT, bytes=4)
        assert result["kind"] is not None and "client_cert" in result["remedy"], result
