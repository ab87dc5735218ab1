"""A SIM800 as the driver sees it: AT commands on one side, TCP on the other, and a script of faults in between.

The core knows no clock and no file descriptor: `receive` takes what the board sends, `take` gives what the modem has
sent up to a point in time, and a `Network` makes connections. So it runs over a pty in real time and in memory in
simulated time. Answers and their order follow SIMCom's "SIM800 Series AT Command Manual" V1.09 and "SIM800 Series TCPIP
Application Note"; where these say nothing, what it does is an option or the less convenient choice.
"""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache
from typing import Any

from far_end import Network, Peer

SEND_BYTES = 1460
BOOT_MS = 2500


class Link:
    """A connection in the modem: the peer, and what it has sent that the board has not fetched yet."""

    def __init__(self, peer: Peer, host: str, port: int) -> None:
        self.peer = peer
        self.host = host
        self.port = port
        self.state = "CONNECTING"
        self.data = bytearray()
        self.announced = False


# One fault: (when, number, what, argument). `when` counts: "command" command lines, "prompt" send prompts, "out" bytes
# from the modem, "in" bytes to it; what happens is described at the methods that ask for it.
Fault = tuple[str, int, str, Any]


class Sim800:
    # How much of one connection's data the modem holds; beyond it TCP's own window holds the peer back.
    HELD_BYTES = 4096

    def __init__(
        self,
        network: Network,
        faults: list[Fault] | tuple[Fault, ...] = (),
        *,
        sim_pin: str | None = None,
        sim: str = "READY",
        registers_after: int = 1,
        fixed_baud: bool = True,
        discards_on_close: bool = False,
        room: int = SEND_BYTES,
        answer_ms: int = 2,
        network_clock: str = "26/11/21,12:00:00+04",
        tells_time: bool = True,
        powered: bool = True,
    ) -> None:
        self.network = network
        self.faults: dict[tuple[str, int], list[tuple[str, Any]]] = {}
        for when, number, what, argument in faults:
            self.faults.setdefault((when, number), []).append((what, argument))
        self.sim_pin = sim_pin
        self.sim = "SIM PIN" if sim_pin and sim == "READY" else sim
        self._initial_sim = self.sim
        self.registers_after = registers_after
        self.fixed_baud = fixed_baud
        self.discards_on_close = discards_on_close
        self.room = room
        self.answer_ms = answer_ms
        self.network_clock = network_clock
        self.tells_time = tells_time  # the network does, to a modem that registers
        self.now_ms = 0
        self.counts = {"command": 0, "prompt": 0, "out": 0, "in": 0}
        self.log: list[str] = []
        self.payload_in = self.payload_out = 0  # bytes on TCP, to the board and from it
        self.wrong_pins = 0
        self.powered = powered
        self._out: deque[tuple[int, bytes]] = deque()
        self._deaf_until_ms = 0
        self._forget()

    # The UART's side.

    def receive(self, data: bytes) -> None:
        """What the board sends. Faults: in/drop; in/flip (argument: the bits)."""
        if not self.powered or self.now_ms < self._deaf_until_ms:
            return
        if self._faultless("in", len(data)):
            self._receive(data)
            return
        for byte in data:
            self.counts["in"] += 1
            dropped = False
            for what, argument in self.faults.get(("in", self.counts["in"]), ()):
                dropped = dropped or what == "drop"
                if what == "flip":
                    byte ^= argument
            if not dropped:
                self._receive(bytes([byte]))

    def take(self) -> bytes:
        """What has left the modem by `now_ms`."""
        data = b""
        while self._out and self._out[0][0] <= self.now_ms:
            data += self._out.popleft()[1]
        return data

    def next_ms(self) -> int | None:
        """When something more will leave the modem, as far as is known now."""
        return self._out[0][0] if self._out else None

    def advance(self, now_ms: int) -> None:
        """Lets time pass, and looks at the network."""
        self.now_ms = now_ms
        for number, link in list(self.links.items()):
            link.peer.poll()
            if link.state == "CONNECTING" and link.peer.state in ("open", "refused"):
                opened = link.peer.state == "open"
                link.state = "CONNECTED" if opened else "CLOSED"
                self.line(f"{number}, CONNECT {'OK' if opened else 'FAIL'}")
            if link.state != "CONNECTED":
                continue
            if len(link.data) < self.HELD_BYTES:
                data = link.peer.receive(self.HELD_BYTES - len(link.data))
                if data:
                    link.data += data
                    self._announce(number, link)
                elif link.peer.state == "closed":
                    self._closed(number, link)

    def press_power_key(self) -> None:
        if self.powered:
            self.line("NORMAL POWER DOWN")
            self.powered = False
        else:
            self.powered = True
            self.reset(0)

    # What the modem says.

    def emit(self, data: bytes, delay_ms: int = 0) -> None:
        """Faults: out/drop; out/flip, out/insert and out/pause (argument: bits, bytes, milliseconds)."""
        due = max(self.now_ms + delay_ms, self._out[-1][0] if self._out else 0)
        if self._faultless("out", len(data)):
            self._out.append((due, data))
            return
        piece = bytearray()
        for byte in data:
            self.counts["out"] += 1
            for what, argument in self.faults.get(("out", self.counts["out"]), ()):
                if what == "drop":
                    byte = -1
                elif what == "flip" and byte >= 0:
                    byte ^= argument
                elif what == "insert":
                    piece += argument
                elif what == "pause":
                    self._out.append((due, bytes(piece)))
                    piece.clear()
                    due += argument
            if byte >= 0:
                piece.append(byte)
        self._out.append((due, bytes(piece)))

    def line(self, text: str, delay_ms: int = 0) -> None:
        self.emit(b"\r\n" + text.encode("latin-1") + b"\r\n", delay_ms)

    def reset(self, after_ms: int = 0) -> None:
        """As by a drop of its supply: everything is forgotten, and nothing heard while it boots."""
        for link in self.links.values():
            link.peer.close()
        self._forget()
        self._out.clear()
        self._deaf_until_ms = self.now_ms + BOOT_MS
        if self.fixed_baud:
            for text, delay in (("RDY", 0), ("+CFUN: 1", 100), (f"+CPIN: {self.sim}", 300), ("Call Ready", 2000)):
                self.line(text, BOOT_MS + delay)

    def close_link(self, number: int) -> None:
        """The connection breaks, with CLOSED as the only sign."""
        link = self.links.get(number)
        if link and link.state in ("CONNECTED", "CONNECTING"):
            link.peer.close()
            self._closed(number, link)

    # Inside.

    def _forget(self) -> None:
        self.sim = self._initial_sim
        self.echo = True
        self.words = False
        self.mux = self.quick = self.manual = False
        self.state = "INITIAL"
        self.attached = False
        self.apn = ""
        self.links: dict[int, Link] = {}
        self._creg_asked = 0
        self._bearer = False
        self._clock_set = False
        self._command = bytearray()
        self._payload: bytearray | None = None
        self._payload_for = (0, 0)
        self._payload_mute = False

    def _announce(self, number: int, link: Link) -> None:
        if self.manual and not link.announced:
            link.announced = True
            self.line(f"+CIPRXGET: 1,{number}")

    def _closed(self, number: int, link: Link) -> None:
        link.state = "CLOSED"
        if self.discards_on_close:
            link.data.clear()
        self.line(f"{number}, CLOSED")

    def _faultless(self, when: str, n: int) -> bool:
        """Is there no fault in the next `n` bytes? Counts them, then."""
        count = self.counts[when]
        if any(fault == when and count < number <= count + n for fault, number in self.faults):
            return False
        self.counts[when] += n
        return True

    def _receive(self, data: bytes) -> None:
        while data:
            if self._payload is not None:
                n = self._payload_for[1] - len(self._payload)
                self._payload += data[:n]
                data = data[n:]
                if len(self._payload) == self._payload_for[1]:
                    self._payload_complete()
                continue
            part, end, data = data.partition(b"\r")
            if self.echo:
                self.emit(part + end)
            self._command += part
            del self._command[556:]  # AT Command Manual, 1.4: the most that one line may have
            if end:
                text = self._command.decode("latin-1").strip()
                self._command.clear()
                # What stands before AT is noise: V.250, 5.2.1.
                start = text.upper().find("AT")
                if start >= 0:
                    self._run(text[start:])

    def _payload_complete(self) -> None:
        assert self._payload is not None
        number, size = self._payload_for
        data, self._payload = bytes(self._payload), None
        link = self.links.get(number)
        if link is None or link.state != "CONNECTED":
            self.line(f"{number}, SEND FAIL", self.answer_ms)
            return
        link.peer.send(data)
        self.payload_out += len(data)
        if self._payload_mute:
            return
        self.line(f"DATA ACCEPT:{number},{size}" if self.quick else f"{number}, SEND OK", self.answer_ms)

    def _run(self, text: str) -> None:
        """Faults of a command: silent (not executed), mute (executed without a word), error, cme, late (ms), urc (text
        before the answer), closed (identifier), pdp, power, reset, quiet-reset."""
        self.counts["command"] += 1
        self.log.append(text)
        mute = False
        late = 0
        for what, argument in self.faults.get(("command", self.counts["command"]), ()):
            if what == "silent":
                return
            if what in ("error", "cme"):
                self.line("ERROR" if what == "error" else "+CME ERROR: operation not allowed", self.answer_ms)
                return
            if what == "mute":
                mute = True
            elif what == "late":
                late += argument
            elif what == "urc":
                self.line(argument)
            elif what == "closed":
                self.close_link(argument)
            elif what == "pdp":
                self._deactivate()
            elif what == "power":
                self.line("NORMAL POWER DOWN")
                self.reset()
                return
            elif what in ("reset", "quiet-reset"):
                self.fixed_baud = what == "reset"
                self.reset()
                return
        before = len(self._out)
        if late:
            self.emit(b"", late)
        self._execute(text)
        if mute:
            while len(self._out) > before:
                self._out.pop()

    def _deactivate(self) -> None:
        for link in self.links.values():
            link.peer.close()
            link.state = "CLOSED"
        self.state = "PDP DEACT"
        self.line("+PDP: DEACT")

    def _ok(self, answer: str = "", delay_ms: int = 0) -> None:
        if answer:
            self.line(answer, delay_ms or self.answer_ms)
        self.line("OK", delay_ms or self.answer_ms)

    def _error(self, why: str = "operation not allowed") -> None:
        self.line(f"+CME ERROR: {why}" if self.words else "ERROR", self.answer_ms)

    def _execute(self, text: str) -> None:
        found = _find(text)
        if found is None:
            self.line("ERROR", self.answer_ms)
        else:
            method, groups = found
            method(self, *groups)

    def _plain(self, *_: str) -> None:
        self._ok()

    def _set_echo(self, value: str) -> None:
        self.echo = value == "1"
        self._ok()

    def _set_errors(self, value: str) -> None:
        self.words = value == "2"
        self._ok()

    def _ask_pin(self) -> None:
        if self.sim == "NOT INSERTED":
            self._error("SIM not inserted")
        else:
            self._ok(f"+CPIN: {self.sim}")

    def _enter_pin(self, pin: str) -> None:
        if self.sim == "SIM PIN" and pin == self.sim_pin:
            self.sim = "READY"
            self.wrong_pins = 0
            self._ok()
        else:
            self.wrong_pins += 1
            if self.wrong_pins == 3:
                self.sim = self._initial_sim = "SIM PUK"
            self._error("incorrect password")

    def _registration(self) -> None:
        self._creg_asked += 1
        done = self.sim == "READY" and self._creg_asked > self.registers_after
        if done and self.tells_time and not self._clock_set:
            self._clock_set = True
            self.line('*PSUTTZ: 2026,11,21,11,0,0,"+04",0')
        self._ok(f"+CREG: 0,{1 if done else 2}")

    def _attach(self) -> None:
        self.attached = True
        self._ok(delay_ms=50)

    def _shut(self) -> None:
        for link in self.links.values():
            link.peer.close()
        self.links.clear()
        self.state = "INITIAL"
        self.line("SHUT OK", 20)

    def _set_mux(self, value: str) -> None:
        if self.state != "INITIAL":
            self._error()
            return
        self.mux = value == "1"
        self._ok()

    def _set_quick(self, value: str) -> None:
        self.quick = value == "1"
        self._ok()

    def _set_manual(self, value: str) -> None:
        self.manual = value == "1"
        self._ok()

    def _set_apn(self, apn: str) -> None:
        if self.state != "INITIAL":
            self._error()
            return
        self.apn = apn
        self.state = "START"
        self._ok()

    def _activate(self) -> None:
        if self.state != "START" or not self.attached:
            self._error()
            return
        self.state = "GPRSACT"
        self._ok(delay_ms=100)

    def _address(self) -> None:
        if self.state not in ("GPRSACT", "STATUS", "PROCESSING"):
            self._error()
            return
        self.state = "STATUS"
        self.line("10.64.0.7", self.answer_ms)

    def _start(self, number: str, host: str, port: str) -> None:
        n = int(number)
        if not self.mux or self.state not in ("STATUS", "PROCESSING"):
            self._error()
            return
        link = self.links.get(n)
        if link and link.state != "CLOSED":
            self._error()
            self.line(f"{n}, ALREADY CONNECT")
            return
        self.state = "PROCESSING"
        self._ok()
        self.links[n] = Link(self.network.connect(host, int(port)), host, int(port))

    def _send(self, number: str, size: str) -> None:
        n, length = int(number), int(size)
        link = self.links.get(n)
        if not self.mux or link is None or link.state != "CONNECTED" or not 0 < length <= min(self.room, SEND_BYTES):
            self._error()
            return
        self._payload = bytearray()
        self._payload_for = (n, length)
        self.counts["prompt"] += 1
        # Faults: prompt/lost; prompt/late (ms); prompt/closed: the connection breaks while data is asked for;
        # prompt/mute: the data is taken without a word.
        late = 0
        self._payload_mute = False
        for what, argument in self.faults.get(("prompt", self.counts["prompt"]), ()):
            if what == "lost":
                return
            if what == "late":
                late = argument
            if what == "closed":
                self.close_link(n)
            self._payload_mute = what == "mute"
        self.emit(b"\r\n> ", self.answer_ms + late)

    def _rooms(self) -> None:
        for n, link in sorted(self.links.items()):
            if link.state == "CONNECTED":
                self.line(f"+CIPSEND: {n},{min(self.room, SEND_BYTES)}", self.answer_ms)
        self._ok()

    def _fetch(self, number: str, size: str) -> None:
        n, limit = int(number), int(size)
        link = self.links.get(n)
        gone = link is None or (link.state != "CONNECTED" and (self.discards_on_close or not link.data))
        if not self.mux or not self.manual or gone or not 0 < limit <= SEND_BYTES:
            self._error()
            return
        assert link is not None
        data = bytes(link.data[:limit])
        del link.data[:limit]
        self.payload_in += len(data)
        link.announced = bool(link.data)
        head = f"\r\n+CIPRXGET: 2,{n},{len(data)},{len(link.data)}\r\n".encode()
        self.emit(head + data + b"\r\nOK\r\n", self.answer_ms)

    def _close(self, number: str, _quick: str | None) -> None:
        n = int(number)
        link = self.links.get(n)
        if link is None or link.state == "CLOSED":
            self._error()
            return
        link.peer.close()
        link.state = "CLOSED"
        link.data.clear()
        self.line(f"{n}, CLOSE OK", 20)

    def _status(self, number: str) -> None:
        if not self.mux:
            self._error()
            return
        link = self.links.get(int(number))
        if link is None:
            self._ok(f'+CIPSTATUS: {number},,"","","","INITIAL"')
        else:
            self._ok(f'+CIPSTATUS: {number},0,"TCP","{link.host}","{link.port}","{link.state}"')

    def _clock(self) -> None:
        self._ok(f'+CCLK: "{self.network_clock if self._clock_set else "04/01/01,00:00:12+00"}"')

    def _power_down(self) -> None:
        self.line("NORMAL POWER DOWN", self.answer_ms)
        self.powered = False

    def _sync_clock(self) -> None:
        if not self._bearer:
            self._error()
            return
        self._ok()
        self._clock_set = True
        self.line("+CNTP: 1", 500)

    def _open_bearer(self) -> None:
        self._bearer = True
        self._ok(delay_ms=200)


_COMMANDS = [
    (re.compile(pattern, re.IGNORECASE), method)
    for pattern, method in (
        (r"AT", Sim800._plain),
        (r"ATE([01])", Sim800._set_echo),
        (r"AT\+CMEE=([012])", Sim800._set_errors),
        (r"AT\+(?:IFC=\d,\d|CLTS=1|CNMI=[\d,]+|GSMBUSY=1)", Sim800._plain),
        (r"AT\+CPIN\?", Sim800._ask_pin),
        (r'AT\+CPIN="(\d+)"', Sim800._enter_pin),
        (r"AT\+SPIC", lambda self: self._ok(f"+SPIC: {3 - self.wrong_pins},10,0,10")),
        (r"AT\+CREG\?", Sim800._registration),
        (r"AT\+CSQ", lambda self: self._ok("+CSQ: 18,0")),
        (r"AT\+CGATT=1", Sim800._attach),
        (r"AT\+CIPSHUT", Sim800._shut),
        (r"AT\+CIPMUX=([01])", Sim800._set_mux),
        (r"AT\+CIPMUX\?", lambda self: self._ok(f"+CIPMUX: {int(self.mux)}")),
        (r"AT\+CIPQSEND=([01])", Sim800._set_quick),
        (r"AT\+CIPRXGET=([01])", Sim800._set_manual),
        (r"AT\+CIPRXGET=2,(\d),(\d+)", Sim800._fetch),
        (r'AT\+CSTT="([^"]*)","[^"]*","[^"]*"', Sim800._set_apn),
        (r"AT\+CIICR", Sim800._activate),
        (r"AT\+CIFSR", Sim800._address),
        (r'AT\+CIPSTART=([0-5]),"TCP","([^"]+)","(\d+)"', Sim800._start),
        (r"AT\+CIPSEND=([0-5]),(\d+)", Sim800._send),
        (r"AT\+CIPSEND\?", Sim800._rooms),
        (r"AT\+CIPCLOSE=([0-5])(?:,([01]))?", Sim800._close),
        (r"AT\+CIPSTATUS=([0-5])", Sim800._status),
        (r"AT\+CCLK\?", Sim800._clock),
        (r"AT\+CPOWD=1", Sim800._power_down),
        (r'AT\+SAPBR=3,1,"[A-Z]+","[^"]*"', Sim800._plain),
        (r"AT\+SAPBR=1,1", Sim800._open_bearer),
        (r'AT\+CNTP(?:CID=1|="[^"]+",\d+)', Sim800._plain),
        (r"AT\+CNTP", Sim800._sync_clock),
    )
]


@lru_cache(4096)
def _find(text: str) -> tuple[Any, tuple[Any, ...]] | None:
    for pattern, method in _COMMANDS:
        match = pattern.fullmatch(text)
        if match:
            return method, match.groups()
    return None
