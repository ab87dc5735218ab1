"""The trust store on flash: open, check, look up by issuer name. Nothing of it stays in RAM.

The file's layout is in docs/store-format.md.
"""

from micropython import const

from .anchor import Anchor, RecordError, _u32

_HEADER_SIZE = const(64)
_ENTRY_SIZE = const(8)
_KEY_SIZE = const(5)
_BLOCKED_SIZE = const(16)
_MAX_ANCHORS_IN_STORE = const(4096)
_MAX_BODY = const(1 << 20)
_MAX_RECORD = const(8192)
_MAX_PUBLISHER = const(2048)
_MAX_ENVELOPE = const(4096)
_WINDOW = const(16)  # index entries on each side of where a key is expected
_ENTRIES = const(37)  # that are read in one go: both sides, then those of one name and the end of the last
_NEAR = const(128)  # entries between a key and where it is expected, at the very most if chance put it there
_CHUNK = const(512)
_SLOT_FILE = "/store.rtlt"


class TrustStore:
    """A trust store file that was found whole.

    Attributes: `path`, `count` (anchors), `digest` (SHA-256, 32 bytes), `sequence`, `issued_at` and `not_used_after`
    (seconds since 1970; 0: no limit), `size` (bytes; the file may be longer, see slots.py), `signed` (an envelope is
    there; whether it is genuine is another question).

    Raises TrustStoreMissingError when there is no such file, TrustStoreDamagedError when one bit of
    it is not as it was built. `magic` is for slots.py only.
    """

    # A hostile chain must not make the board load more anchors of one name than this.
    MAX_ANCHORS_PER_NAME = 4

    # What a file in a slot begins with until it has been accepted: see slots.py.
    MAGIC = b"RTLT"
    PENDING = b"RTL-"

    def __init__(self, path, magic=MAGIC):
        self.path = path
        try:
            file = open(path, "rb")
        except OSError as error:
            from .errors import TrustStoreMissingError

            raise TrustStoreMissingError(path, error)
        with file:
            try:
                fault = self._check(file, magic)
            except OSError as error:
                fault = "it cannot be read (%s)" % error
        if fault:
            from .errors import TrustStoreDamagedError

            raise TrustStoreDamagedError(path, fault)

    def __repr__(self):
        return "<TrustStore %s sequence %d, %d anchors>" % (self.path, self.sequence, self.count)

    def _check(self, file, magic):
        """Reads the whole file once. Returns what is wrong with it, or None."""
        from hashlib import sha256

        head = file.read(_HEADER_SIZE)
        self.size = file.seek(0, 2)
        file.seek(_HEADER_SIZE)
        if not self.size:
            return "the file is empty"
        if head[:4] != magic:
            return "it is not a trust store" if head[:4] != self.PENDING else "it was never accepted"
        if len(head) < _HEADER_SIZE:
            return "it is cut short"
        if head[4] != 1:
            return "it has format version %d, this rootlet reads version 1" % head[4]
        self.count = head[6] | head[7] << 8
        self.sequence = _u32(head, 8)
        self.issued_at = _u32(head, 12)
        self.not_used_after = _u32(head, 16)
        body = _u32(head, 20)
        self._blocked_count = head[24] | head[25] << 8
        self._publisher_size = publisher = head[26] | head[27] << 8
        self._end = _HEADER_SIZE + body
        self.signed = False
        self._records = _HEADER_SIZE + self.count * _ENTRY_SIZE
        self._blocked = self._end - publisher - self._blocked_count * _BLOCKED_SIZE
        if head[5] or _u32(head, 28) or self.count > _MAX_ANCHORS_IN_STORE or body > _MAX_BODY:
            return "its header is not of this format"
        if self._records > self._blocked or publisher > _MAX_PUBLISHER:
            return "its parts do not fit into its length"
        if self.size < self._end:
            return "it is cut short: %d of %d bytes" % (self.size, self._end)
        digest = sha256(self.MAGIC + head[4:32])
        buffer = memoryview(bytearray(_CHUNK))
        self._update(digest, file, body, buffer)
        self.digest = head[32:]
        if digest.digest() != self.digest:
            return "its SHA-256 does not match its content"
        # What follows is the envelope, or in a slot left over from a longer store that was here before.
        end = self.size
        self.signed = file.read(4) == b"SIGN"
        if self.signed and not self._envelope_is_whole(file, buffer):
            return "its signature envelope is damaged"
        if not self.signed:
            self.size = self._end
        if end > self.size and not self.path.endswith(_SLOT_FILE):
            return "something follows it"
        return None

    def _envelope_is_whole(self, file, buffer):
        """Also finds where the store ends."""
        from hashlib import sha256

        end = self._end + 4
        for _ in range(2):  # leaf, key
            file.seek(end)
            head = file.read(2)
            if len(head) < 2:
                return False
            end += 2 + (head[0] | head[1] << 8)
        if end + 4 > self.size or end + 4 - self._end > _MAX_ENVELOPE:
            return False
        self.size = end + 4
        digest = sha256()
        file.seek(self._end)
        self._update(digest, file, end - self._end, buffer)
        return digest.digest()[:4] == file.read(4)

    @staticmethod
    def _update(digest, file, n, buffer):
        while n:
            got = file.readinto(buffer[: min(n, _CHUNK)])
            if not got:
                return
            digest.update(buffer[:got])
            n -= got

    def lookup(self, name, host=None, digest=None):
        """Anchors whose subject is `name` (DER of a Name) and that may sign for `host`: a list of Anchor. `digest`:
        SHA-256 of `name`, if it is known already.

        At most 10 reads of the file; memory for one index window and one record.
        """
        from hashlib import sha256

        key = (digest or sha256(name).digest())[:_KEY_SIZE]
        found = []
        try:
            with self._open() as file:
                for start, end in self._find(file, key):
                    if end - start > _MAX_RECORD:
                        raise RecordError("record is too long")
                    file.seek(start)
                    anchor = Anchor(file.read(end - start))
                    if host is None or anchor.may_sign_for(host):
                        found.append(anchor)
        except (OSError, ValueError) as error:
            self._unreadable(error)
        return found

    def _open(self):
        """The file, unless an update has written over it since it was checked: it may hold anybody's anchors then."""
        file = open(self.path, "rb")
        head = file.read(_HEADER_SIZE)
        if head[:4] != self.MAGIC or head[32:] != self.digest:
            file.close()
            raise RecordError("it was replaced, make a new Context")
        return file

    def _unreadable(self, error):
        from .errors import TrustStoreDamagedError

        raise TrustStoreDamagedError(self.path, "it could not be read: %s" % error)

    def _find(self, file, key):
        """File positions (start, end) of the records with `key`."""
        # Keys are hashes, evenly spread, so it can be guessed where one stands; a window there nearly always has it.
        low = max(0, ((key[0] << 8 | key[1]) * self.count >> 16) - _WINDOW)
        window = self._entries(file, low)
        if low and window[:_KEY_SIZE] >= key:
            window = self._entries(file, self._search(file, key, 0, low, low - _NEAR))
        elif low + _ENTRIES < self.count and window[-_ENTRY_SIZE:-3] <= key:
            window = self._entries(file, self._search(file, key, low, self.count, low + _NEAR))
        ranges = []
        at = window.find(key)
        while at >= 0 and len(ranges) < self.MAX_ANCHORS_PER_NAME:
            if at % _ENTRY_SIZE == 0:
                start = self._record_start(window, at)
                end = at + _ENTRY_SIZE
                end = self._record_start(window, end) if end < len(window) else self._blocked
                if not self._records <= start < end <= self._blocked:
                    raise RecordError("index points outside the records")
                ranges.append((start, end))
            at = window.find(key, at + 1)
        return ranges

    def _entries(self, file, low):
        file.seek(_HEADER_SIZE + low * _ENTRY_SIZE)
        return file.read(min(self.count - low, _ENTRIES) * _ENTRY_SIZE)

    def _search(self, file, key, low, high, middle):
        """Where the entries with `key` begin, or would, or at most a window before that; between `low` and `high`.
        `middle`: where to look first."""
        middle = min(max(middle, low), high - 1)
        entry = bytearray(_ENTRY_SIZE)
        while high - low > 2 * _WINDOW:
            file.seek(_HEADER_SIZE + middle * _ENTRY_SIZE)
            file.readinto(entry)
            if entry[:_KEY_SIZE] < key:
                low = middle + 1
            else:
                high = middle
            middle = (low + high) // 2
        return low

    def _record_start(self, window, at):
        return self._records + (window[at + 5] | window[at + 6] << 8 | window[at + 7] << 16)

    def is_blocked(self, spki_digest):
        """Whether the store blocks the key whose SubjectPublicKeyInfo has this SHA-256 (16 bytes or more)."""
        low, high = 0, self._blocked_count
        if not high:
            return False
        wanted = bytes(spki_digest[:_BLOCKED_SIZE])
        try:
            with self._open() as file:
                while low < high:
                    middle = (low + high) // 2
                    file.seek(self._blocked + middle * _BLOCKED_SIZE)
                    entry = file.read(_BLOCKED_SIZE)
                    if entry == wanted:
                        return True
                    if len(entry) < _BLOCKED_SIZE:
                        raise RecordError("it became shorter")
                    if entry < wanted:
                        low = middle + 1
                    else:
                        high = middle
        except (OSError, RecordError) as error:
            self._unreadable(error)
        return False

    def layout(self):
        """File positions: where the records begin, where the blocked keys begin and where they end."""
        return self._records, self._blocked, self._end - self._publisher_size

    def publisher(self):
        """DER of the certificate of the publisher who may sign the stores after this one, or None."""
        if not self._publisher_size:
            return None
        with open(self.path, "rb") as file:
            file.seek(self._end - self._publisher_size)
            return file.read(self._publisher_size)

    def envelope(self):
        """(leaf certificate, its key), both DER, or None if the store is not signed."""
        if not self.signed:
            return None
        parts = []
        with open(self.path, "rb") as file:
            file.seek(self._end + 4)
            for _ in range(2):
                head = file.read(2)
                parts.append(file.read(head[0] | head[1] << 8))
        return parts


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
