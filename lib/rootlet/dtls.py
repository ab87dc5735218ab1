"""DTLS 1.2 (RFC 6347): TLS on datagrams, for CoAP and its like. Imported only when asked for.

Datagrams get lost. Mbed TLS repeats its flights after 1 s, 2 s, 4 s and so on.
"""

import tls
from errno import EAGAIN
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const
from rootlet import forget

from .dtls_observer import MAX_DATAGRAM, DatagramObserver
from .handshake import Handshake

_OVERHEAD = const(85)  # IPv6, UDP and record headers, and what encryption adds with GCM: 40 + 8 + 13 + 24 at most
_POLL_READ = const(1)


class DatagramHandshake(Handshake):
    PROTOCOL = getattr(tls, "PROTOCOL_DTLS_CLIENT", None)
    Observer = DatagramObserver

    def __init__(self, context, *arguments):
        super().__init__(context, *arguments)
        self.psk = context.psk

    def fail(self, error):
        forget("dtls_flight")
        return super().fail(error)


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
    from .settings import deadline

    handshake, sock = begin(host, port, context, server_hostname, address, deadline(timeout_ms))
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
