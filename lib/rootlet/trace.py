"""What happens in a connection, as structured events. Imported only by who wants a trace; docs/trace.md lists the
events.

No event has a key, a password or a byte of what is sent over a connection: only what the handshake shows in clear to
everybody on the line, and what the board itself found out.
"""

from gc import mem_free
from time import ticks_diff, ticks_ms

from micropython import const

from .handshake import Handshake
from .observer import HandshakeObserver
from .wire import Offered, Records

_REFUSED = const(-0x3000)  # MBEDTLS_ERR_X509_FATAL_ERROR
_CLOSE = const(4)  # MicroPython's stream protocol: py/stream.h

# Levels.
PHASES = const(1)
DECISIONS = const(2)
RECORDS = const(3)


class Trace:
    """For Context(trace=…). One Trace serves any number of contexts and connections.

    level: 0 off, 1 phases and alerts, 2 also certificates, trust anchors and verdicts, 3 also every record.
    sink: called with each event, a dict; or the path of a file, which gets a line of JSON for each; default: the
    console. keep: how many events a failed connection's exception keeps in `trace`. limit_bytes: size at which the file
    is moved to PATH.old and begun anew.

    A sink that fails loses its events, which are counted in `lost`, and disturbs nothing else.
    """

    def __init__(self, level=PHASES, sink=None, keep=24, limit_bytes=65_536):
        self.level = level
        if sink is None or isinstance(sink, str):
            from .tracesinks import File, to_console

            sink = to_console if sink is None else File(sink, limit_bytes)
        self.sink = sink
        self.keep = keep
        self.lost = 0
        self._connections = 0

    # What rootlet itself, aio.py and dtls.py call.

    def handshake(self, context, sock, server_hostname, deadline_ms):
        """A traced Handshake over `sock`, which somebody else dialled."""
        journal = self._begin()
        try:
            return _Watched(context, journal).handshake(sock, server_hostname, deadline_ms)
        except BaseException as error:
            raise journal.failed(error)

    def connect(self, function, host, port, context, server_hostname, address, *more):
        """What `function` (rootlet.connect, dtls.begin) returns for these arguments."""
        journal = self._begin()
        journal.dial(address or host, port)
        try:
            return function(host, port, _Watched(context, journal), server_hostname, address, *more)
        except BaseException as error:
            raise journal.failed(error)

    async def open(self, function, host, port, context, server_hostname, address, timeout_ms, transport):
        """The same for aio."""
        journal = self._begin()
        journal.dial(address or host, port)
        try:
            context = _Watched(context, journal)
            return await function(host, port, context, server_hostname, address, timeout_ms, transport)
        except BaseException as error:
            raise journal.failed(error)

    def _begin(self):
        self._connections += 1
        return Journal(self, self._connections)


class Journal:
    """The events of one connection. `bytes_in` and `bytes_out` count what went over the transport."""

    def __init__(self, trace, number):
        self._trace = trace
        self._number = number
        self._began_ms = ticks_ms()
        self._events = []
        self._over = False
        self.offered = None  # the certificates that the server sent, as far as nobody has judged them
        self.level = trace.level
        self.bytes_in = self.bytes_out = 0

    def event(self, level, name, *fields):
        """Takes note of `name` if the trace's level is `level` or higher. `fields`: names and values in turn. Raises
        nothing: what is traced must not fail because of it."""
        trace = self._trace
        if level > trace.level:
            return
        try:
            event = {"connection": self._number, "ms": ticks_diff(ticks_ms(), self._began_ms), "event": name}
            for i in range(0, len(fields), 2):
                if fields[i + 1] is not None:
                    event[fields[i]] = fields[i + 1]
            if trace.level > PHASES or level == PHASES:
                event["free_bytes"] = mem_free()
            self._events.append(event)
            if len(self._events) > trace.keep:
                self._events.pop(0)
            trace.sink(event)
        except Exception:
            trace.lost += 1

    def dial(self, address, port):
        from .clock import now
        from .describe import time

        self.event(PHASES, "dial", "address", address, "port", port, "time", time(now()))

    def failed(self, error):
        """Notes that the connection failed, once, and returns `error` with the last events in `trace`."""
        if not self._over:
            self._over = True
            for fields in self.offered or ():
                self.event(DECISIONS, "certificate", *fields)
            name = type(error).__name__
            cause = getattr(error, "message", None)
            rule = getattr(error, "rule", None)
            # fmt: off
            self.event(PHASES, "failed", "error", name, "cause", cause, "rule", rule, "bytes_in", self.bytes_in,
                       "bytes_out", self.bytes_out, "largest_block_bytes", self.largest_block())
            # fmt: on
        if hasattr(error, "trace"):
            error.trace = tuple(self._events)
        return error

    def again(self):
        """The connection goes on after a failure: another attempt is made."""
        self._over = False
        self.offered = None

    def largest_block(self):
        if self.level < DECISIONS:
            return None
        from .tracesinks import largest_block

        return largest_block()


class _Watched:
    """A Context as one connection with a trace sees it."""

    trace = None

    def __init__(self, context, journal):
        self._context = context
        self.journal = journal
        self.stores = context.stores
        if journal.level >= DECISIONS:
            from .tracesinks import WatchedStore

            self.stores = [WatchedStore(store, journal) for store in context.stores]

    def __getattr__(self, name):
        return getattr(self._context, name)

    def handshake(self, sock, server_hostname, deadline_ms, kind=None):
        self.journal.again()
        self.journal.event(PHASES, "connected", "host", server_hostname)
        if kind is None:
            kind = TracedHandshake
        else:
            from .trace_dtls import TracedDatagramHandshake as kind

        def make(_, *arguments):
            return kind(self, *arguments)

        return self._context.handshake(sock, server_hostname, deadline_ms, make)


def watching(base, begin):
    """A kind of the observer `base` that tells its journal what goes by. `begin(observer)` returns the two functions
    that get each piece, of what came and of what went."""

    class WatchingObserver(base):
        tells_end = False  # the handshake was over

        def __init__(self, journal, sock, on_issuer, deadline_ms):
            self.journal = journal
            self._came, self._went = begin(self)
            super().__init__(sock, on_issuer, deadline_ms)

        # Mbed TLS calls these: nothing may be raised.

        def readinto(self, buffer):
            return self._tell(super().readinto(buffer), buffer, False)

        def write(self, buffer):
            return self._tell(super().write(buffer), buffer, True)

        def _tell(self, n, buffer, out):
            try:
                if n and n > 0:
                    if out:
                        self.journal.bytes_out += n
                    else:
                        self.journal.bytes_in += n
                    (self._went if out else self._came)(memoryview(buffer)[:n])
            except BaseException as error:
                return self._blame(error)
            return n

        def ioctl(self, request, argument):
            if request == _CLOSE and self.tells_end:
                journal = self.journal
                # fmt: off
                journal.event(PHASES, "closed", "bytes_in", journal.bytes_in, "bytes_out", journal.bytes_out,
                              "transport_ended", self.ended)
                # fmt: on
            return super().ioctl(request, argument)

        def established(self):
            self.tells_end = True
            super().established()

    return WatchingObserver


def _records(observer):
    journal = observer.journal
    return Records(journal, "in", Offered(journal)).feed, Records(journal, "out").feed


TracedObserver = watching(HandshakeObserver, _records)


def traced(base, observer):
    """A kind of the handshake `base` that tells its context's journal; `observer`: what it makes."""

    class TracedHandshake(base):
        _stream = None

        def __init__(self, context, sock, server_hostname, deadline_ms):
            self._journal = context.journal
            super().__init__(context, sock, server_hostname, deadline_ms)

        def Observer(self, sock, on_issuer, deadline_ms):
            return observer(self._journal, sock, on_issuer, deadline_ms)

        def run(self):
            journal = self._journal
            journal.event(PHASES, "handshake", "host", self.host, "largest_block_bytes", journal.largest_block())
            stream = super().run()
            self._stream = stream
            if self.over:
                self._tell()
            return stream

        def established(self):
            super().established()
            if self._stream is not None:
                self._tell()

        def fail(self, error):
            return self._journal.failed(super().fail(error))

        def _tell(self):
            journal = self._journal
            suite, version = self._stream.cipher()
            self._stream = None
            # fmt: off
            journal.event(PHASES, "established", "version", version, "suite", suite, "bytes_in", journal.bytes_in,
                          "bytes_out", journal.bytes_out, "largest_block_bytes", journal.largest_block())
            # fmt: on

        def _verify(self, der, depth):
            answer = super()._verify(der, depth)
            journal = self._journal
            if journal.level >= DECISIONS and self.observer.error is None:  # else nobody has judged it
                try:
                    from .tracesinks import tell_certificate

                    tell_certificate(journal, der, depth, self.policy and self.policy.violation)
                except BaseException as error:
                    self.observer.error = error
                    return _REFUSED
            return answer

    return TracedHandshake


TracedHandshake = traced(Handshake, TracedObserver)
