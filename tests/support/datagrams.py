"""A bad line for datagrams: loses, repeats and delays them by a script."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterable, Iterator

PASS, DROP, TWICE, LATE = "pass", "drop", "twice", "late"


class BadLine:
    """Carries datagrams between a client of `port` and the server at `server_port`.

    `to_server` and `to_client` say what happens to each datagram of a direction: DROP, TWICE, LATE (after the next one
    of that direction); all that come after their end pass. `sizes` has the bytes of every datagram of the server,
    `client_sizes` those of the client's.
    """

    def __init__(self, server_port: int, to_server: Iterable[str] = (), to_client: Iterable[str] = ()) -> None:
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self.port: int = self._front.getsockname()[1]
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back.connect(("127.0.0.1", server_port))
        self._fates = {self._front: iter(to_server), self._back: iter(to_client)}
        self._held: dict[socket.socket, bytes] = {}
        self._client: object = None
        self._stop, self._stopped = socket.socketpair()
        self.sizes: list[int] = []
        self.client_sizes: list[int] = []
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self) -> BadLine:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._thread.join(5)
        for end in (self._front, self._back, self._stopped):
            end.close()

    def _carry(self) -> None:
        while True:
            ready, _, _ = select.select([self._front, self._back, self._stopped], [], [])
            if self._stopped in ready:
                return
            for end in ready:
                try:
                    data, sender = end.recvfrom(65535)
                except ConnectionRefusedError:
                    continue
                if end is self._front:
                    self._client = sender
                    self.client_sizes.append(len(data))
                else:
                    self.sizes.append(len(data))
                for datagram in self._suffer(end, data):
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
        try:
            if end is self._front:
                self._back.send(data)
            elif self._client is not None:
                self._front.sendto(data, self._client)  # type: ignore[arg-type]
        except ConnectionRefusedError:
            pass
