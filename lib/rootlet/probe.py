"""A connection for `rootlet doctor`: the heap at every message of its handshake, or the time it takes.

Answers as those of selftest.py.
"""

import gc
from time import ticks_diff, ticks_ms

from micropython import const

_SAMPLES = const(48)
_FIELDS = const(4)
# Moments of a connection that are not messages of the handshake.
_START, _CONTEXT, _CONNECTED, _ESTABLISHED, _CLOSED = -1, -2, -3, -4, -5


def probe(path, host, port, address, measure):
    """A connection to `host`: `measure` the heap at every message, or else the time it takes."""
    sampler = _Sampler()
    try:
        return _probe(path, host, port, address, sampler if measure else None)
    except Exception as error:
        from .report import describe, printable

        cause, remedy = describe(error)
        return "fail", printable(cause), printable(remedy or ""), {"samples": sampler.taken()}


def _probe(path, host, port, address, sampler):
    from . import connect
    from .config import context as make_context
    from .config import load

    settings = load(path)
    if sampler:
        sampler.take(_START)
    context = make_context(settings)
    if sampler:
        sampler.take(_CONTEXT)
    transport = resolve_ms = None
    if settings["network"]["kind"] == "modem":
        from .modem.configured import shared

        transport = shared(settings)
        transport.join()
    elif not sampler:
        from socket import getaddrinfo

        began_ms = ticks_ms()
        getaddrinfo(address or host, port)
        resolve_ms = ticks_diff(ticks_ms(), began_ms)
    began_ms = ticks_ms()
    undo = _watch(sampler) if sampler else None
    try:
        timeout_ms = settings["job"]["timeout_ms"]
        stream = connect(host, port, context, None, address, timeout_ms, transport)
    finally:
        if undo:
            undo()
    total_ms = ticks_diff(ticks_ms(), began_ms)
    if sampler:
        sampler.take(_ESTABLISHED)
        stream.close()
        stream = None
        sampler.take(_CLOSED)
        return "ok", "", "", {"samples": sampler.taken()}
    try:
        data = {"handshake_ms": stream.handshake_ms(), "resolve_ms": resolve_ms}
        data["dial_ms"] = total_ms - data["handshake_ms"]
        data["suite"], data["version"] = stream.cipher()
        text = "%s, %s" % (data["version"], data["suite"])
        try:
            from . import report

            text = report.handshake(stream)
            text += "; " + report.peer(stream, context, host)
        except MemoryError:
            return "warn", text + "; no memory is left to say whose certificate it is", "Use a larger heap", data
        return "ok", text, "", data
    finally:
        stream.close()


class _Sampler:
    """Live bytes of the heap at moments, in memory that was allocated before the first of them."""

    def __init__(self):
        from array import array

        self._values = array("i", [0] * (_SAMPLES * _FIELDS))
        self._n = 0
        self._began_ms = ticks_ms()
        try:
            from esp32 import HEAP_DATA, idf_heap_info

            self._idf = lambda: sum([entry[0] - entry[1] for entry in idf_heap_info(HEAP_DATA)])
        except (ImportError, AttributeError):
            self._idf = None

    def take(self, moment):
        if self._n == _SAMPLES:
            return
        gc.collect()
        at = self._n * _FIELDS
        self._values[at] = ticks_diff(ticks_ms(), self._began_ms)
        self._values[at + 1] = moment
        self._values[at + 2] = gc.mem_alloc()
        self._values[at + 3] = self._idf() if self._idf else 0
        self._n += 1

    def taken(self):
        """[(ms, moment, live bytes, bytes in use of the system's heap or 0)]."""
        values = self._values
        return [tuple(values[i * _FIELDS : (i + 1) * _FIELDS]) for i in range(self._n)]


def _watch(sampler):
    """Lets `sampler` see every record of the next handshake. Returns what ends that.

    A moment is the type of a handshake message (RFC 5246, 7.4), plus 256 if the board sent it; for other records, and
    after ChangeCipherSpec, 512 plus the record's type, plus 256 if the board sent it.
    """
    from .handshake import Handshake

    Observer = Handshake.Observer

    class Watcher(Observer):
        record = opened = closed = 0  # type of the record at hand; ChangeCipherSpec was received, sent

        def readinto(self, buffer):
            n = Observer.readinto(self, buffer)
            try:
                if n and n > 0:
                    if not self.record:
                        self.record = buffer[0] if len(buffer) == 5 == n else 0
                    else:
                        clear = self.record == 22 and not self.opened
                        self.opened = self.opened or self.record == 20
                        sampler.take(buffer[0] if clear else 512 + self.record)
                        self.record = 0
            except Exception:
                pass  # a measurement must not break what it measures
            return n

        def write(self, buffer):
            try:
                clear = buffer[0] == 22 and not self.closed and len(buffer) > 5
                self.closed = self.closed or buffer[0] == 20
                sampler.take(256 + buffer[5] if clear else 768 + buffer[0])
            except Exception:
                pass
            return Observer.write(self, buffer)

    Handshake.Observer = Watcher
    sampler.take(_CONNECTED)

    def undo():
        Handshake.Observer = Observer

    return undo
