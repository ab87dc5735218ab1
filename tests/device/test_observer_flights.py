"""The observer sees the issuers of real servers' flights, wherever segments and records are cut."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.servers import server_context

SCRIPT = Path(__file__).parent / "scripts" / "watch_flight.py"
UNITS = Path(__file__).parents[1] / "unit"


def first_flight(identity: pki.Issued, version: ssl.TLSVersion) -> bytes:
    """What a server that has this identity sends in answer to a ClientHello."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.maximum_version = version
    client = context.wrap_bio(to_client, to_server, server_hostname=HOST)
    server = server_context(identity).wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    return to_client.read()


def watch(flight: bytes, names: list[bytes], encrypted: bool, folder: Path) -> None:
    path = folder / "flight"
    path.write_bytes(flight)
    request = {
        "flight": str(path),
        "units": str(UNITS),
        "names": [name.hex() for name in names],
        "encrypted": encrypted,
    }
    output = run_device(SCRIPT, environment={"REQUEST": json.dumps(request)})
    report = json.loads(output)
    assert report["wrong"] == []
    assert report["tried"] > len(flight)


def test_every_cut_of_a_flight_of_tls_1_2_shows_the_issuers(tmp_path: Path) -> None:
    root = pki.make_ca("root", key="RSA-2048")
    identity = root.child("first", key="P-384").child("second").issue(HOST)
    identity.intermediates.append(root.certificate)
    chain = [identity.certificate, *identity.intermediates]
    flight = first_flight(identity, ssl.TLSVersion.TLSv1_2)
    assert identity.der in flight
    watch(flight, [c.issuer.public_bytes() for c in chain], False, tmp_path)


def test_no_cut_of_a_flight_of_tls_1_3_shows_anything(tmp_path: Path) -> None:
    identity = pki.make_ca("root").issue(HOST)
    flight = first_flight(identity, ssl.TLSVersion.TLSv1_3)
    assert identity.der not in flight
    watch(flight, [], True, tmp_path)
