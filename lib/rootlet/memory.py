"""Is there memory for a verified connection? `preflight` says so before one begins, so that none fails at 90 %.

Imported only when asked. How the figures were measured: docs/memory.md.
"""

import gc
import tls
from io import IOBase

from micropython import const

# Bytes that a first connection takes: with rootlet (in the firmware, in files); pairs are for chains of (elliptic
# curves, RSA). `make memory ARGS=--docs` writes what it finds between these lines.
# memory: begin
_BESIDE_BUFFERS = ((11520, 15360), (28672, 29952))  # where Mbed TLS allocates in the Python heap, besides its buffers
_PYTHON = (14080, 30464)  # of the Python heap, where Mbed TLS allocates elsewhere
_TLS = (29440, 31488)  # and there
# memory: end

_BUFFERS = const(20480)  # Mbed TLS's record buffers are larger than that: 16,384 and 4,096 bytes, and headers
_SOCKET = const(7168)  # lwIP's part of a connection on ESP32: github.com/micropython/micropython/issues/8940


class _Nobody(IOBase):
    def readinto(self, buffer):
        return None

    def write(self, data):
        return None

    def ioctl(self, request, argument):
        return 0


def preflight(*modules, rsa=True, extra_bytes=0):
    """Raises OutOfMemoryError (MemoryError, where there is no room for it) unless a verified connection will find the
    memory that it takes.

    `modules`: what the application uses of rootlet besides `connect`, such as "http", "aio" or "modem"; they are
    imported now. `rsa` False: the servers' chains are of elliptic curves, which takes less; RSA keys of more than 2048
    bits take more than is asked for here. `extra_bytes`: what the application itself is going to take.

    Returns a dict: `free_bytes` of the Python heap, `spare_bytes` that remain in the worst moment, and
    `tls_in_python_heap`, whether Mbed TLS allocates there, too.
    """
    loaded = _is_in_files()
    try:
        for name in modules:
            __import__("rootlet." + name)
    except MemoryError as error:
        _refuse("the heap has no room for rootlet's code", loaded, error)
    gc.collect()
    free = gc.mem_free()
    beside, failure = _with_buffers()
    system = _system_heap()
    inside = not system and (failure is not None or free - beside > _BUFFERS)
    if inside:
        spare = beside - _BESIDE_BUFFERS[loaded][rsa]
        if failure is not None:
            spare -= _BUFFERS
    else:
        spare = free - _PYTHON[loaded] * _width() // 4
        if system:
            # Python's heap grows into the system's, never the other way round; gc.mem_free counts the largest block.
            spare = min(0, spare - system[1]) + system[0] - _TLS[rsa] - _SOCKET
    spare -= extra_bytes
    if spare < 0:
        _refuse("a verified connection takes %d bytes of memory more than there are" % -spare, loaded, failure)
    if failure is not None:
        _refuse("the memory is in pieces, and Mbed TLS needs 17 KB in one", loaded, failure)
    return {"free_bytes": free, "spare_bytes": spare, "tls_in_python_heap": inside}


def _with_buffers():
    """(bytes free in the Python heap while Mbed TLS has its record buffers, the error if it could not get them)."""
    failure = context = stream = None
    try:
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        # As at the beginning of every handshake: 17 KB and 4.4 KB, each in one piece. Nothing is sent.
        stream = context.wrap_socket(_Nobody(), server_hostname="x", do_handshake_on_connect=False)
    except (MemoryError, OSError) as error:
        failure = error
    free = gc.mem_free()
    if stream is not None:
        stream.close()
    if hasattr(context, "__del__"):
        context.__del__()
    return free, failure


def _system_heap():
    """(free bytes, largest block) of ESP-IDF's heaps, where ESP32 boards have Mbed TLS; None elsewhere."""
    try:
        from esp32 import HEAP_DATA, idf_heap_info
    except ImportError:
        return None
    regions = idf_heap_info(HEAP_DATA)
    return sum(region[1] for region in regions), max(region[2] for region in regions)


def _width():
    """How large objects are, in quarters of a board's."""
    from sys import maxsize

    return 6 if maxsize >> 32 else 4  # computers: pointers are twice as large, bytecode is not


def _is_in_files():
    """Whether rootlet's code has to be loaded into the heap."""
    from os import stat

    try:
        stat(__file__)
        return True
    except OSError:
        return False


def _refuse(message, loaded, cause):
    gc.collect()
    try:
        from .errors import OutOfMemoryError
    except MemoryError:
        raise MemoryError(message)  # not even for that
    remedy = "Freeze rootlet into the firmware, import" if loaded else "Import"
    remedy += " less before it, use smaller buffers, or take a board with more memory"
    raise OutOfMemoryError(message, remedy, cause)
