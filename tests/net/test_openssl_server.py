"""OpenSSL's s_server as the peer: another TLS implementation, and records as small as it makes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import pki
from support.attempt import HOST, Connect
from support.programs import openssl_server

pytestmark = pytest.mark.servers


@contextmanager
def s_server(identity: pki.Issued, folder: Path, *options: str) -> Iterator[int]:
    """`openssl s_server -www`; its port."""
    for name, content in (
        ("leaf.pem", identity.pem),
        ("key.pem", identity.key_pem),
        ("above.pem", identity.chain_pem[len(identity.pem) :]),
    ):
        (folder / name).write_bytes(content)
    above = ("-cert_chain", folder / "above.pem") if identity.intermediates else ()
    own = ("-cert", folder / "leaf.pem", "-key", folder / "key.pem", *above)
    with openssl_server(folder, "-www", *own, *options) as (port, _):
        yield port


@pytest.mark.parametrize("key", ["P-256", pytest.param("RSA-2048", marks=pytest.mark.needs("tls1.2-rsa"))])
def test_chain_with_an_intermediate_is_verified(
    key: str, root: pki.Authority, connect: Connect, tmp_path: Path
) -> None:
    identity = root.child("issuer", key=key).issue(HOST, key=key)
    with s_server(identity, tmp_path, "-tls1_2") as port:
        outcome = connect(port, read=False)
    assert outcome.kind is None
    assert outcome.cipher[1] == "TLSv1.2"


def test_certificate_message_in_many_small_records_is_verified(
    root: pki.Authority, connect: Connect, tmp_path: Path
) -> None:
    identity = root.child("issuer", key="RSA-4096").child("lower", key="RSA-2048").issue(HOST)
    with s_server(identity, tmp_path, "-tls1_2", "-max_send_frag", "512") as port:
        assert connect(port, read=False).kind is None


def test_stranger_is_refused(connect: Connect, tmp_path: Path) -> None:
    with s_server(pki.make_ca("stranger").issue(HOST), tmp_path, "-tls1_2") as port:
        assert connect(port).kind == "UnknownIssuerError"


@pytest.mark.lacks("tls1.3")
def test_server_with_tls_1_3_only_is_reported_with_its_alert(
    root: pki.Authority, connect: Connect, tmp_path: Path
) -> None:
    with s_server(root.issue(HOST), tmp_path, "-tls1_3") as port:
        outcome = connect(port)
    assert outcome.kind == "AlertError"
    assert outcome.alert == 70
    assert "TLS version" in outcome.remedy
