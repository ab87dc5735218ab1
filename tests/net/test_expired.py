"""A certificate whose time is over."""

from __future__ import annotations

from support import pki
from support.attempt import HOST, Connect
from support.servers import tls_server


def test_expired_server_certificate_is_refused(root: pki.Authority, connect: Connect) -> None:
    with tls_server(root.issue(HOST, not_before=pki.now() - pki.days(9), not_after=pki.now() - pki.days(1))) as server:
        outcome = connect(server.port)
    assert outcome.kind == "ExpiredError"
    assert "CertificateError" in outcome.kinds
    assert outcome.reasons == ["a certificate has expired"]
    assert "renew" in outcome.remedy


def test_expired_root_is_refused(connect: Connect, tmp_path: object) -> None:
    from pathlib import Path

    authority = pki.make_ca("old", not_before=pki.now() - pki.days(9), not_after=pki.now() - pki.days(1))
    path = Path(str(tmp_path)) / "old.pem"
    path.write_bytes(authority.pem)
    with tls_server(authority.issue(HOST)) as server:
        assert connect(server.port, cafile=str(path)).kind == "ExpiredError"
