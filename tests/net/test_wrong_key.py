"""A server that shows a good certificate whose key it does not have."""

from __future__ import annotations

import pytest
from conformance.flight import first_flight, serve
from support import pki
from support.attempt import HOST, Connect
from support.servers import Server


@pytest.mark.parametrize("key", ["P-256", "RSA-2048"])
def test_certificate_without_its_key_is_refused(key: str, root: pki.Authority, connect: Connect) -> None:
    stolen = root.issue(HOST, key=key)
    with Server(lambda connection: serve(connection, [stolen.der])) as server:
        outcome = connect(server.port)
    assert outcome.kind == "CertificateError"
    assert "could not prove that it has the key" in outcome.message


def test_signature_that_is_no_asn_1_does_not_look_like_a_network_error(root: pki.Authority, connect: Connect) -> None:
    flight = first_flight([root.issue(HOST).der])
    good = bytes.fromhex("3006020101020101")
    assert good in flight
    for bad in ("ffff020101020101", "3006030101020101", "3005020101020101", "0000000000000000"):
        broken = flight.replace(good, bytes.fromhex(bad))

        def show(connection, broken=broken):  # type: ignore[no-untyped-def]
            connection.recv(4096)
            connection.sendall(broken)
            while connection.recv(4096):
                pass

        with Server(show) as server:
            outcome = connect(server.port)
        assert outcome.kind == "CertificateError", bad
        assert "0x4f" in outcome.message
