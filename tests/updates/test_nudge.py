"""A retained MQTT message brings the next question forward."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.board import run_device
from support.programs import mosquitto

from .conftest import FieldBoard

TOPIC = b"rootlet/sequence"
NUDGE = Path(__file__).with_name("device") / "nudge.py"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """The port of a mosquitto on loopback."""
    with mosquitto(tmp_path, "persistence false") as (port, _):
        yield port


def retain(port: int, payload: bytes) -> None:
    """Publishes `payload`, to be kept for those who come later (MQTT 3.1.1, 3.3.1.3)."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test")
        assert client.recv(4) == b"\x20\x02\x00\x00"
        body = bytes((0, len(TOPIC))) + TOPIC + payload
        client.sendall(bytes((0x31, len(body))) + body + b"\xe0\x00")
        assert client.recv(1) == b""


@pytest.mark.servers
@pytest.mark.parametrize(("sequence", "heeded"), [(6, True), (5, False), (4, False)])
def test_a_retained_sequence_is_heeded_if_it_is_news(
    broker: int, board: FieldBoard, sequence: int, heeded: bool
) -> None:
    retain(broker, b"%d" % sequence)
    result = json.loads(run_device(NUDGE, str(broker), str(board.store)))
    assert result["retained"] == 1
    assert result["heeded"] is heeded
    assert result["before_s"] > 70_000
    assert (result["after_s"] <= 61) is heeded
    # Nonsense is not. A number far too large is: all it can do is to make the board ask.
    assert result["nonsense"] == [False, False, True, True, False, False, False, True, False]
