"""DTLS for asyncio. Imported only when asked for: `dtls.connect_async`.

MicroPython's asyncio has no datagram transports. Here a task waits for the socket as it would for a stream's, and comes
back now and then while the handshake lasts, because Mbed TLS looks at its timers only when it is called.
"""

from asyncio import sleep_ms
from errno import EAGAIN
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

from .aio import _in_time, _until_ready
from .dtls import DatagramConnection, begin, explained
from .dtls_observer import MAX_DATAGRAM

_CLOSE_NOTIFY = const(-0x7880)  # MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY: mbedtls/ssl.h
_UNSEEN = const(-0x2700)  # MBEDTLS_ERR_X509_CERT_VERIFY_FAILED
_POLL_READ = const(1)
_STEP_MS = const(20)  # what waiting may add to the time that an answer takes
_TURN_MS = const(50)  # how often Mbed TLS gets to look at its timers, the shortest of which is 1 s


class AsyncDatagramConnection(DatagramConnection):
    """Datagrams to and from one verified server. Made by `dtls.connect_async`.

    The end of a DTLS handshake cannot be told from a forged message that looks like it, until something has gone or
    come through Mbed TLS; so `cipher` is None before, and what only the handshake needs is kept until then.
    """

    _first = None  # a datagram that came with the end of the handshake

    def __init__(self, handshake, sock, mtu, timeout_ms):
        """`timeout_ms`: of the handshake."""
        self._deadline_ms = ticks_add(ticks_ms(), timeout_ms)
        super().__init__(handshake, sock, mtu)

    async def handshake(self):
        handshake = self._handshake
        try:
            while True:
                self._first = self._receive(MAX_DATAGRAM)
                if self._first is not None:
                    return
                if handshake.observer.over and handshake.verified:
                    return
                await self._readable(_TURN_MS)
        except BaseException:
            self.close()
            raise

    async def send(self, data, timeout_ms=10_000):
        """Sends `data` as one datagram, at most `max_bytes`. It may get lost without notice. Raises TLSError."""
        deadline_ms = ticks_add(ticks_ms(), timeout_ms)
        if not self._handshake.over and ticks_diff(self._deadline_ms, deadline_ms) > 0:
            # What looked like its end may not have been it: a message before it was lost, and Mbed TLS asks again.
            deadline_ms = self._deadline_ms
        self._check_size(data)
        while True:
            try:
                n = self._stream.send(data)
            except BaseException as error:
                if not isinstance(error, OSError) or error.errno != EAGAIN or self._stream is None:
                    raise self._fail(error)
                n = None
            if n is not None:
                self._began()
                return n
            if ticks_diff(deadline_ms, ticks_ms()) <= 0:
                from .errors import DeadlineError

                self.close()
                raise DeadlineError("%s does not take a datagram" % self._handshake.host)
            await self._readable(_TURN_MS)  # the handshake was not over, or the network stack has no room

    async def recv(self, n=MAX_DATAGRAM, timeout_ms=None):
        """As DatagramConnection's: one datagram, None when none came in time, b"" at the end. Raises TLSError."""
        if self._first is not None:
            data, self._first = self._first, None
            return data[:n]
        deadline_ms = None if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
        while True:
            data = self._receive(n)
            if data is not None:
                return data
            left_ms = None if self._handshake.over else _TURN_MS
            if deadline_ms is not None:
                left_ms = ticks_diff(deadline_ms, ticks_ms())
                if left_ms <= 0:
                    return None
                if not self._handshake.over:
                    left_ms = min(left_ms, _TURN_MS)
            await self._readable(left_ms)

    def cipher(self):
        """(cipher suite name, DTLS version) as Mbed TLS calls them; None before a datagram has gone or come."""
        return super().cipher() if self._handshake.over else None

    def close(self):
        stream = self._stream
        super().close()
        if stream is not None and not self._handshake.over:
            self._handshake.free()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()

    def _receive(self, n):
        data = super()._receive(n)
        if data is not None:
            handshake = self._handshake
            if not data and not handshake.over and not (handshake.observer.over and handshake.verified):
                raise self._fail(OSError(_CLOSE_NOTIFY))  # in the middle of the handshake: nobody has shown who he is
            self._began()
        return data

    def _began(self):
        if not self._handshake.over:
            if not self._handshake.verified:
                raise self._fail(OSError(_UNSEEN))
            self._handshake.established()

    def _fail(self, error):
        if self._stream is None or self._handshake.over:
            return super()._fail(error)
        self.close()  # before the handshake frees what the stream uses
        return self._handshake.fail(error)

    async def _readable(self, ms):
        """Until there is something to read, at most for `ms`; None: however long that takes. Other tasks get a turn."""
        if ms is None:
            await _until_ready(self._sock, False)
            return
        # Not by asyncio's wait_for_ms: who is cancelled in it may be cancelled once more, later and anywhere, by the
        # task that it makes (extmod/asyncio/funcs.py, _run).
        until_ms = ticks_add(ticks_ms(), ms)
        step_ms = 0
        while True:
            await sleep_ms(step_ms)
            left_ms = ticks_diff(until_ms, ticks_ms())
            if left_ms <= 0 or self._handshake.observer._poll(_POLL_READ):
                return
            step_ms = min(step_ms + 2, _STEP_MS, left_ms)


async def connect(host, port, context, server_hostname, address, timeout_ms, mtu):
    """See dtls.connect_async."""
    from .settings import deadline

    deadline(timeout_ms)
    handshake, sock = begin(host, port, context, server_hostname, address, None)
    try:
        connection = AsyncDatagramConnection(handshake, sock, mtu, timeout_ms)
        return (await _in_time(_shaken(connection), timeout_ms, host))[0]
    except OSError as error:
        raise explained(error, handshake)


async def _shaken(connection):
    await connection.handshake()
    return connection
