"""What the emulated modem connects to: real TCP."""

from __future__ import annotations

import socket
from typing import Protocol


class Peer(Protocol):
    """One TCP connection as the modem's network sees it. `state`: connecting, open, closed (by the peer), refused."""

    state: str

    def poll(self) -> None: ...
    def send(self, data: bytes) -> None: ...
    def receive(self, limit: int) -> bytes: ...
    def close(self) -> None: ...


class Network(Protocol):
    def connect(self, host: str, port: int) -> Peer: ...


class TcpPeer:
    def __init__(self, address: tuple[str, int]) -> None:
        self.state = "connecting"
        self._out = bytearray()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        try:
            self.socket.connect(address)
        except BlockingIOError:
            pass
        except OSError:
            self.state = "refused"

    def poll(self) -> None:
        if self.state in ("closed", "refused"):
            return
        if self.state == "connecting":
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self.state = "refused"
            else:
                try:
                    self.socket.getpeername()
                    self.state = "open"
                except OSError:
                    return
        try:
            while self._out:
                del self._out[: self.socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self.state = "closed"

    def send(self, data: bytes) -> None:
        self._out += data
        self.poll()

    def receive(self, limit: int) -> bytes:
        self.poll()
        if self.state != "open":
            return b""
        try:
            data = self.socket.recv(limit)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self.state = "closed"
        return data

    def close(self) -> None:
        self.poll()
        self.state = "closed"
        self.socket.close()


class TcpNetwork:
    """Real TCP. `names` is the operator's name server: host name to address."""

    def __init__(self, names: dict[str, str] | None = None) -> None:
        self.names = names or {}

    def connect(self, host: str, port: int) -> TcpPeer:
        return TcpPeer((self.names.get(host, host), port))
