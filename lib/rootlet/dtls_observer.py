"""The stream between Mbed TLS and a datagram socket."""

from errno import EAGAIN, EIO, ETIMEDOUT
from time import ticks_diff, ticks_ms

from micropython import const
from rootlet import forget

from .observer import HandshakeObserver

MAX_DATAGRAM = const(2048)
_HANDSHAKE = const(22)  # RFC 5246, 6.2.1
_POLL_READ = const(1)
_TURN_MS = const(10)  # how often Mbed TLS gets to look at its timers
# Datagrams in a row after which there is "nothing for now": anybody can send what Mbed TLS passes over, without an end,
# and it would not come back to where a deadline is looked at, or another task can run.
_IN_A_ROW = const(16)


class DatagramObserver(HandshakeObserver):
    """As HandshakeObserver, for datagrams. `sock` must not block."""

    answered = False  # the server takes part in the handshake
    last = 0  # bits: ChangeCipherSpec came, Finished (or what looks like it) came
    _row = 0

    def __init__(self, sock, on_issuer, deadline_ms=None):
        from .dtls_flight import DatagramFlight

        super().__init__(sock, on_issuer, deadline_ms)
        self._watch = DatagramFlight(self, on_issuer is not None).watch

    def readinto(self, buffer):
        try:
            if self.last == 3:
                # Mbed TLS has taken both and asks for more. A forged or damaged Finished looks the same.
                self.over = True
            self._row += 1
            datagram = self._receive(len(buffer)) if self._row <= _IN_A_ROW else None
            if datagram is None:
                self._row = 0
                if self.deadline_ms is not None:
                    left_ms = ticks_diff(self.deadline_ms, ticks_ms())
                    if left_ms <= 0:
                        raise OSError(ETIMEDOUT)
                    # Mbed TLS asks again, having looked whether it is time to repeat something.
                    self._poll(_POLL_READ, min(_TURN_MS, left_ms))
                return None
        except BaseException as error:
            return self._keep(error)
        # Nothing that goes wrong here is the transport's: EAGAIN of a file must not look like "nothing for now".
        try:
            if self._watch:
                self._watch(datagram)
                if self.refusal:
                    return -EIO
            buffer[: len(datagram)] = datagram
            return len(datagram)
        except BaseException as error:
            return self._blame(error)

    def write(self, buffer):
        try:
            return self._sock.send(buffer)
        except BaseException as error:
            return self._keep(error)

    def take_certificates(self, message):
        """Reads a whole Certificate message as TLS would bring it: in a record."""
        n = len(message)
        self._flight.send(bytes((_HANDSHAKE, 3, 3, n >> 8, n & 0xFF)))
        self._flight.send(memoryview(message))

    def established(self):
        self._watch = None
        forget("dtls_flight")
        super().established()

    def _receive(self, limit):
        # readinto would go on with the next datagram where one ends.
        try:
            datagram = self._sock.recv(min(limit, MAX_DATAGRAM))
        except OSError as error:
            if abs(error.errno) == EAGAIN:
                return None
            raise
        return datagram or None  # an empty datagram is nothing, and no end

    def _keep(self, error):
        if isinstance(error, OSError) and error.errno == EAGAIN:
            return None
        return self._blame(error)
