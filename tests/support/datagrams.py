"""What stands on the way of datagrams, in a thread; and a bad line, which loses, repeats and delays by a script."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

PASS, DROP, TWICE, LATE = "pass", "drop", "twice", "late"
_Relay = TypeVar("_Relay", bound="Relay")


class Relay(ABC):
    """Gets datagrams on `front`, whose port is `port`, and on every other socket that it listens to. Derived classes
    say in `received` what becomes of them. Use as a context manager; its sockets are closed at the end."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._stop, self._stopped = socket.socketpair()
        self._selector.register(self._stopped, selectors.EVENT_READ)
        self.front = self.listen()
        self.front.bind(("127.0.0.1", 0))
        self.port: int = self.front.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def listen(self, server_port: int | None = None) -> socket.socket:
        """A new socket to listen to, connected to a server of this machine if one is named."""
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if server_port is not None:
            end.connect(("127.0.0.1", server_port))
        self._selector.register(end, selectors.EVENT_READ)
        return end

    def forget(self, end: socket.socket) -> None:
        self._selector.unregister(end)
        end.close()

    @abstractmethod
    def received(self, end: socket.socket, data: bytes, sender: Any) -> None: ...

    def __enter__(self: _Relay) -> _Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._thread.join(5)
        for key in list(self._selector.get_map().values()):
            self.forget(key.fileobj)  # type: ignore[arg-type]
        self._selector.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                end: Any = key.fileobj
                if end is self._stopped:
                    return
                if end.fileno() < 0:  # forgotten since
                    continue
                with contextlib.suppress(ConnectionRefusedError):  # the server does not listen yet, or any more
                    self.received(end, *end.recvfrom(65535))


class BadLine(Relay):
    """Carries datagrams between a client of `port` and the server at `server_port`.

    `to_server` and `to_client` say what happens to each datagram of a direction: DROP, TWICE, LATE (after the next one
    of that direction); all that come after their end pass. `sizes` has the bytes of every datagram of the server,
    `client_sizes` those of the client's.
    """

    def __init__(self, server_port: int, to_server: Iterable[str] = (), to_client: Iterable[str] = ()) -> None:
        super().__init__()
        self._back = self.listen(server_port)
        self._fates = {self.front: iter(to_server), self._back: iter(to_client)}
        self._held: dict[socket.socket, bytes] = {}
        self._client: Any = None
        self.sizes: list[int] = []
        self.client_sizes: list[int] = []

    def received(self, end: socket.socket, data: bytes, sender: Any) -> None:
        if end is self.front:
            self._client = sender
            self.client_sizes.append(len(data))
        else:
            self.sizes.append(len(data))
        for datagram in self._suffer(end, data):
            with contextlib.suppress(ConnectionRefusedError):
                self._pass_on(end, datagram)

    def _suffer(self, end: socket.socket, data: bytes) -> Iterator[bytes]:
        fate = next(self._fates[end], PASS)
        if fate == LATE and end not in self._held:
            self._held[end] = data
            return
        if fate != DROP:
            yield data
        if fate == TWICE:
            yield data
        if end in self._held:
            yield self._held.pop(end)

    def _pass_on(self, end: socket.socket, data: bytes) -> None:
        if end is self.front:
            self._back.send(data)
        elif self._client is not None:
            self.front.sendto(data, self._client)
