"""Verified connections: the stream that `rootlet.connect` returns."""

import io
from time import ticks_add, ticks_ms

from micropython import const

from rootlet import connect  # noqa: F401 - has its home here for those who look for it beside Connection

_POLL = const(3)
_CLOSE = const(4)
_POLL_READ = const(1)
_POLL_INVALID = const(32)
_IN_A_ROW = const(16)  # records: more than a server's flight
_PEER_CLOSE_NOTIFY = const(-0x7880)
_UNSEEN = const(-0x2700)  # MBEDTLS_ERR_X509_CERT_VERIFY_FAILED


class Connection(io.IOBase):
    """A TLS stream with a socket's methods. Made by `connect` and `Context.wrap_socket`.

    Reading at the end of the stream returns nothing if the server closed it properly and raises TruncationError if it
    did not. Every failure raises a TLSError and closes the connection.

    With do_handshake_on_connect=False the handshake goes on with the reads and writes, which return None on a
    non-blocking transport until it is over, or raise what it failed with.
    """

    _idle = False  # nothing was read or written yet
    _timeout_s = None
    _refusal = None  # what the handshake failed with, in the middle of reads and writes
    _held = 0  # bytes of the last write that did not go, of which Mbed TLS may have made a record
    _poller = None

    def __init__(self, handshake, stream):
        """`stream`: what `handshake.run` returned."""
        self._observer = handshake.observer
        self._stream = stream
        self._blocking = handshake.over
        self._ended = False
        self._note(handshake)
        if not handshake.over:
            self._idle = True
            self._handshake = handshake

    def _note(self, handshake):
        """Keeps what the handshake found out, and nothing else of it."""
        self._handshake = None
        self._facts = handshake.host, handshake.peer_certificate, handshake.anchor_names, handshake.elapsed_ms
        if handshake.over and getattr(self._observer, "journal", None) is None:  # a trace looks at all that passes
            relay = _relay(self._observer)
            next(relay)
            self._observer.readinto = relay.send  # type: ignore[method-assign]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def read(self, n=-1):
        """Up to `n` bytes, fewer only at the end; without `n`, everything up to the end."""
        if self._ended:
            return b""
        try:
            data = self._take(self._stream.read, n)
        except BaseException as error:
            raise self._fail(error)
        if data:
            self._began()
        if data is not None and (n < 0 or len(data) < n):
            self._at_end(not data)
        return data

    def readinto(self, buffer, n=None):
        """Fills `buffer` (its first `n` bytes); returns how many bytes came, fewer only at the end."""
        if self._ended:
            return 0
        try:
            if n is None:
                n = len(buffer)
            # Straight away where that can be: `_take` allocates at every call.
            got = self._stream.readinto(buffer, n) if self._blocking else None
            if got is None:
                got = self._take(self._stream.readinto, buffer, n)
        except BaseException as error:
            raise self._fail(error)
        if got and self._handshake is not None:
            self._began()
        if got != n and got is not None:
            self._at_end(not got)
        return got

    def readline(self, limit=-1):
        """One line with its end of line; at most `limit` bytes; without one at the end of the stream."""
        if self._ended:
            return b""
        try:
            line = self._take(self._stream.readline, limit)
        except BaseException as error:
            raise self._fail(error)
        if line:
            self._began()
        if line is not None and line[-1:] != b"\n" and len(line) != limit:
            self._at_end(not line)
        return line

    def write(self, data, n=None):
        """Sends `data` (its first `n` bytes); returns how many bytes went.

        On a non-blocking transport fewer may go, or none (None): come again with the rest, and with more if you like.
        """
        if n is None:
            n = len(data)
        if n > self._held > 0:
            # Mbed TLS keeps a record that could not leave, and says of the next call that all it was given went,
            # however much that is (mbedtls_ssl_write: "must be called later with the *same* arguments").
            n = self._held
        self._idle = False
        if self._handshake is not None and not self._blocking:
            # A server can send warnings without end, and Mbed TLS would read them as long as they come.
            self._observer.quota = _IN_A_ROW
        try:
            went = self._stream.write(data, n)
        except BaseException as error:
            raise self._fail(error)
        self._observer.quota = -1
        self._held = n - (went or 0)
        if went:
            self._began()
        return went

    def close(self):
        """Closes the transport, too. Reads, writes and settings raise TLSError from then on."""
        if self._stream is not None:
            self._ended = False
            stream, self._stream = self._stream, None
            stream.close()  # also closes the transport
            if self._handshake is not None:
                self._handshake.free()

    def ioctl(self, request, argument):
        if request == _CLOSE:
            self.close()
            return 0
        if request == _POLL:
            if self._stream is None:
                return _POLL_INVALID  # an error would end asyncio's loop with all its tasks
            # Mbed TLS's socket has no ioctl that Python could call; a poll object asks it. asyncio waits this way.
            if self._poller is None:
                from select import poll

                self._poller = poll()
            # The client speaks first: who waits for the server before having written must be let in to read, too.
            idle = argument & _POLL_READ if self._idle else 0
            self._poller.register(self._stream, argument)
            for ready in self._poller.ipoll(0):
                return ready[1] | idle
            return idle
        return -1

    def setblocking(self, flag):
        self._check_open()
        self._observer.dry = False
        self._blocking = bool(flag)
        self._stream.setblocking(flag)

    def settimeout(self, seconds):
        """Limits each single wait for the transport to `seconds`; None waits for ever, 0 not at all."""
        self._check_open()
        self._timeout_s = seconds
        self._observer.dry = False
        self._blocking = seconds is None or seconds > 0
        try:
            self._observer._sock.settimeout(seconds)
        except BaseException as error:
            raise self._fail(error)

    def set_deadline(self, timeout_ms):
        """Gives everything from now on `timeout_ms` together; None ends that. A limit for each wait cannot stop a
        server that sends one byte at a time."""
        self._check_open()
        self._observer.deadline_ms = None if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
        if timeout_ms is None:
            self.settimeout(self._timeout_s)
        else:
            self._stream.setblocking(False)
            self._blocking = True  # seen from outside

    def cipher(self):
        """(cipher suite name, TLS version) as Mbed TLS calls them; None before the handshake is over."""
        self._check_open()
        # Mbed TLS has no names to give then, and MicroPython would read them from address 0.
        return self._stream.cipher() if self._handshake is None else None

    def peer_certificate(self):
        """DER of the server's certificate; None if there was no memory to keep it."""
        return self._facts[1]

    def anchor_names(self):
        """Subjects (DER of a Name, bytes) of the trust anchors that were loaded for this connection."""
        return self._facts[2]

    def handshake_ms(self):
        """How long the TLS handshake took, without dialling; None if it went on in the background."""
        return self._facts[3]

    def is_established(self):
        """Whether the handshake is over, also when it goes on with reads and writes."""
        # What only looks like the end must not end the verification: the observer reads what nobody authenticated.
        if self._observer.over and self._handshake and self._handshake.verified:
            self._began()
        return self._handshake is None

    def wants_write(self):
        """Whether the last read or write of a non-blocking transport has to wait until it can be written to."""
        return self._observer.wants_write

    def _take(self, read, *arguments):
        """What `read` returns for `arguments`."""
        if self._blocking:
            while not self._observer.dry:
                got = read(*arguments)
                if got is not None:
                    return got
                # A TLS 1.3 session ticket came, and nothing else.
            self._blocking = False  # somebody did that to the transport without telling us, as umqtt.simple2 does
        # MicroPython's streams read until they have all that was asked for, or until there is nothing more, and do not
        # tell whether that is so for now or for ever. So nothing may come together with the end: at first only what
        # Mbed TLS has already, then one record.
        self._idle = False
        observer = self._observer
        observer.quota = 0
        got = read(*arguments)
        if got is None:
            observer.quota = 1
            got = read(*arguments)
        observer.quota = -1
        return got

    def _began(self):
        """Something came or went, so the handshake is over, whoever completed it."""
        if self._handshake is not None:
            if not self._handshake.verified:
                raise self._fail(OSError(_UNSEEN))
            self._handshake.established()
            self._note(self._handshake)

    def _at_end(self, nothing_came):
        """A read came back short: is it the end, and a proper one?"""
        if not self.is_established():
            raise self._fail(OSError(_PEER_CLOSE_NOTIFY))
        if self._observer.ended:
            from rootlet.errors import TruncationError

            raise self._fail(TruncationError("%s ended the stream without close_notify" % self._facts[0]))
        if self._observer.dry:
            self._blocking = False  # somebody did that to the transport without telling us, as umqtt.simple2 does
        # A non-blocking read may be short because there is no more for now; nothing at all is the end.
        # Asking Mbed TLS again after close_notify would wait for the transport.
        if self._blocking or nothing_came:
            self._ended = True

    def _check_open(self):
        if self._stream is None:
            raise self._fail(None)

    def _fail(self, error):
        if self._stream is None:
            if self._refusal is not None:
                return self._refusal  # again: a client may have swallowed it the first time
            from rootlet.errors import TLSError

            # EBADF, as a closed socket says.
            return TLSError("%s: the connection is closed" % self._facts[0], "Connect again", OSError(9))
        if self._handshake is not None:
            self.close()  # before the handshake frees what the stream uses
            self._refusal = self._handshake.fail(error)
            return self._refusal
        from rootlet.diagnosis import from_stream

        error = from_stream(error, self._observer, self._facts[0])
        self.close()
        return error


def _relay(observer):
    """What `observer.readinto` is when nothing has to be watched any more: passes on what the transport brings.

    A generator, because that has its frame already. That of a function of this size is too large for the stack, so
    MicroPython would look for room in the heap twice a record (VM_MAX_STATE_ON_STACK in py/objfun.c), which took more
    time than all the rest. Never raises, for the observer's reasons, and leaves to it what is not plain: a deadline,
    and so many records.
    """
    sock = observer._sock
    in_body = observer._in_body
    observer.quota = -1  # in the object, where it is found sooner than in the class
    n = None
    while True:
        try:
            # Inside, because MicroPython raises an interrupt where a loop jumps back.
            while True:
                buffer = yield n
                if observer.quota >= 0 or observer.deadline_ms is not None:
                    observer._in_body = in_body
                    n = type(observer).readinto(observer, buffer)
                    in_body = observer._in_body
                    continue
                n = sock.readinto(buffer)
                if n == len(buffer):
                    in_body = not in_body  # nobody encrypts a record to nothing, so each has a body
                elif n == 0:
                    observer.ended = True
                elif n is None:
                    observer.dry = True
                    observer.wants_write = False
        except BaseException as error:
            n = observer._keep(error)
