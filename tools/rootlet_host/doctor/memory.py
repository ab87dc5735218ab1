"""What a handshake should cost, to set what one did cost against it.

The figures are those of docs/memory.md for a P-256 chain, the full store and rootlet as .mpy files, on a 32-bit build
whose Mbed TLS allocates from the Python heap; `make memory ARGS=--docs` writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..board.identity import BoardInfo

# memory: begin
TLS_ALONE_READY_BYTES = 5_328
TLS_ALONE_PEAK_BYTES = 33_616
READY_BYTES = 10_048
PEAK_BYTES = 54_688
LEAST_HEAP_BYTES = 58_368
# memory: end
# Mbed TLS wants its record buffer in one piece: 16 KiB and the headers (MBEDTLS_SSL_IN_CONTENT_LEN).
ONE_PIECE_BYTES = 17 * 1024
# What a measurement may be above the prediction: chains differ by some KB (RSA keys, long chains).
TOLERANCE = 1.3


@dataclass(frozen=True)
class Prediction:
    """Bytes of the Python heap: what a first handshake adds to it at its peak, and the smallest heap that suffices."""

    rise_bytes: int
    least_heap_bytes: int
    basis: str


def outside_python_heap(info: BoardInfo) -> bool:
    """Whether this port's Mbed TLS allocates from the system: ESP32 (ESP-IDF's heaps) and computers."""
    return info.platform == "esp32" or is_computer(info)


def is_computer(info: BoardInfo) -> bool:
    """Whether this is the Unix port, a virtual board included."""
    return info.platform.startswith(("linux", "darwin", "win32"))


def predict(info: BoardInfo) -> Prediction:
    """For this kind of board. Objects are twice as large where pointers are, which computers have."""
    mbedtls = TLS_ALONE_PEAK_BYTES - TLS_ALONE_READY_BYTES
    rise, least = PEAK_BYTES - READY_BYTES, LEAST_HEAP_BYTES
    basis = "measured on 32 bits, Mbed TLS in the Python heap"
    if outside_python_heap(info):
        rise, least = rise - mbedtls, least - mbedtls
        basis = "measured on 32 bits, without Mbed TLS's part, which this port keeps outside"
    if is_computer(info):
        rise, least = 2 * rise, 2 * least
        basis += "; twice as much for 64-bit pointers"
    return Prediction(rise, least, basis)


# Moments as lib/rootlet/probe.py numbers them.
_MOMENTS = {
    -1: "before",
    -2: "trust store open",
    -3: "connecting",
    -4: "established",
    -5: "closed",
    0: "HelloRequest",
    1: "ClientHello",
    2: "ServerHello",
    4: "NewSessionTicket",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    16: "ClientKeyExchange",
}
_RECORDS = {20: "ChangeCipherSpec", 21: "alert", 22: "Finished", 23: "encrypted"}
_SENT = 256
_RECORD = 512


def moment_name(moment: int) -> str:
    """What a sample's moment is called; `>` is from the board to the server, `<` the other way."""
    if moment < 0:
        return _MOMENTS.get(moment, "?")
    if moment >= _RECORD:
        sent, kind = divmod(moment - _RECORD, _SENT)
        name = _RECORDS.get(kind, f"record {kind}")
    else:
        sent, kind = divmod(moment, _SENT)
        name = _MOMENTS.get(kind, f"message {kind}")
    return f"{'>' if sent else '<'} {name}"


@dataclass(frozen=True)
class Sample:
    """Live bytes at one moment of a connection, `ms` after its beginning; `system` 0: this port does not tell."""

    ms: int
    moment: str
    python: int
    system: int

    def to_json(self) -> dict[str, Any]:
        """Sizes in bytes."""
        return {"ms": self.ms, "moment": self.moment, "python_bytes": self.python, "system_bytes": self.system}


def samples(taken: list[tuple[int, int, int, int]]) -> list[Sample]:
    """The samples that the board took."""
    return [Sample(ms, moment_name(moment), python, system) for ms, moment, python, system in taken]


def rise(found: list[Sample]) -> int:
    """By how much the Python heap was fuller at the peak than before."""
    return max(sample.python for sample in found) - found[0].python if found else 0
