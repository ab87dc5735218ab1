"""One TCP connection through a modem, with the methods of a MicroPython socket."""

import io
from errno import EBADF, ECONNRESET, EHOSTUNREACH, ETIMEDOUT

from micropython import const

# What becomes of a connection, in this order.
WAITING = const(0)
CONNECTING = const(1)
OPEN = const(2)
CLOSING = const(3)
CLOSED = const(4)

# MicroPython's stream protocol: py/stream.h.
_POLL = const(3)
_CLOSE = const(4)
_POLL_READ = const(1)
_POLL_WRITE = const(4)
_EINVAL = const(22)

_CLOSE_MS = const(5000)


class ModemStream(io.IOBase):
    """Made by `SIM800.connect`. Blocking with a time-out like a socket; a poll object can wait for it.

    Failures are OSError: ETIMEDOUT, ECONNRESET (the connection broke), ECONNABORTED (the modem was reset, or it and the
    driver lost each other), EBADF (closed). The end of the stream does not say whether the peer closed or vanished:
    the modem reports both as CLOSED.
    """

    def __init__(self, modem, host, port, rx_bytes):
        self._modem = modem
        self.host = host
        self.port = port
        self.id = -1
        self.state = WAITING
        self.error = 0  # errno of what broke it
        self.pending = False  # the modem holds data for us, or may do so
        self.announced = False  # it said so
        self.left = 0  # how much it said was left
        self.peer_closed = False
        self.refusals = 0
        self.checked_ms = 0
        self.rx = memoryview(bytearray(rx_bytes))
        self.rx_at = self.rx_end = 0
        self._timeout_ms = None

    # What the application and Mbed TLS call.

    def readinto(self, buffer, n=None):
        """Bytes read, at least one unless it is the end (0) or, when not blocking, there are none yet (None)."""
        if not self._until(self._readable):
            return self._not_ready()
        n = min(len(buffer) if n is None else n, self.rx_end - self.rx_at)
        if n:
            memoryview(buffer)[:n] = self.rx[self.rx_at : self.rx_at + n]
            self.rx_at += n
        elif len(buffer):
            self._check()
        return n

    def read(self, n=-1):
        """At most `n` bytes as they come; without `n`, all up to the end."""
        if n >= 0:
            data = bytearray(min(n, len(self.rx)))
            got = self.readinto(data)
            return None if got is None else bytes(data[:got])
        parts = []
        while True:
            data = self.read(len(self.rx))
            if not data:
                return data if data is None and not parts else b"".join(parts)
            parts.append(data)

    def readline(self, limit=-1):
        """One line with its end of line, at most `limit` bytes of it; without one at the end, or, when not blocking,
        what has come of it (None: nothing)."""
        line = b""
        while line[-1:] != b"\n" and len(line) != limit:
            if not self._until(self._readable):
                return line if line and self._timeout_ms == 0 else self._not_ready()
            end = self.rx_end if limit < 0 else min(self.rx_end, self.rx_at + limit - len(line))
            piece = bytes(self.rx[self.rx_at : end])
            if not piece:
                self._check()
                break
            piece = piece[: piece.find(b"\n") + 1] or piece
            self.rx_at += len(piece)
            line += piece
        return line

    def write(self, buffer, n=None):
        """Sends `buffer`, or, when not blocking, takes what fits into one send of the modem (None: nothing now)."""
        buffer = memoryview(buffer)
        if n is not None:
            buffer = buffer[:n]
        done = 0
        while done < len(buffer):
            ready = self._until(self._writable)
            if ready:
                self._check(True)
                done += self._modem.queue(self, buffer[done:])
            if self._timeout_ms == 0:
                return done if ready else None
            # A socket would go on sending by itself. This one works only while it is called.
            if not ready or not self._until(self._sent):
                return done or self._not_ready()
            self._check()
        return done

    def settimeout(self, seconds):
        self._timeout_ms = None if seconds is None else int(seconds * 1000)

    def setblocking(self, flag):
        self._timeout_ms = None if flag else 0

    def close(self):
        if self.state >= CLOSING:
            return
        self.state = CLOSING
        if self._timeout_ms == 0:
            self._modem.pump()
            return
        self._timeout_ms = _CLOSE_MS
        self._until(self._closed)

    def ioctl(self, request, argument):
        # Must not raise: Mbed TLS or a poll object may be the caller.
        if request == _POLL:
            self._modem.pump()
            ready = 0
            if argument & _POLL_READ and self._readable():
                ready = _POLL_READ
            if argument & _POLL_WRITE and self._writable():
                ready |= _POLL_WRITE
            return ready
        if request == _CLOSE:
            self.close()
            return 0
        return -_EINVAL

    # What the modem calls.

    def fail(self, errno):
        if self.state < CLOSING:
            self.error = errno
            self.state = CLOSING

    def on_connected(self):
        if self.state == CONNECTING:
            self.state = OPEN

    def on_refused(self):
        if self.state == CONNECTING:
            self.fail(EHOSTUNREACH)

    def on_data(self):
        self.announced = self.pending = True

    def on_closed(self):
        self.peer_closed = True
        self.pending = True  # what came before is still to be fetched
        if self.state == CONNECTING:
            self.fail(ECONNRESET)

    # Inside.

    def _readable(self):
        return self.rx_at < self.rx_end or self.state >= CLOSING or (self.peer_closed and not self.pending)

    def _writable(self):
        return self._modem.may_queue(self) or self.state >= CLOSING or self.peer_closed

    def _sent(self):
        return self._modem.tx_stream is not self

    def _closed(self):
        return self.state == CLOSED

    def _check(self, writing=False):
        if self.error:
            raise OSError(self.error)
        if self.state >= CLOSING:
            raise OSError(EBADF)
        if writing and self.peer_closed:
            raise OSError(ECONNRESET)

    def _not_ready(self):
        if self._timeout_ms == 0:
            return None
        raise OSError(ETIMEDOUT)

    def _until(self, ready):
        """Works until `ready()` or until the time-out is over; returns which."""
        modem = self._modem
        clock = modem.clock
        if ready():
            return True
        modem.pump()
        if self._timeout_ms != 0:
            start_ms = clock.ticks_ms()
            while not ready():
                if self._timeout_ms is not None and clock.ticks_diff(clock.ticks_ms(), start_ms) >= self._timeout_ms:
                    return False
                if not modem.pump():
                    clock.sleep_ms(1)
        return ready()
