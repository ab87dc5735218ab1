"""DTLS 1.2 (RFC 6347): TLS on datagrams, for CoAP and its like. Imported only when asked for.

Datagrams get lost, come twice and in any order. Mbed TLS repeats its flights after 1 s, 2 s, 4 s and so on, and sorts
what comes; the observer below has to do the same to see the server's Certificate message before Mbed TLS does.
"""

import tls
from errno import EAGAIN, ETIMEDOUT
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

from .flight import MAX_CERTIFICATE_MESSAGE
from .handshake import Handshake
from .observer import HandshakeObserver

_CHANGE_CIPHER_SPEC = const(20)  # RFC 5246, 6.2.1
_ALERT = const(21)
_HANDSHAKE = const(22)
_CERTIFICATE = const(11)  # RFC 5246, 7.4
_CERTIFICATE_REQUEST = const(13)
_RECORD_HEADER = const(13)  # type, version (2), epoch (2), sequence number (6), length (2): RFC 6347, 4.1
_MESSAGE_HEADER = const(12)  # type, length (3), sequence number (2), fragment's offset (3) and length (3): 4.2.2
_MAX_FRAGMENTS = const(64)
MAX_DATAGRAM = const(2048)
_OVERHEAD = const(80)  # IPv6, UDP and record headers, and what encryption adds with GCM: 40 + 8 + 13 + 24 at most
_POLL_READ = const(1)
_TURN_MS = const(10)  # how often Mbed TLS gets to look at its timers


class DatagramObserver(HandshakeObserver):
    """As HandshakeObserver, for datagrams. `sock` must not block."""

    def __init__(self, sock, on_issuer, deadline_ms=None):
        super().__init__(sock, on_issuer, deadline_ms)
        self._wanted = on_issuer is not None  # the Certificate message, as long as it was not read
        self._certificate = None  # the message as far as it came
        self._pieces = []  # [start, end] of what came, sorted and apart
        self.answered = False  # the server takes part in the handshake
        self._last = 0  # bits: ChangeCipherSpec came, Finished (or what looks like it) came

    def readinto(self, buffer):
        try:
            if self._last == 3:
                # Mbed TLS has taken both and asks for more. A forged or damaged Finished looks the same.
                self.over = True
            datagram = self._receive(len(buffer))
            if datagram is None:
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
            if self._flight:
                self._watch_datagram(datagram)
                if self.refusal:
                    return -5  # EIO
            buffer[: len(datagram)] = datagram
            return len(datagram)
        except BaseException as error:
            return self._blame(error)

    def write(self, buffer):
        try:
            return self._sock.send(buffer)
        except BaseException as error:
            return self._keep(error)

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

    def established(self):
        self._certificate = self._pieces = None
        super().established()

    def _watch_datagram(self, data):
        """Looks at the records of a datagram. What makes no sense is left to Mbed TLS, which passes over it."""
        at = 0
        while at + _RECORD_HEADER <= len(data):
            end = at + _RECORD_HEADER + (data[at + 11] << 8 | data[at + 12])
            if end > len(data) or data[at + 1] != 0xFE:
                return
            if not (data[at + 3] or data[at + 4]):  # epoch 0: in clear
                start = at + _RECORD_HEADER
                if data[at] == _HANDSHAKE:
                    self.answered = True
                    self._watch_messages(data, start, end)
                elif data[at] == _ALERT and end - start == 2 and data[start] == 2:
                    self.alert = data[start + 1]
                elif data[at] == _CHANGE_CIPHER_SPEC:
                    self._last |= 1
            elif data[at] == _HANDSHAKE:
                self._last |= 2
            at = end

    def _watch_messages(self, data, at, end):
        while at + _MESSAGE_HEADER <= end and not self.refusal:
            size = data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]
            offset = data[at + 6] << 16 | data[at + 7] << 8 | data[at + 8]
            n = data[at + 9] << 16 | data[at + 10] << 8 | data[at + 11]
            start = at + _MESSAGE_HEADER
            if start + n > end or offset + n > size:
                return
            if data[at] == _CERTIFICATE_REQUEST:
                self.certificate_requested = True
            elif data[at] == _CERTIFICATE and self._wanted:
                self._add(size, offset, memoryview(data)[start : start + n])
            at = start + n

    def _add(self, size, offset, fragment):
        """A piece of the Certificate message came. The whole is read when the last piece is there."""
        if size > MAX_CERTIFICATE_MESSAGE:
            self.refusal = "its Certificate message has %d bytes, the limit is %d" % (size, MAX_CERTIFICATE_MESSAGE)
            return
        whole = self._certificate
        if whole is None:
            # With the header that the message would have in TLS.
            self._certificate = whole = bytearray(4 + size)
            whole[0] = _CERTIFICATE
            whole[1], whole[2], whole[3] = size >> 16, size >> 8 & 0xFF, size & 0xFF
        elif len(whole) != 4 + size:
            return
        end = offset + len(fragment)
        whole[4 + offset : 4 + end] = fragment
        self._pieces = _merged(self._pieces, offset, end)
        if len(self._pieces) > _MAX_FRAGMENTS:
            self.refusal = "it sent its certificates in more than %d pieces" % _MAX_FRAGMENTS
        elif self._pieces[0] == [0, size]:
            self._read_certificates(whole)
            self._certificate = None
            self._wanted = False

    def _read_certificates(self, message):
        # As TLS would bring it: in a record.
        n = len(message)
        self._flight.send(bytes((_HANDSHAKE, 3, 3, n >> 8, n & 0xFF)) + message)


def _merged(pieces, start, end):
    """`pieces` (sorted, apart) and the one from `start` to `end`, sorted and apart again."""
    result = []
    for piece in pieces:
        if piece[1] < start or piece[0] > end:
            result.append(piece)
        else:
            start = min(start, piece[0])
            end = max(end, piece[1])
    result.append([start, end])
    result.sort()
    return result


class DatagramHandshake(Handshake):
    PROTOCOL = getattr(tls, "PROTOCOL_DTLS_CLIENT", None)
    Observer = DatagramObserver

    def __init__(self, context, *arguments):
        super().__init__(context, *arguments)
        self.psk = context.psk


class DatagramConnection:
    """Datagrams to and from one verified server. Made by `connect`."""

    def __init__(self, handshake, sock, mtu):
        self._handshake = handshake
        self._sock = sock
        self._stream = handshake.run()
        sock.setblocking(False)
        self.max_bytes = mtu - _OVERHEAD

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        """Sends `data` as one datagram, at most `max_bytes`. It may get lost without notice. Raises TLSError."""
        self._check_size(data)
        try:
            return self._stream.send(data)
        except BaseException as error:
            raise self._fail(error)

    def _check_size(self, data):
        if len(data) > self.max_bytes:
            from .errors import ConfigError

            raise ConfigError(
                "%d bytes do not fit into a datagram, %d do" % (len(data), self.max_bytes),
                "Send less at a time (CoAP: block-wise transfer, RFC 7959), or raise mtu",
            )

    def recv(self, n=MAX_DATAGRAM, timeout_ms=None):
        """The content of one datagram, of at most `n` bytes: give room for all that can come.

        None when none came within `timeout_ms` (None: no limit), b"" when the server has ended the connection. Raises
        TLSError.
        """
        deadline_ms = None if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
        while True:
            data = self._receive(n)
            if data is not None:
                return data
            left_ms = -1
            if deadline_ms is not None:
                left_ms = ticks_diff(deadline_ms, ticks_ms())
                if left_ms <= 0:
                    return None
            self._handshake.observer._poll(_POLL_READ, left_ms)

    def _receive(self, n):
        """What Mbed TLS has of at most `n` bytes, None if nothing."""
        try:
            return self._stream.recv(n)
        except OSError as error:
            if error.errno == EAGAIN:
                return None
            raise self._fail(error)
        except BaseException as error:
            raise self._fail(error)

    def close(self):
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()  # also closes the transport

    def cipher(self):
        """(cipher suite name, DTLS version) as Mbed TLS calls them."""
        if self._stream is None:
            raise self._fail(None)
        return self._stream.cipher()

    def peer_certificate(self):
        """DER of the server's certificate; None with a pre-shared key, or if there was no memory to keep it."""
        return self._handshake.peer_certificate

    def anchor_names(self):
        """Subjects (DER of a Name, bytes) of the trust anchors that were loaded for this connection."""
        return self._handshake.anchor_names

    def _fail(self, error):
        if self._stream is None:
            from .errors import TLSError

            return TLSError("%s: the connection is closed" % self._handshake.host, "Connect again", OSError(9))
        from .diagnosis import from_stream

        error = from_stream(error, self._handshake.observer, self._handshake.host)
        self.close()
        return error


def connect(host, port, context, server_hostname=None, address=None, timeout_ms=30_000, mtu=1280):
    """A DatagramConnection to `host`, verified like `rootlet.connect`, by certificate or pre-shared key.

    `timeout_ms` limits the handshake. On a bad line it takes several repeats, each after twice the time of the one
    before. `mtu`: size in bytes of the largest IP packet that passes everywhere on the way (1280: as IPv6 demands).

    Raises what `rootlet.connect` raises, UnsupportedError on firmware without DTLS. Nothing is left open then.
    """
    handshake, sock = begin(host, port, context, server_hostname, address, ticks_add(ticks_ms(), timeout_ms))
    try:
        return DatagramConnection(handshake, sock, mtu)
    except OSError as error:
        raise explained(error, handshake)


async def connect_async(host, port, context, server_hostname=None, address=None, timeout_ms=30_000, mtu=1280):
    """Like `connect`, for asyncio: a dtls_aio.AsyncDatagramConnection, whose `send` and `recv` are awaited."""
    from .dtls_aio import connect

    return await connect(host, port, context, server_hostname, address, timeout_ms, mtu)


def begin(host, port, context, server_hostname, address, deadline_ms):
    """(handshake that is ready to run, its socket)."""
    if DatagramHandshake.PROTOCOL is None:
        from .errors import UnsupportedError

        raise UnsupportedError("this firmware has no DTLS", "Use MicroPython 1.25 or later, or TLS on TCP")
    if context.trace is not None:
        return context.trace.connect(begin, host, port, context, server_hostname, address, deadline_ms)
    sock = _open(address or host, port)
    try:
        return context.handshake(sock, server_hostname or host, deadline_ms, DatagramHandshake), sock
    except BaseException:
        sock.close()
        raise


def explained(error, handshake):
    """`error`, with a remedy that only DTLS needs."""
    from .errors import DeadlineError

    if handshake.psk and handshake.observer.answered and isinstance(error, DeadlineError):
        # A record that fails its integrity check is dropped without a word: RFC 6347, 4.1.2.7.
        error.remedy += ". With DTLS this is also how another pre-shared key shows: compare identity and key"
    return error


def _open(address, port):
    import socket

    from .dial import resolve

    sock = None
    try:
        family, _, _, _, where = resolve(address, port)[0]
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.connect(where)  # from now on the network stack drops what others send
        return sock
    except OSError as error:
        if sock is not None:
            sock.close()
        from .diagnosis import from_dial

        raise from_dial(error, address, port)
