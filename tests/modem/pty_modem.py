"""The emulated modem behind a pseudo-terminal, in real time, with real TCP on its other side.

As a program it prints the path of the pseudo-terminal and runs until it is interrupted, for trying the driver by hand.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import threading
import time
import tty
from pathlib import Path
from types import TracebackType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from emulator import Fault, Sim800
from far_end import TcpNetwork, TcpPeer


class PtyModem:
    """`path` is the board's UART. `to_board` and `from_board` count the bytes on it."""

    def __init__(
        self, names: dict[str, str] | None = None, faults: list[Fault] | tuple[Fault, ...] = (), **options: Any
    ) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        # Reads return what there is, as machine.UART's do: no byte need come (VMIN), none is waited for (VTIME).
        attributes = termios.tcgetattr(self._slave)
        attributes[6][termios.VMIN] = attributes[6][termios.VTIME] = 0
        termios.tcsetattr(self._slave, termios.TCSANOW, attributes)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self.modem = Sim800(TcpNetwork(names), faults, **{"registers_after": 0, **options})
        self.to_board = self.from_board = 0
        self._stop, self._stopper = os.pipe()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> PtyModem:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._stopper)
        self._thread.join(10)
        for link in self.modem.links.values():
            link.peer.close()
        for descriptor in (self._master, self._slave, self._stop):
            os.close(descriptor)

    def _run(self) -> None:
        waiting = b""
        while True:
            self.modem.advance(int((time.monotonic() - self._started) * 1000))
            waiting += self.modem.take()
            if waiting:
                with contextlib.suppress(BlockingIOError):
                    sent = os.write(self._master, waiting)
                    self.to_board += sent
                    waiting = waiting[sent:]
            sockets = []
            for link in self.modem.links.values():
                peer = link.peer
                if isinstance(peer, TcpPeer) and peer.state == "open" and len(link.data) < Sim800.HELD_BYTES:
                    sockets.append(peer.socket)
            readable, _, _ = select.select([self._master, self._stop, *sockets], [], [], 0.002)
            if self._stop in readable:
                return
            if self._master in readable:
                data = os.read(self._master, 4096)
                self.from_board += len(data)
                self.modem.receive(data)


if __name__ == "__main__":
    with PtyModem() as running:
        print(running.path, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(1)
