"""Client certificates whose key never comes to the board: `ecdsa_sign`, on firmware that has it.

`MICROPY_PY_SSL_ECDSA_SIGN_ALT=1 tools/dev/build_micropython32.sh build/micropython32-ecdsa` makes such firmware.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support import pki
from support.attempt import HOST
from support.board import REPOSITORY, run_device
from support.programs import built
from support.servers import Server, answer, http_response, server_context, tls_server

PROGRAM = Path(__file__).parent / "scripts" / "secure_element.py"
FIRMWARE = REPOSITORY / "build" / "micropython32-ecdsa" / "micropython"
SLOT = 17
# An EC key of P-256 with nothing but its private number, which is that of the slot: RFC 5915, 3.
REFERENCE = (
    bytes.fromhex("303102010104 20".replace(" ", ""))
    + SLOT.to_bytes(32, "big")
    + bytes.fromhex("a00a06082a8648ce3d030107")
)


@pytest.fixture(scope="module")
def firmware() -> Path:
    return built(FIRMWARE, "micropython-ecdsa")


@pytest.fixture(scope="module")
def clients() -> pki.Authority:
    return pki.make_ca("clients' root")


@pytest.fixture(scope="module")
def board(clients: pki.Authority) -> pki.Issued:
    return clients.issue(common_name="board", usage=None)


@pytest.fixture
def demanding(root: pki.Authority, clients: pki.Authority) -> Iterator[Server]:
    context = server_context(root.issue(HOST))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=clients.pem.decode())
    with tls_server(root.issue(HOST), answer(http_response()), context=context) as server:
        yield server


@pytest.fixture
def element(board: pki.Issued) -> Iterator[Server]:
    """Signs the hash that it is sent."""
    key = board.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    algorithms = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}

    def sign(connection: socket.socket) -> None:
        digest = connection.recv(100)
        connection.sendall(key.sign(digest, ec.ECDSA(utils.Prehashed(algorithms[len(digest)]))))

    with Server(sign) as server:
        yield server


def run(firmware: Path, cafile: Path, board: pki.Issued, **request: Any) -> dict[str, Any]:
    request = {
        "host": HOST,
        "cafile": str(cafile),
        "certificate": board.der.hex(),
        "key": REFERENCE.hex(),
        **request,
    }
    output = run_device(PROGRAM, heap="512K", interpreter=firmware, environment={"REQUEST": json.dumps(request)})
    (line,) = output.splitlines()  # MicroPython prints what a callback raises
    result: dict[str, Any] = json.loads(line)
    assert result["stayed_open"] == 0
    return result


@pytest.mark.parametrize("way", ["blocking", "asyncio"])
def test_the_element_signs_for_a_server_that_demands_a_certificate(
    way: str, firmware: Path, cafile: Path, board: pki.Issued, demanding: Server, element: Server
) -> None:
    result = run(firmware, cafile, board, port=demanding.port, element=element.port, way=way)
    assert result["kind"] is None, result
    assert result["answer"].endswith("hello")
    ((number, hash_bytes),) = result["asked"]
    assert int(number, 16) == SLOT
    assert hash_bytes in (32, 48, 64)


def test_what_the_element_declines_is_signed_with_the_key_itself(
    firmware: Path, cafile: Path, board: pki.Issued, demanding: Server
) -> None:
    key = board.key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    result = run(firmware, cafile, board, port=demanding.port, key=key.hex(), trouble="declines")
    assert result["kind"] is None, result
    assert len(result["asked"]) == 1


@pytest.mark.parametrize("way", ["blocking", "asyncio"])
@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        ("raises", "HandshakeError", "no answer on the bus"),
        ("nonsense", "HandshakeError", "ecdsa_sign failed"),
        ("interrupt", "KeyboardInterrupt", ""),
    ],
)
def test_an_element_that_fails_ends_the_handshake_with_its_reason_and_nothing_raises_through_mbed_tls(
    trouble: str, kind: str, words: str, way: str, firmware: Path, cafile: Path, board: pki.Issued, demanding: Server
) -> None:
    result = run(firmware, cafile, board, port=demanding.port, trouble=trouble, way=way)
    assert result["kind"] == kind, result
    assert words in result["message"]


def test_fifty_failed_signatures_leak_nothing(
    firmware: Path, cafile: Path, board: pki.Issued, demanding: Server
) -> None:
    result = run(firmware, cafile, board, port=demanding.port, trouble="raises", times=50)
    assert result["kind"] == "HandshakeError"
    assert result["grown"] <= 2048


def test_a_server_that_asks_for_nothing_gets_no_signature(
    firmware: Path, cafile: Path, board: pki.Issued, root: pki.Authority
) -> None:
    with tls_server(root.issue(HOST)) as server:
        result = run(firmware, cafile, board, port=server.port, trouble="raises")
    assert result["kind"] is None and result["asked"] == []
