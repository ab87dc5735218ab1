"""The stream between Mbed TLS and the transport.

During the handshake it watches the server's records go by and hands out the issuer name of every
certificate in the Certificate message, before Mbed TLS sees that message. It reads them in Mbed TLS's
own record buffer and copies nothing but the name at hand, so it works for any fragmentation: the
parser below asks for a few bytes at a time and does not care in how many pieces they come.
After the handshake it only notes whether the transport ended.
"""

import io
from errno import EAGAIN, EIO, ETIMEDOUT

from micropython import const
from time import ticks_diff, ticks_ms

# TLS record and handshake types: RFC 5246, 6.2.1 and 7.4; RFC 8446, 5.1.
_ALERT = const(21)
_HANDSHAKE = const(22)
_APPLICATION_DATA = const(23)
_CHANGE_CIPHER_SPEC = const(20)
_CERTIFICATE = const(11)

# What a handshake has shown so far (HandshakeObserver.seen).
NOTHING = const(0)
TLS_RECORDS = const(1)
CERTIFICATE = const(2)
ENCRYPTED = const(3)  # nothing more can be read

# MicroPython's stream protocol: py/stream.h.
_POLL = const(3)
_CLOSE = const(4)
_POLL_READ = const(1)
_POLL_WRITE = const(4)


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
        self._on_issuer = on_issuer
        self._deadline_ms = deadline_ms
        self.error = None
        self.ended = False
        self.seen = NOTHING
        self.refusal = None  # why the server's flight was refused: words, or its first bytes if they are no TLS record
        self.encrypted = False  # the Certificate message was, or will be, encrypted (TLS 1.3)
        self.alert = None  # description of a fatal alert that the server sent in clear
        self._poller = None
        self._head = bytearray(5)  # of the record at hand
        self._got = 0  # bytes of it
        self._type = 0
        self._left = 0  # bytes of the record's body that have not come yet
        self._messages = self._parse_messages()
        self._want = next(self._messages)

    # The stream protocol: what Mbed TLS calls.

    def readinto(self, buffer):
        try:
            n = self._sock.readinto(buffer)
            if self._deadline_ms is not None:
                while n is None or self._left_ms() <= 0:  # also a server that never lets us wait
                    self._wait(_POLL_READ)
                    n = self._sock.readinto(buffer)
            if n:
                if self.seen < ENCRYPTED:
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
            return n
        except BaseException as error:
            return self._keep(error)

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
        self._messages = self._want = self._head = self._small = self._on_issuer = self._poller = None
        self.seen = ENCRYPTED
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
        try:
            n = self._sock.readinto(buffer)
        except BaseException as error:
            return self._keep(error)
        if n == 0:
            self.ended = True
        return n

    def _keep(self, error):
        number = error.errno if isinstance(error, OSError) else EIO
        if number == EAGAIN and (self._deadline_ms is None or self._left_ms() > 0):
            return None
        self.error = error
        return -number if isinstance(number, int) and 0 < number < 256 else -EIO

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
                if self._type == _HANDSHAKE:
                    self._feed(data, at, at + n)
                elif self._type == _ALERT:
                    self.alert = data[at + n - 1]  # level, then description: RFC 5246, 7.2
                self._left -= n
            else:
                n = min(5 - self._got, end - at)
                self._head[self._got : self._got + n] = data[at : at + n]
                self._got += n
                if self._got == 5 and not self._start_record():
                    return
            at += n

    def _start_record(self):
        """A record header is complete. Returns whether to go on watching."""
        self._got = 0
        self._type = self._head[0]
        self._left = self._head[3] << 8 | self._head[4]
        if not _CHANGE_CIPHER_SPEC <= self._type <= _APPLICATION_DATA or self._head[1] != 3:
            if self.seen == NOTHING:
                self.refusal = bytes(self._head)
            return False
        if self.seen == NOTHING:
            self.seen = TLS_RECORDS
        if self._type == _CHANGE_CIPHER_SPEC or self._type == _APPLICATION_DATA:
            # From here on everything is encrypted.
            self.encrypted = self.seen != CERTIFICATE
            self.seen = ENCRYPTED
            return False
        return True

    def _feed(self, data, at, end):
        """Gives the message parser the bytes it waits for. It yields what it wants next: a memoryview to be filled,
        a number of bytes to be passed over, or a negative number of bytes that belong at the end of `_small`."""
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

    def _parse_messages(self):
        """Handshake messages up to the server's Certificate (RFC 5246, 7.4 and 7.4.2)."""
        small = self._small = bytearray(4)
        yield -4
        while small[0] != _CERTIFICATE:
            n = _u24(small)
            if n:
                yield n
            yield -4
        self.seen = CERTIFICATE
        left = _u24(small)
        if left > self.MAX_CERTIFICATE_MESSAGE:
            self.refusal = "its Certificate message has %d bytes, the limit is %d" % (
                left, self.MAX_CERTIFICATE_MESSAGE)
            return
        yield -3  # the length of the list, which is the rest of the message
        left -= 3
        count = 0
        while left > 3:
            count += 1
            if count > self.MAX_CERTIFICATES:
                self.refusal = "it sent more than %d certificates" % self.MAX_CERTIFICATES
                return
            yield -3
            size = _u24(small)
            left -= 3 + size
            if left < 0:
                return  # nonsense, as Mbed TLS will find
            # Certificate and TBSCertificate are gone into; then version (absent in v1), serial number and signature
            # algorithm are passed over; then comes the issuer (RFC 5280, 4.1).
            field = 0
            while size >= 2:
                yield -2
                size -= 2
                tag = small[2]
                n = small[3]
                more = 0
                if n & 0x80:
                    more = n & 0x7F
                    if not 1 <= more <= 2 or size < more:
                        break
                    yield -more
                    size -= more
                    n = small[3] if more == 1 else small[2] << 8 | small[3]
                if n > size:
                    break
                if field < 2:
                    if tag != 0x30:
                        break
                    field += 1
                elif field < 4:
                    if n:
                        yield n
                    size -= n
                    if tag != 0xA0:
                        field += 1
                else:
                    if tag == 0x30 and n <= self.MAX_NAME:
                        name = bytearray(2 + more + n)
                        name[0] = tag
                        if more:
                            name[1] = 0x80 | more
                            name[2 : 2 + more] = small[-more:]
                        else:
                            name[1] = n
                        if n:
                            yield memoryview(name)[2 + more :]
                        size -= n
                        self._on_issuer(bytes(name))
                        name = None
                    break
            if size:
                yield size


def _u24(data):
    """The integer in the last three of four bytes."""
    return data[1] << 16 | data[2] << 8 | data[3]
