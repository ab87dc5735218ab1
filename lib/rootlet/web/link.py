"""A connection of the HTTP client, and the time that it has.

What may have to wait is a generator here. Under asyncio it is awaited, because MicroPython's coroutines are generators;
without it `finish` runs it, and `Link` waits for the socket itself. So everything above is written once.
"""

from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

_POLL_READ = const(1)  # py/stream.h
_POLL_WRITE = const(4)


def finish(steps):
    """Runs a generator that waits by itself, to its end. Returns what it returns."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


class Link:
    """A non-blocking `connection` to `origin` over the socket `sock`. `reused`: it has served a request before."""

    reused = False

    def __init__(self, origin, connection, sock):
        self.origin = origin
        self.connection = connection
        self.sock = sock
        self._poller = None
        self._deadline_ms = None
        self._idle_ms = None

    def limit(self, deadline_ms, idle_ms):
        """From now on nothing may go on after `deadline_ms` (value of `ticks_ms`), and no wait may be longer than
        `idle_ms`. None: for ever."""
        self._deadline_ms = deadline_ms
        self._idle_ms = idle_ms

    def close(self):
        self.connection.close()

    def left_ms(self):
        """How long the next wait may be, -1: for ever. Raises DeadlineError when the time is over."""
        if self._deadline_ms is None:
            return -1 if self._idle_ms is None else self._idle_ms
        left_ms = ticks_diff(self._deadline_ms, ticks_ms())
        if left_ms <= 0:
            self._late("%s takes too long altogether")
        return left_ms if self._idle_ms is None else min(left_ms, self._idle_ms)

    def wait(self, to_write=False):
        """Until the socket is ready. Raises DeadlineError."""
        if not (yield from self._ready(to_write, self.left_ms())):
            self.left_ms()
            self._late("%s is silent")

    def until(self, steps):
        """Runs the generator `steps`, which yields whenever there is nothing to read."""
        for _ in steps:
            yield from self.wait()

    def write(self, data):
        data = memoryview(data)
        while len(data):
            n = self.connection.write(data)
            if n:
                data = data[n:]
                self.left_ms()
            else:
                yield from self.wait(True)

    def is_quiet(self):
        """Whether nothing waits to be read. Between two requests anything would be the connection's end, or an answer
        that nobody asked for."""
        try:
            return self.connection.readinto(bytearray(1)) is None
        except OSError:
            return False

    def _ready(self, to_write, left_ms):
        return self._poll(_POLL_WRITE if to_write else _POLL_READ, left_ms)
        yield  # a generator, as that of asyncio is

    def _poll(self, flags, left_ms):
        if self._poller is None:
            from select import poll

            self._poller = poll()
            self._poller.register(self.sock, flags)
        self._poller.modify(self.sock, flags)
        return bool(self._poller.poll(left_ms))

    def _late(self, message):
        from ..errors import DeadlineError

        raise DeadlineError(message % self.origin[1])


def after(timeout_ms):
    """The value of `ticks_ms` in `timeout_ms`; None for None. Raises ConfigError."""
    try:
        return None if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
    except (TypeError, OverflowError):
        from ..settings import refuse_time

        refuse_time(timeout_ms)
