"""Verified connections for asyncio: `open_connection`, and the stream it returns.

While Mbed TLS computes, nothing else runs; between its steps, and while it waits for the network, everything does.
"""

from asyncio import CancelledError, core, create_task, sleep_ms
from errno import EINPROGRESS

from micropython import const

_IN_PROGRESS = (EINPROGRESS, 115, 119)  # ports mix the numbers of Linux and of lwIP
_POLL_WRITE = const(4)
_POLL_FAILED = const(24)  # error or hang-up


class Stream:
    """Reader and writer in one, with the methods of asyncio's own Stream. Errors are TLSErrors; the stream is closed
    then.

    One task may read while another writes.
    """

    def __init__(self, connection, sock):
        self._connection = connection
        self._sock = sock
        self._first = b""  # came while the handshake was waited for
        self._unsent = b""
        # What asyncio.Stream has, too.
        self.s = connection

    def get_extra_info(self, name):
        return {"peercert": self.peer_certificate, "cipher": self.cipher}.get(name, lambda: None)()

    def cipher(self):
        return self._connection.cipher()

    def peer_certificate(self):
        return self._connection.peer_certificate()

    async def handshake(self):
        """Brings the handshake to its end."""
        byte = bytearray(1)
        while True:
            got = self._connection.readinto(byte)
            if got:
                self._first = bytes(byte)
            if got is not None or self._connection.is_established():
                return
            await _until_ready(self._sock, self._connection.wants_write())

    async def readinto(self, buffer):
        """Fills the beginning of `buffer` with what there is, at least one byte; 0 at the end."""
        if self._first and len(buffer):
            buffer[0] = self._first[0]
            self._first = b""
            return 1
        while True:
            got = self._connection.readinto(buffer)
            if got is not None:
                return got
            await _until_ready(self._sock, False)

    async def read(self, n=-1):
        """Up to `n` bytes, at least one; b"" at the end. Without `n` everything up to the end."""
        if n == 0:
            return b""
        buffer = bytearray(512 if n < 0 else n)
        data = b""
        while True:
            got = await self.readinto(buffer)
            data += memoryview(buffer)[:got]
            if n >= 0 or not got:
                return data

    async def readexactly(self, n):
        """`n` bytes. Raises EOFError if the stream ends before."""
        data = bytearray(n)
        view = memoryview(data)
        got = 0
        while got < n:
            more = await self.readinto(view[got:])
            if not more:
                raise EOFError
            got += more
        return bytes(data)

    async def readline(self, limit=-1):
        """One line with its end of line; what is left at the end of the stream; at most `limit` bytes, if it is given:
        else a server can send a line that fills the memory."""
        line = b""
        while line[-1:] != b"\n" and len(line) != limit:
            if self._first:
                piece, self._first = self._first, b""
            else:
                piece = self._connection.readline(-1 if limit < 0 else limit - len(line))
            if piece:
                line += piece
            elif piece is None:
                await _until_ready(self._sock, False)
            else:
                break
        return line

    def write(self, data):
        """Takes `data`; `drain` sends what the network cannot take at once."""
        if not self._unsent:
            sent = self._connection.write(data)
            if sent == len(data):
                return
            if sent:
                data = data[sent:]
        self._unsent += data

    async def drain(self):
        while self._unsent:
            self._connection._check_open()  # nobody would wake who waits for a closed socket
            await _until_ready(self._sock, True)
            sent = self._connection.write(self._unsent)
            if sent:
                self._unsent = self._unsent[sent:]

    def close(self):
        self._connection.close()

    async def wait_closed(self):
        self.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()


async def open_connection(host, port, context, server_hostname=None, address=None, timeout_ms=10_000, transport=None):
    """Like `rootlet.connect`, for asyncio. Returns (reader, writer), which are the same Stream.

    Name resolution blocks, as everywhere in MicroPython; everything else gives way to other tasks. `timeout_ms` limits
    all of it together. When the task is cancelled nothing stays open. Raises what `connect` raises.
    """
    from .settings import deadline

    deadline(timeout_ms)  # what is no time would end `_expire`, and with it the time limit
    if context.trace is not None:
        opening = context.trace.open(_open, host, port, context, server_hostname, address, timeout_ms, transport)
    else:
        opening = _open(host, port, context, server_hostname, address, timeout_ms, transport)
    return await _in_time(opening, timeout_ms, "%s port %d" % (address or host, port))


async def upgrade(stream, server_hostname, context, timeout_ms=10_000):
    """Like `rootlet.upgrade`, for asyncio. `stream`: either of what asyncio.open_connection gave, with nothing left to
    drain. Returns (reader, writer), which are the same Stream."""
    from .settings import deadline
    from .starttls import check_silence

    sock = stream.s
    try:
        deadline(timeout_ms)
        check_silence(sock, server_hostname)
        if hasattr(sock, "setsockopt"):
            from .dial import send_at_once

            send_at_once(sock)
        handshake = _begin(sock, server_hostname, context)
    except BaseException:
        sock.close()
        raise
    return await _in_time(_shake(handshake, sock), timeout_ms, server_hostname)


async def _in_time(opening, timeout_ms, who):
    # asyncio's wait_for would run all this in a task of its own, and drop a connection that is made at the very moment
    # at which the caller is cancelled. So the time-out cancels this task, wherever it waits.
    expired = []
    guard = create_task(_expire(core.cur_task, timeout_ms, expired))
    try:
        stream = await opening
    except CancelledError as error:
        if not expired:
            raise
        from .errors import DeadlineError

        raise DeadlineError("%s does not answer in time" % who, None, error)
    finally:
        guard.cancel()
    return stream, stream


async def _expire(task, timeout_ms, expired):
    await sleep_ms(timeout_ms)
    expired.append(True)
    task.cancel()


async def _open(host, port, context, server_hostname, address, timeout_ms, transport):
    server_hostname = server_hostname or host
    again = False
    while True:
        sock = await dial(address or host, port, timeout_ms, transport)
        handshake = None
        try:
            handshake = _begin(sock, server_hostname, context)
            return await _shake(handshake, sock)
        except BaseException as error:
            sock.close()
            if again or handshake is None or not handshake.retry or not isinstance(error, Exception):
                raise error
            again = True


def _begin(sock, server_hostname, context):
    sock.setblocking(False)
    return context.handshake(sock, server_hostname, None)


async def _shake(handshake, sock):
    """Runs `handshake`; returns the Stream. Nothing stays open when it fails."""
    connection = handshake.connect()
    stream = Stream(connection, sock)
    try:
        await stream.handshake()
    except BaseException:
        connection.close()
        raise
    return stream


async def dial(address, port, timeout_ms, transport):
    """A connected stream to `address`. The caller keeps the time."""
    try:
        if transport is not None:
            return await transport.connect_async(address, port, timeout_ms)
        import socket

        from .dial import resolve, send_at_once

        for family, kind, protocol, _, where in resolve(address, port):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                try:
                    sock.connect(where)
                except OSError as error:
                    if error.errno not in _IN_PROGRESS:
                        raise
                await _until_ready(sock, True)
                _check_connected(sock, where)
                send_at_once(sock)
                return sock
            except BaseException as error:
                sock.close()
                failure = error
                if not isinstance(error, OSError):
                    raise
        raise failure
    except OSError as error:
        from .diagnosis import from_dial

        raise from_dial(error, address, port)


# async
def _until_ready(sock, to_write):
    """Until `sock` can be written to, or read."""
    queue = core._io_queue
    yield queue.queue_write(sock) if to_write else queue.queue_read(sock)


def _check_connected(sock, where):
    """Raises OSError if connecting in the background failed: a socket can be written to in that case, too."""
    from select import poll

    poller = poll()
    poller.register(sock, _POLL_WRITE)
    for ready in poller.ipoll(0):
        if ready[1] & _POLL_FAILED:
            sock.connect(where)  # says why not
            raise OSError(103)  # ECONNABORTED; it did not
