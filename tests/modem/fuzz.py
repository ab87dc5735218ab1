"""Random fault scripts for driver and emulator, and what must hold whatever they do.

Always: no wait is endless; the only exceptions are OSErrors; and once the faults are over, the driver brings the modem
back and exchanges data without a mistake.

While no character is lost or changed on the UART ("clean" scripts): the application gets a prefix of what the server
sent and the server a prefix of what the application wrote (behind it, on a connection that was given up, at most
the empty commands with which the driver finds the modem again); an end without an error means that all has arrived.

When characters are only lost on their way to the board ("loss"): the application still gets a prefix, because the
modem tells each payload's length and CR LF must follow it. Where characters change ("noise"), a payload may be wrong,
and nothing on this side of TLS can know.
"""

from __future__ import annotations

import random
from typing import Any

from emulator import Fault
from simulation import Bench

KINDS = ("clean", "loss", "noise")

_URCS = (
    "RING",
    '+CMTI: "SM",3',
    "+CIPRXGET: 1,0",
    "+CIPRXGET: 1,5",
    "5, CLOSED",
    "Call Ready",
    "SMS Ready",
    "+CPIN: READY",
    '*PSUTTZ: 2026,11,21,11,0,0,"+04",0',
    "DST: 0",
    "UNDER-VOLTAGE WARNNING",
    "+CREG: 2",
    '+CMT: "+15551234",,"26/11/21,12:00:00+04"\r\n0, CLOSED',
    "x" * 700,
    ">",
    "+CIPRXGET: 2",
)
_COMMAND_FAULTS = (
    "silent", "mute", "error", "cme", "late", "urc", "urc", "urc", "closed", "pdp", "power", "reset", "quiet-reset",
)  # fmt: skip


def script(rng: random.Random, kind: str) -> list[Fault]:
    """One to eight faults."""
    faults: list[Fault] = []
    for _ in range(rng.randint(1, 8)):
        roll = rng.random()
        if roll < 0.5:
            what = rng.choice(_COMMAND_FAULTS)
            argument: Any = None
            if what == "late":
                argument = rng.choice((50, 3000, 15_000, 50_000))
            elif what == "urc":
                argument = rng.choice(_URCS)
            elif what == "closed":
                argument = rng.randint(0, 2)
            # Half of them while the modem comes up, half later: 18 commands bring it up.
            faults.append(
                ("command", rng.randint(1, 20) if rng.random() < 0.3 else rng.randint(19, 50), what, argument)
            )
        elif roll < 0.65:
            faults.append(("prompt", rng.randint(1, 8), rng.choice(("lost", "late", "closed", "mute")), 12_000))
        elif kind == "clean":
            faults.append(
                ("out", rng.randint(1, rng.choice((900, 3000))), "pause", rng.choice((1, 40, 700, 4000, 15_000)))
            )
        elif kind == "loss":
            faults.append(("out", rng.randint(1, rng.choice((900, 3000))), "drop", None))
        else:
            where = rng.choice(("out", "in"))
            what = rng.choice(("drop", "flip", "insert") if where == "out" else ("drop", "flip"))
            argument = rng.randbytes(rng.choice((1, 1, 3, 300))) if what == "insert" else 1 << rng.randint(0, 7)
            faults.append((where, rng.randint(1, rng.choice((900, 3000))), what, argument))
    return faults


class Exchange:
    """One connection of the application: what it has written and read, and how it ended."""

    def __init__(self, stream: Any, peer: Any, to_write: bytes) -> None:
        self.stream = stream
        self.peer = peer
        self.to_write = to_write
        self.written = 0
        self.read = bytearray()
        self.buffer = bytearray(700)
        self.end: str | OSError | None = None

    def step(self, rng: random.Random) -> None:
        """One read and one write, as much as goes without waiting."""
        stream = self.stream
        try:
            ready = stream.ioctl(3, 5)
            assert not ready & ~5, ready
            if ready & 1 or rng.random() < 0.2:
                n = stream.readinto(memoryview(self.buffer)[: rng.randint(1, 700)])
                if n:
                    self.read += self.buffer[:n]
                elif n == 0:
                    self.end = "closed"
                else:
                    assert not ready & 1, "readable, but there was nothing"
            if self.end is None and self.written < len(self.to_write) and (ready & 4 or rng.random() < 0.2):
                piece = self.to_write[self.written : self.written + rng.randint(1, 3000)]
                n = stream.write(piece)
                if n is not None:
                    assert 0 < n <= min(len(piece), 1460)
                    self.written += n
        except OSError as error:
            self.end = error

    def check(self, kind: str) -> None:
        sent = bytes(self.peer.to_send[: self.peer.sent])
        if kind != "noise":
            assert sent.startswith(self.read), "a wrong byte was delivered"
        if kind == "clean":
            if self.end == "closed":
                assert len(self.read) == len(sent), f"an end without an error after {len(self.read)} of {len(sent)}"
            received = bytes(self.peer.received)
            if not self.to_write.startswith(received):
                good = 0
                while received[good] == self.to_write[good]:
                    good += 1
                    if good == len(self.to_write):
                        break
                assert isinstance(self.end, OSError), "the server got what was not written"
                # The filler begins where the modem still waited for data: anywhere in the last 2 KB.
                assert set(received[good:]) <= set(b"AT\r"), "the server got what was not written"


def connect(bench: Bench, rng: random.Random, size: int, attempts: int = 1) -> Exchange | None:
    port = rng.randint(1000, 9999)
    bench.network.to_send[port] = rng.randbytes(size)
    for _ in range(attempts):
        count = len(bench.network.peers)
        try:
            stream = bench.driver.connect("example.org", port, rng.choice((60_000, 300_000)))
        except OSError:
            continue
        stream.setblocking(False)
        peers = [peer for peer in bench.network.peers[count:] if peer.port == port]
        # With noise the command may have been changed on its way, and the connection be another one.
        return Exchange(stream, (peers or bench.network.peers)[-1], rng.randbytes(rng.choice((0, 5, 200, 200, 2500))))
    return None


def run(seed: int, kind: str) -> Bench:
    """One application with one to three connections at a time. Raises AssertionError for what must not be."""
    rng = random.Random(seed)
    bench = Bench(
        script(rng, kind),
        rng=rng,
        key=rng.random() < 0.3,
        sim_pin=rng.choice((None, "1234")) if kind == "clean" else None,
        fixed_baud=rng.random() < 0.5,
        discards_on_close=rng.random() < 0.3,
        room=rng.choice((1460, 1460, 1000, 100)),
        answer_ms=rng.choice((1, 10, 200)),
        driver={"rx_bytes": rng.choice((33, 64, 512, 1460)), "pin": "1234"},
    )
    bench.network.closes = rng.random() < 0.7
    for _ in range(rng.randint(1, 2)):
        exchanges = [connect(bench, rng, rng.choice((0, 5, 200, 200, 2500))) for _ in range(rng.randint(1, 2))]
        live = [exchange for exchange in exchanges if exchange]
        deadline = bench.clock.now_ms + 120_000
        while bench.clock.now_ms < deadline and any(exchange.end is None for exchange in live):
            for exchange in live:
                if exchange.end is None:
                    exchange.step(rng)
                    all_written = exchange.written == len(exchange.to_write)
                    all_read = len(exchange.read) == len(exchange.peer.to_send)
                    if not bench.network.closes and all_written and (all_read or rng.random() < 0.001):
                        exchange.end = "done"
            if not bench.driver.pump():
                bench.clock.sleep_ms(1)
        for exchange in live:
            exchange.check(kind)
            if rng.random() < 0.5:
                exchange.stream.settimeout(rng.choice((0, 5, None)))
            exchange.stream.close()
    if kind == "clean":
        assert bench.modem.wrong_pins == 0
    recover(bench, rng, seed)
    return bench


def recover(bench: Bench, rng: random.Random, seed: int) -> None:
    """Without faults, everything must work again, if not at once: a setting that was lost may show only then."""
    bench.modem.faults.clear()
    bench.network.closes = False
    for attempt in range(3):
        exchange = connect(bench, rng, 1500, attempts=30)
        assert exchange, f"the modem did not come back: {bench.driver.failure}"
        exchange.stream.settimeout(120)
        data = b""
        try:
            while len(data) < 1500:
                data += exchange.stream.read(1500)
            assert exchange.stream.write(b"thanks") == 6
        except OSError:
            assert attempt < 2, f"the modem came back, but no data: {bench.driver.failure}"
            continue
        break
    assert data == exchange.peer.to_send, "the modem came back, but not the data"
    assert exchange.peer.received == b"thanks"
    exchange.stream.close()
