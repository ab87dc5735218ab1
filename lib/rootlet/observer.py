"""The stream between Mbed TLS and the transport: it keeps time and errors, and lets the handshake be watched.

What a handshake shows is read in flight.py, which is let go of when there is nothing more to be seen. This here stays
as long as the connection, so it is small: what is rarely set has its value in the class, where it takes no room in the
object.
"""

import io
from errno import EAGAIN, EIO, ETIMEDOUT
from select import poll  # here: an import looks through the file system first, even for a module of the firmware

import rootlet
from micropython import const
from time import ticks_diff, ticks_ms

# MicroPython's stream protocol: py/stream.h.
_POLL = const(3)
_CLOSE = const(4)
_POLL_READ = const(1)
_POLL_WRITE = const(4)

_DONE = const(2)


class HandshakeObserver(io.IOBase):
    """Passes bytes between `sock` and Mbed TLS; `on_issuer(name)` is called with the DER of each issuer Name in the
    server's Certificate message, before Mbed TLS sees that message.

    `deadline_ms`: value of `ticks_ms` at which everything must be done. `sock` must then be non-blocking, because a
    blocking read returns only when the whole record is there, and a server may send it as slowly as it likes.
    None: the transport's own time-outs hold, and a non-blocking `sock` shows through.

    Never raises: an exception of the transport or of `on_issuer` is kept in `error` and Mbed TLS gets a negative
    errno, because an exception would leave Mbed TLS's C frames without their clean-up.

    `ended` is true once the transport has reported its end. Mbed TLS reports the end of a stream in the same way
    with and without close_notify; with it, it never asks the transport again, so `ended` tells the two apart.
    """

    error = None
    ended = False
    seen = 0  # what the handshake has shown so far: see flight.py
    refusal = None  # why the server's flight was refused: words, or its first bytes if they are no TLS record
    encrypted = False  # the Certificate message was, or will be, encrypted (TLS 1.3)
    certificate_requested = False  # the server asked, in clear, for the client's certificate
    alert = None  # description of a fatal alert that the server sent in clear
    finishing = 0  # flight.py: 1: the record at hand ends the handshake; _DONE: it was the last
    over = False  # the handshake is over: Mbed TLS asked for what comes after it
    wants_write = False  # the transport could not take what it was given last
    dry = False  # the transport had nothing for now
    quota = -1  # records that may be read for now; -1: any number
    _in_body = False  # Mbed TLS asks for a header, then for the body, and for no byte more than that
    _poller = None

    def __init__(self, sock, on_issuer, deadline_ms=None):
        self._sock = sock
        self.deadline_ms = deadline_ms
        self._flight = rootlet.flight.watch(self, on_issuer)
        next(self._flight)

    # The stream protocol: what Mbed TLS calls.

    def readinto(self, buffer):
        if self.finishing == _DONE:
            self.over = True
        if not self.quota:
            return None
        try:
            self.wants_write = False
            n = self._sock.readinto(buffer)
            if self.deadline_ms is not None:
                while n is None or ticks_diff(self.deadline_ms, ticks_ms()) <= 0:  # also when it never lets us wait
                    self._wait(_POLL_READ)
                    n = self._sock.readinto(buffer)
        except BaseException as error:
            return self._keep(error)
        if not n:
            if n == 0:
                self.ended = True
            else:
                self.dry = True
            return n
        whole = n == len(buffer)
        if whole:
            # The rest of a record's header, or of its body, after which one record less may follow.
            if self._in_body:
                self._in_body = False
                if self.quota > 0:
                    self.quota -= 1
            elif n < 2 or buffer[n - 1] or buffer[n - 2]:  # not an empty record, which has no body to ask for
                self._in_body = True
        if self._flight:
            # Nothing that goes wrong here is the transport's: EAGAIN of a file must not look like "nothing for now".
            try:
                self._flight.send(buffer if whole else memoryview(buffer)[:n])
                if self.refusal:
                    return -EIO
            except StopIteration:
                self._flight = None
                if self.refusal:
                    return -EIO
            except BaseException as error:
                return self._blame(error)
        return n

    def write(self, buffer):
        try:
            n = self._sock.write(buffer)
            if self.deadline_ms is not None:
                while n is None:
                    self._wait(_POLL_WRITE)
                    n = self._sock.write(buffer)
        except BaseException as error:
            if self._flight:
                try:
                    from rootlet.flight import last_word

                    number = last_word(self, self._sock, error)
                except BaseException as another:
                    return self._blame(another)
                if number:
                    return number
            return self._keep(error)
        self.wants_write = n is None
        if self.encrypted:
            # TLS 1.3: the client's Finished comes last, and before it the client sends nothing encrypted.
            self.finishing = _DONE
        return n

    def ioctl(self, request, argument):
        try:
            if request == _POLL:
                return self._poll(argument)
            if request == _CLOSE:
                self._sock.close()
                return 0
        except BaseException as error:
            return self._keep(error)
        return -1

    def setblocking(self, flag):
        self._sock.setblocking(flag)

    def established(self):
        """The handshake is over: watch no more, keep no deadline."""
        self._flight = self._poller = self.deadline_ms = None

    def _keep(self, error):
        """What Mbed TLS is told about `error`, which the transport raised."""
        if isinstance(error, OSError) and error.errno == EAGAIN:
            if self.deadline_ms is None or ticks_diff(self.deadline_ms, ticks_ms()) > 0:
                self.dry = True
                return None
        return self._blame(error)

    def _blame(self, error):
        self.error = error
        number = error.errno if isinstance(error, OSError) else None
        return -number if isinstance(number, int) and 0 < number < 256 and number != EAGAIN else -EIO

    def _wait(self, flags):
        """Until the transport is ready or the deadline is over, which raises."""
        left_ms = ticks_diff(self.deadline_ms, ticks_ms())
        if left_ms <= 0 or not self._poll(flags, left_ms):
            raise OSError(ETIMEDOUT)

    def _poll(self, flags, timeout_ms=0):
        # Sockets have no ioctl that Python could call; a poll object asks them.
        if self._poller is None:
            self._poller = poll()
            self._poller.register(self._sock, flags)
        else:
            self._poller.modify(self._sock, flags)
        ready = self._poller.poll(timeout_ms)
        return ready[0][1] if ready else 0
