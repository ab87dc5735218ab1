"""Where the events of a trace go, and what only some of them need."""

import gc
import os

from micropython import const

_FLUSH_EVENTS = const(8)
_LAST = const(("established", "failed", "closed"))
_HEAD = const(("connection", "ms", "event", "free_bytes"))
_MOST_BLOCK = const(65536)
_BLOCK_STEP = const(1024)
_DECISIONS = const(2)  # a level, as in trace.py


def to_console(event):
    fields = ["%s=%s" % (name, event[name]) for name in sorted(event) if name not in _HEAD]
    print("%d %6d ms  %-12s %s" % (event["connection"], event["ms"], event["event"], " ".join(fields)))


class File:
    """Writes a line of JSON for each event to `path`; every few events, and when a phase has ended, so that flash is
    not worn by each. What the file had before stays, up to `limit_bytes`."""

    def __init__(self, path, limit_bytes):
        self._path = path
        self._limit_bytes = limit_bytes
        self._lines = []
        try:
            self._size = os.stat(path)[6]
        except OSError:
            self._size = 0

    def __call__(self, event):
        from json import dumps

        self._lines.append(dumps(event))
        if len(self._lines) >= _FLUSH_EVENTS or event["event"] in _LAST:
            text = "\n".join(self._lines) + "\n"
            self._lines = []  # also when writing fails: a full disk must not fill the memory, too
            if self._size and self._size + len(text) > self._limit_bytes:
                self._begin_anew()
            with open(self._path, "a") as file:
                file.write(text)
            self._size += len(text)

    def _begin_anew(self):
        old = self._path + ".old"
        try:
            os.remove(old)
        except OSError:
            pass
        os.rename(self._path, old)
        self._size = 0


class WatchedStore:
    """A trust store that tells what was looked up in it."""

    def __init__(self, store, journal):
        self._store = store
        self._journal = journal

    def __getattr__(self, name):
        return getattr(self._store, name)

    def lookup(self, name, host=None, digest=None):
        found = self._store.lookup(name, host, digest)
        from .rules import printable_name

        path = getattr(self._store, "path", None)
        sequence = getattr(self._store, "sequence", None)
        # fmt: off
        self._journal.event(_DECISIONS, "lookup", "name", printable_name(name), "store", path or "memory",
                            "sequence", sequence, "anchors", len(found))
        # fmt: on
        return found


def described(der):
    """Names and values in turn: what an event says of the certificate `der`."""
    try:
        from .describe import certificate

        found = certificate(der)
    except (ValueError, IndexError):
        return ["subject", "?"]
    if bytes(der[-4:]) == b"\x03\x02\0\0":
        # Written by anchor.py: only what the trust store has is a root's own.
        found["anchor"] = True
        del found["serial"], found["issuer"], found["fingerprint"], found["names"]
    fields = []
    for name, value in found.items():
        fields.append(name)
        fields.append(value)
    return fields


def tell_certificate(journal, der, depth, violation):
    """Notes a certificate of the chain and what the policy says of it. Raises nothing."""
    fields = described(der)
    journal.event(_DECISIONS, "certificate", "depth", depth, *fields)
    if journal.offered:
        for offered in journal.offered:
            if offered[2:] == fields:
                journal.offered.remove(offered)  # it has been told
                break
    if violation is None:
        journal.event(_DECISIONS, "verdict", "depth", depth, "verdict", "accepted")
    else:
        rule, depth, text, source = violation
        # fmt: off
        journal.event(_DECISIONS, "verdict", "depth", depth, "verdict", "refused",
                      "rule", rule, "why", text, "source", source)
        # fmt: on


def largest_block():
    """Bytes of the largest block that the heap has after a collection, in steps of 1024 and at most 65536: Mbed TLS's
    buffers need 17 KB each, in one piece, where they lie in this heap. None where trying would change the heap."""
    try:
        from esp32 import HEAP_DATA, idf_heap_info

        # Trying would make the Python heap grow, at the cost of Mbed TLS's: py/gc.c, MICROPY_GC_SPLIT_HEAP_AUTO.
        return max([region[2] for region in idf_heap_info(HEAP_DATA)])
    except ImportError:
        pass
    gc.collect()
    size = min(gc.mem_free(), _MOST_BLOCK) & ~(_BLOCK_STEP - 1)
    enabled = gc.isenabled()
    gc.disable()  # else every failure would collect
    try:
        # Downwards: a failure leaves nothing behind.
        while size:
            try:
                bytearray(size)
                break
            except MemoryError:
                size -= _BLOCK_STEP
    finally:
        if enabled:
            gc.enable()
        gc.collect()
    return size
