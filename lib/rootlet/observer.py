"""The stream between Mbed TLS and the transport.

During the handshake it watches the server's records go by and hands out the issuer name of every
certificate in the Certificate message, before Mbed TLS sees that message. It reads them in Mbed TLS's
own record buffer and copies nothing but the name at hand, whatever pieces they come in.
After the handshake it only notes whether the transport ended.
"""

import io
from errno import EAGAIN, EIO, ETIMEDOUT

from micropython import const
from time import ticks_diff, ticks_ms

from .certificate_message import read_issuers

# TLS record and handshake types: RFC 5246, 6.2.1 and 7.4; RFC 8446, 5.1.
_ALERT = const(21)
_HANDSHAKE = const(22)
_APPLICATION_DATA = const(23)
_FATAL = const(2)
_FATAL_ALERT = const(-0x7780)  # MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE
_CHANGE_CIPHER_SPEC = const(20)

# What a handshake has shown so far (HandshakeObserver.seen).
NOTHING = const(0)
TLS_RECORDS = const(1)
CERTIFICATE = const(2)
ENCRYPTED = const(3)  # what comes from here on cannot be read

# MicroPython's stream protocol: py/stream.h.
_POLL = const(3)
_CLOSE = const(4)
_POLL_READ = const(1)
_POLL_WRITE = const(4)

_LAST_RECORD = const(1)
_DONE = const(2)


class HandshakeObserver(io.IOBase):
    """Passes bytes between `sock` and Mbed TLS; `on_issuer(name)` is called with the DER of each issuer Name.

    `deadline_ms`: value of `ticks_ms` at which the handshake is given up. `sock` must then be non-blocking, because a
    blocking read returns only when the whole record is there, and a server may send it as slowly as it likes.
    None: the caller keeps the time, and a non-blocking `sock` shows through.

    Never raises: an exception of the transport or of `on_issuer` is kept in `error` and Mbed TLS gets a negative
    errno, because an exception would leave Mbed TLS's C frames without their clean-up.

    `ended` is true once the transport has reported its end. Mbed TLS reports the end of a stream in the same way
    with and without close_notify; with it, it never asks the transport again, so `ended` tells the two apart.
    """

    # Limits on what a server may send; see docs/threat-model.md.
    MAX_CERTIFICATE_MESSAGE = 16384
    MAX_CERTIFICATES = 16
    MAX_NAME = 1024

    def __init__(self, sock, on_issuer, deadline_ms=None):
        self._sock = sock
        self.on_issuer = on_issuer
        self._deadline_ms = deadline_ms
        self.error = None
        self.ended = False
        self.seen = NOTHING
        self.refusal = None  # why the server's flight was refused: words, or its first bytes if they are no TLS record
        self.encrypted = False  # the Certificate message was, or will be, encrypted (TLS 1.3)
        self.certificate_requested = False  # the server asked, in clear, for the client's certificate
        self.alert = None  # description of a fatal alert that the server sent in clear
        self.over = False  # the handshake is over: Mbed TLS asked for what comes after it
        self.wants_write = False  # the transport could not take what it was given last
        self.dry = False  # after the handshake the transport had nothing for now
        self.quota = -1  # records that may be read for now; -1: any number
        self._in_body = False  # Mbed TLS asks for a header, then for the body, and for no byte more than that
        self._watching = True
        self._finishing = 0  # _LAST_RECORD: the record at hand ends the handshake; _DONE: it was the last
        self._poller = None
        self._head = bytearray(5)  # of the record at hand
        self._got = 0  # bytes of it
        self._type = 0
        self._left = 0  # bytes of the record's body that have not come yet
        self._small = bytearray(4)
        self._messages = read_issuers(self, self._small) if on_issuer else None
        self._want = next(self._messages) if on_issuer else None

    # The stream protocol: what Mbed TLS calls.

    def readinto(self, buffer):
        try:
            if self._finishing == _DONE:
                self.over = True
            if not self.quota:
                return None
            self.wants_write = False
            n = self._sock.readinto(buffer)
            if self._deadline_ms is not None:
                while n is None or self._left_ms() <= 0:  # also a server that never lets us wait
                    self._wait(_POLL_READ)
                    n = self._sock.readinto(buffer)
            if n:
                self._count(buffer, n)
                if self._watching:
                    self._watch(memoryview(buffer)[:n])
                    if self.refusal:
                        return -EIO
            elif n == 0:
                self.ended = True
            return n
        except BaseException as error:
            return self._keep(error)

    def write(self, buffer):
        try:
            n = self._sock.write(buffer)
            if self._deadline_ms is not None:
                while n is None:
                    self._wait(_POLL_WRITE)
                    n = self._sock.write(buffer)
            self.wants_write = n is None
            if self.encrypted:
                # TLS 1.3: the client's Finished comes last, and before it the client sends nothing encrypted.
                self._finishing = _DONE
            return n
        except BaseException as error:
            return self._last_word(error) or self._keep(error)

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

    # The rest of a socket's methods that Mbed TLS's socket passes on.

    def setblocking(self, flag):
        self._sock.setblocking(flag)

    def settimeout(self, seconds):
        self._sock.settimeout(seconds)

    def established(self):
        """The handshake is over: watch no more, keep no deadline."""
        self._messages = self._want = self._head = self._small = self.on_issuer = self._poller = None
        self._watching = False
        self.set_deadline(None)

    def set_deadline(self, deadline_ms):
        """From now on everything must be done by `deadline_ms` (value of `ticks_ms`); None: the transport's own
        time-outs hold."""
        self._deadline_ms = deadline_ms
        if deadline_ms is None:
            # Instances are looked up before classes: from here on one short function is between
            # Mbed TLS and the transport.
            self.readinto = self._read
        else:
            try:
                del self.readinto
            except AttributeError:
                pass

    def _read(self, buffer):
        if not self.quota:
            return None
        try:
            n = self._sock.readinto(buffer)
            if n:
                self._count(buffer, n)
            elif n == 0:
                self.ended = True
            else:
                self.dry = True
            return n
        except BaseException as error:
            return self._keep(error)

    def _count(self, buffer, n):
        """`n` bytes came. If they are the rest of a record, one less may follow."""
        if n < len(buffer):
            return
        if self._in_body:
            self._in_body = False
            if self.quota > 0:
                self.quota -= 1
        elif n < 2 or buffer[n - 1] or buffer[n - 2]:  # not an empty record, which has nothing to ask for
            self._in_body = True

    def _keep(self, error):
        number = error.errno if isinstance(error, OSError) else EIO
        if number == EAGAIN and (self._deadline_ms is None or self._left_ms() > 0):
            self.dry = True
            return None
        self.error = error
        return -number if isinstance(number, int) and 0 < number < 256 else -EIO

    def _last_word(self, error):
        """Writing failed during the handshake: the error code of a fatal alert if the server left one, else 0.

        A server that refuses closes at once, while Mbed TLS still has the rest of its flight to send. As it was not
        reading, what comes next begins a record.
        """
        if not self._watching or not isinstance(error, OSError) or error.errno == ETIMEDOUT:
            return 0
        last = bytearray(7)
        try:
            if self._sock.readinto(last) != 7 or last[0] != _ALERT or last[5] != _FATAL:
                return 0
        except OSError:
            return 0
        self.alert = last[6]
        return _FATAL_ALERT

    def _left_ms(self):
        return ticks_diff(self._deadline_ms, ticks_ms())

    def _wait(self, flags):
        """Until the transport is ready or the deadline is over, which raises."""
        left_ms = self._left_ms()
        if left_ms <= 0 or not self._poll(flags, left_ms):
            raise OSError(ETIMEDOUT)

    def _poll(self, flags, timeout_ms=0):
        # Sockets have no ioctl that Python could call; a poll object asks them.
        if self._poller is None:
            from select import poll

            self._poller = poll()
            self._poller.register(self._sock, flags)
        else:
            self._poller.modify(self._sock, flags)
        ready = self._poller.poll(timeout_ms)
        return ready[0][1] if ready else 0

    # Watching: records here, handshake messages in the generator below.

    def _watch(self, data):
        at = 0
        end = len(data)
        while at < end:
            if self._left:
                n = min(self._left, end - at)
                if self.seen == ENCRYPTED:
                    pass
                elif self._type == _HANDSHAKE:
                    self._feed(data, at, at + n)
                elif self._type == _ALERT:
                    self.alert = data[at + n - 1]  # level, then description: RFC 5246, 7.2
                self._left -= n
                if self._finishing and not self._left:
                    self._finishing = _DONE
                    self._watching = False
                    return
            else:
                n = min(5 - self._got, end - at)
                self._head[self._got : self._got + n] = data[at : at + n]
                self._got += n
                if self._got == 5:
                    self._start_record()
                    if not self._watching:
                        return
            at += n

    def _start_record(self):
        """A record header is complete."""
        self._got = 0
        self._type = self._head[0]
        self._left = self._head[3] << 8 | self._head[4]
        if not _CHANGE_CIPHER_SPEC <= self._type <= _APPLICATION_DATA or self._head[1] != 3:
            if self.seen == NOTHING:
                self.refusal = bytes(self._head)
            self._watching = False
            return
        if self.seen == NOTHING:
            self.seen = TLS_RECORDS
        if self._type == _APPLICATION_DATA:
            # TLS 1.3: from here on everything is encrypted.
            self.encrypted = self.seen < CERTIFICATE
            self.seen = ENCRYPTED
            self._watching = False
        elif self._type == _CHANGE_CIPHER_SPEC:
            # TLS 1.2: only Finished is left, encrypted. If the Certificate message has not come, it is TLS 1.3, which
            # has this record for old middleboxes only and may go on in clear (RFC 8446, D.4).
            if self.seen == CERTIFICATE or self.on_issuer is None:
                self.seen = ENCRYPTED
        elif self.seen == ENCRYPTED:
            self._finishing = _LAST_RECORD

    def _feed(self, data, at, end):
        """Gives the reader of the messages the bytes that it waits for."""
        while at < end and self._messages:
            want = self._want
            if not isinstance(want, int):
                n = min(len(want), end - at)
                want[:n] = data[at : at + n]
                want = want[n:]
            elif want < 0:
                n = 1  # byte by byte, because every slice of a memoryview would cost memory
                self._small[want] = data[at]
                want += 1
            else:
                n = min(want, end - at)
                want -= n
            at += n
            if want:  # an empty memoryview is false, too
                self._want = want
            else:
                try:
                    self._want = next(self._messages)
                except StopIteration:
                    self._messages = None
