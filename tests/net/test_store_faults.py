"""No trust, no connection: a store that is missing or not whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from rootlet_host.store import anchors_from_certificates, build_store
from support import pki
from support.attempt import HOST, Connect
from support.servers import Server, tls_server


@pytest.fixture
def store(root: pki.Authority) -> bytes:
    return build_store(anchors_from_certificates([root.certificate]), sequence=7, issued_at=1_700_000_000)


@pytest.fixture
def server(root: pki.Authority):  # type: ignore[no-untyped-def]
    with tls_server(root.issue(HOST)) as server:
        yield server


def test_missing_store_is_refused_before_connecting(server: Server, connect: Connect, tmp_path: Path) -> None:
    outcome = connect(server.port, store=str(tmp_path / "none.rtlt"))
    assert outcome.kind == "TrustStoreMissingError"
    assert "rootlet push" in outcome.remedy
    assert server.accepted == 0


@pytest.mark.parametrize("size", [0, 3, 40, 63, 64, 90, -1])
def test_store_cut_short_is_refused(size: int, store: bytes, server: Server, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "cut.rtlt"
    path.write_bytes(store[:size])
    assert connect(server.port, store=str(path)).kind == "TrustStoreDamagedError"
    assert server.accepted == 0


def test_store_with_trailing_bytes_or_of_another_kind_is_refused(
    store: bytes, server: Server, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "odd.rtlt"
    for content in (store + b"\0", b"\x7fELF" + bytes(200), store[:4] + b"\x02" + store[5:]):
        path.write_bytes(content)
        outcome = connect(server.port, store=str(path))
        assert outcome.kind == "TrustStoreDamagedError"
    assert "format version 2" in outcome.message


def test_expired_store_is_refused_for_tls(
    root: pki.Authority, server: Server, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "old.rtlt"
    anchors = anchors_from_certificates([root.certificate])
    path.write_bytes(build_store(anchors, sequence=1, issued_at=1_700_000_000, not_used_after=1_700_000_001))
    assert connect(server.port, store=str(path)).kind == "TrustStoreExpiredError"


def test_store_from_the_future_means_an_unset_clock(
    root: pki.Authority, server: Server, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "new.rtlt"
    path.write_bytes(build_store(anchors_from_certificates([root.certificate]), sequence=1, issued_at=0xFFFFFFF0))
    assert connect(server.port, store=str(path)).kind == "ClockError"


@pytest.mark.parametrize("content", [b"", b"not PEM", b"-----BEGIN CERTIFICATE-----\nAAAA", b"0\x82\xff\xff"])
def test_cafile_that_holds_no_certificate_is_refused(
    content: bytes, server: Server, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    assert connect(server.port, cafile=str(path)).kind == "ConfigError"


def test_bad_certificate_in_a_bundle_is_named_by_its_index(
    root: pki.Authority, server: Server, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "ca.bundle"
    for content in (
        root.der + root.der + root.der[:-1],
        root.der + root.der + b"0",
        root.pem + root.pem + root.pem.replace(b"M", b"!", 1),
        root.der + root.der + root.issue(HOST).der,
    ):
        path.write_bytes(content)
        outcome = connect(server.port, cafile=str(path))
        assert outcome.kind == "ConfigError"
        assert "2" in outcome.message, outcome.message
