"""Opens trust stores: reads one from the first byte to the last, and finds the one in force.

The file's layout is in docs/store-format.md.
"""

from micropython import const

from rootlet.anchor import _u32
from rootlet.store import parts
from rootlet import TrustStore, forgets

_HEADER_SIZE = const(64)
_MAX_ANCHORS_IN_STORE = const(4096)
_MAX_BODY = const(1 << 20)
_MAX_PUBLISHER = const(2048)
_MAX_ENVELOPE = const(4096)
_CHUNK = const(512)
_SLOT_FILE = "/store.rtlt"


def check(store, magic):
    """Reads the file of `store` once, to the last byte, and notes in it what is worth keeping. Raises as TrustStore."""
    try:
        file = open(store.path, "rb")
    except OSError as error:
        from rootlet.errors import TrustStoreMissingError

        raise TrustStoreMissingError(store.path, error)
    with file:
        try:
            fault = _fault(store, file, magic)
        except OSError as error:
            fault = "it cannot be read (%s)" % error
    if fault:
        from rootlet.errors import TrustStoreDamagedError

        raise TrustStoreDamagedError(store.path, fault)


def _fault(store, file, magic):
    """What is wrong with the file, or None."""
    from hashlib import sha256

    head = file.read(_HEADER_SIZE)
    size = file.seek(0, 2)
    file.seek(_HEADER_SIZE)
    if not size:
        return "the file is empty"
    if head[:4] != magic:
        return "it is not a trust store" if head[:4] != TrustStore.PENDING else "it was never accepted"
    if len(head) < _HEADER_SIZE:
        return "it is cut short"
    if head[4] != 1:
        return "it has format version %d, this rootlet reads version 1" % head[4]
    store.head = head
    records, blocked, publisher, end = parts(head)
    if head[5] or store.count > _MAX_ANCHORS_IN_STORE or end > _HEADER_SIZE + _MAX_BODY:
        return "its header is not of this format"
    if records > blocked or end - publisher > _MAX_PUBLISHER:
        return "its parts do not fit into its length"
    if size < end:
        return "it is cut short: %d of %d bytes" % (size, end)
    digest = sha256(TrustStore.MAGIC + head[4:32])
    buffer = memoryview(bytearray(_CHUNK))
    _update(digest, file, end - _HEADER_SIZE, buffer)
    if digest.digest() != head[32:]:
        return "its SHA-256 does not match its content"
    # What follows is the envelope, or in a slot left over from a longer store that was here before.
    store.size = end
    if file.read(4) == b"SIGN":
        store.signed = True
        store.size = _end_of_envelope(file, end, size, buffer)
        if not store.size:
            return "its signature envelope is damaged"
    if size > store.size and not store.path.endswith(_SLOT_FILE):
        return "something follows it"
    if not forgets:
        store.issued_at = _u32(head, 12)  # else TrustStore reads it when it is asked: a number takes a block of memory
    # Few have these, and attributes of the class take no memory.
    if _u32(head, 16):
        store.not_used_after = _u32(head, 16)
    if publisher > blocked:
        store.blocked = head[24] | head[25] << 8
    return None


def _end_of_envelope(file, start, size, buffer):
    """Where the envelope at `start` ends in the file of `size` bytes; 0: it is not whole."""
    from hashlib import sha256

    end = start + 4
    for _ in range(2):  # leaf, key
        file.seek(end)
        head = file.read(2)
        if len(head) < 2:
            return 0
        end += 2 + (head[0] | head[1] << 8)
    if end + 4 > size or end + 4 - start > _MAX_ENVELOPE:
        return 0
    digest = sha256()
    file.seek(start)
    _update(digest, file, end - start, buffer)
    return end + 4 if digest.digest()[:4] == file.read(4) else 0


def _update(digest, file, n, buffer):
    while n:
        got = file.readinto(buffer[: min(n, _CHUNK)])
        if not got:
            return
        digest.update(buffer[:got])
        n -= got


def slot_path(path, slot):
    """`/certs/roots.rtlt`, "a": `/certs/roots.a/store.rtlt`. What slots are for is in slots.py."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name) + "." + slot + _SLOT_FILE


def claimed_sequence(path):
    """Sequence in the header at `path` if that looks like a store's, else -1. The file may yet be damaged."""
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return -1
    if len(head) < 12 or head[:4] != TrustStore.MAGIC:
        return -1
    return _u32(head, 8)


def current(path):
    """The store in force: the valid one of `path` and its two slots with the highest sequence, as a TrustStore.

    Raises TrustStoreMissingError, or TrustStoreDamagedError when there are only damaged ones.
    """
    failure = None
    names = [(claimed_sequence(name), name) for name in (path, slot_path(path, "a"), slot_path(path, "b"))]
    for sequence, name in sorted(names, reverse=True):
        if sequence >= 0:
            try:
                return TrustStore(name)
            except OSError as error:
                failure = failure or error
    if failure:
        raise failure
    return TrustStore(path)  # raises, and says why
