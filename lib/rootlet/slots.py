"""Two places for a trust store, so that there is always a good one.

`/certs/roots.rtlt` is the store that came with the firmware, `/certs/roots.a` and `…b` are the slots, each a folder
with `store.rtlt` and `signer`. In force is the valid store with the highest sequence. A new one is written into the
slot that is not in force, with a magic that says "pending"; only when it was read back whole and its signature found
good is the magic made right, in one small write at the beginning of the file.

This must hold on FAT, too, which stm32 boards have, where renaming takes several steps and every file that is made,
grown or removed touches a directory and an allocation table that all files share. So files here are overwritten, never
made anew once they exist, and each slot has its own directory: see docs/updates.md.
"""

import os

import rootlet  # opening is loaded through it, and not kept: it would keep store and anchor, too
from micropython import const

from . import TrustStore

_ENOSPC = const(28)  # module errno has no name for it: py/mperrno.h
_POLICIES = ("never", "first-push", "usb")


class Slots:
    """The slots of the store at `path`, for whoever puts a new one there.

    `unsigned`: when a store without signature is taken. "never"; "first-push": from USB, as long as the board knows no
    publisher (a fresh board); "usb": from USB always. A store from anywhere else must be signed, always.
    """

    def __init__(self, path="/certs/roots.rtlt", unsigned="first-push"):
        if unsigned not in _POLICIES:
            from .errors import ConfigError

            raise ConfigError("unsigned cannot be %s" % unsigned, "Use never, first-push or usb")
        self.path = path
        self._unsigned = unsigned
        self._slots = tuple(rootlet.opening.slot_path(path, slot) for slot in "ab")

    def current(self):
        """The TrustStore in force, or None."""
        opening = rootlet.opening  # if that cannot be loaded, it does not mean that there is no store
        try:
            return opening.current(self.path)
        except OSError:
            return None

    def free_path(self):
        """Path of the slot that is not in force. What is there may be overwritten. Makes its folder."""
        store = self.current()
        free = self._slots[1 if store and store.path == self._slots[0] else 0]
        try:
            os.mkdir(_folder(free))
        except OSError:
            pass  # it is there, or opening the file will say what is wrong
        return free

    def publishers(self):
        """DER of every certificate that may have signed the next store: the publisher who signed the store in force,
        then the one that it announces."""
        store = self.current()
        return self._publishers(store)

    def _publishers(self, store):
        found = self._signer_of(store)
        announced = store and store.publisher()
        return found + [announced] if announced and announced not in found else found

    def _signer_of(self, store):
        """Who signed `store` (None: there is none in force), as noted when it was accepted: a list of one or none."""
        if not store or store.path == self.path:
            signer = _read(self.path.rpartition("/")[0] + "/publisher.der")
            return [signer] if signer else []
        signer = _read_signer(store.path)
        if signer is not None:
            return [signer] if signer else []
        # The note is damaged. Without a publisher nothing could ever repair the board from afar: what the other places
        # say is at most one release old.
        other = self._slots[store.path == self._slots[0]]
        found = [_read_signer(other), _read(self.path.rpartition("/")[0] + "/publisher.der")]
        for path in (other, self.path):
            try:
                found.append(TrustStore(path).publisher())
            except OSError:
                pass
        return [signer for i, signer in enumerate(found) if signer and signer not in found[:i]]

    def commit(self, path, usb=False, rollback=False):
        """Puts the pending store at `path` (from `free_path`) in force, if everything about it is right.

        `usb`: it came over USB, from somebody who has the board in hand; only then may it be unsigned (see the class),
        and only then does `rollback` allow a sequence that is not above the one in force, or another series.

        Returns its TrustStore. Raises TrustStoreDamagedError, RollbackError, SeriesError, SignatureError, OSError,
        MemoryError; what was in force is still in force then, and the file stays pending, and of no effect.
        """
        from .integrity import fault

        store = TrustStore(path, TrustStore.PENDING)
        before = self.current()
        if before and not (rollback and usb):
            check_series(store.head, before)
        if before and store.sequence <= before.sequence and not (rollback and usb):
            from .errors import RollbackError

            raise RollbackError("sequence %d is not above %d, which is in force" % (store.sequence, before.sequence))
        why = fault(store)
        if why:
            from .errors import TrustStoreDamagedError

            raise TrustStoreDamagedError(path, why)
        del fault
        rootlet.forget("integrity", "opening", "store", "anchor", "civil")
        publishers = self._publishers(before)
        rootlet.forget("opening", "store", "anchor", "civil")
        signer = self._signer(store, publishers, usb)
        rootlet.forget("signature")
        if signer is None and publishers:
            signer = publishers[0]  # unsigned, from USB: who may sign the next one stays as it was
        if _read_signer(path) != (signer or b""):
            _overwrite(_folder(path) + "/signer", _sealed(signer or b""))
            _sync()
        self._mark(path, TrustStore.MAGIC)
        for other in (self.path,) + self._slots:
            # Only on a rollback: the higher sequences have to go, after the new store is there.
            if other != path and rootlet.opening.claimed_sequence(other) >= store.sequence:
                self._mark(other, TrustStore.PENDING)
        return TrustStore(path)

    def _signer(self, store, publishers, usb):
        """The publisher's certificate that signed `store`; None if it may be unsigned. Raises SignatureError."""
        failure = None
        for publisher in publishers if store.signed else ():
            from .signature import verify

            try:
                verify(store, publisher)
                return publisher
            except OSError as error:
                failure = error
        if usb and (self._unsigned == "usb" and not store.signed or self._unsigned != "never" and not publishers):
            return None
        from .errors import SignatureError

        if failure:
            raise failure
        if not store.signed:
            why = "the trust store is not signed, and this board takes only signed ones (unsigned = %s)"
            raise SignatureError(why % self._unsigned)
        raise SignatureError("this board knows no publisher to check the signature against", "Push over USB first")

    @staticmethod
    def _mark(path, magic):
        with open(path, "r+b") as file:
            file.write(magic)
        _sync()


class SlotFile:
    """The store file at `path` (from `free_path`), open to be written over from `start`. What is written replaces the
    magic by "pending": the first write must hold the first four bytes.

    Overwrites: on FAT a file that is truncated, or removed, and a power failure at the wrong moment lose its clusters
    for ever, and nothing on a board could find them again.
    """

    def __init__(self, path, start=0):
        self._path = path
        self._at = start
        try:
            self._file = open(path, "r+b")
        except OSError:
            _create(path)
            self._file = open(path, "r+b")
        self._size = self._file.seek(0, 2)
        self._file.seek(start)

    def write(self, data):
        if not self._at:
            self._file.write(TrustStore.PENDING)
            data = memoryview(data)[4:]
            self._at = 4
        self._file.write(data)
        self._at += len(data)

    def close(self):
        """Ends the store here, whatever was in the slot before."""
        try:
            if self._at < self._size:
                self._file.write(b"\0\0\0\0")  # no envelope
        finally:
            self._file.close()
        _sync()


def check_series(head, before):
    """Raises SeriesError unless the store whose header (bytes) is `head` may take the place of the TrustStore `before`:
    one publisher may sign several, and each has a sequence of its own."""
    series = before.head[28:32]
    if series not in (head[28:32], b"\0\0\0\0"):
        from .errors import SeriesError

        names = ["".join([chr(byte) for byte in name if byte]) or "none" for name in (head[28:32], series)]
        raise SeriesError("the store's series is %s, and that of the one in force %s" % tuple(names))


def _folder(path):
    return path.rpartition("/")[0]


def _create(path):
    """Makes the file of a slot. On FAT, where a file begins is noted when it is closed; what a power failure leaves of
    it before that is lost, so it is closed at once."""
    for _ in range(2):
        try:
            with open(path, "wb") as file:
                file.write(TrustStore.PENDING)
            if _read(path) is not None:
                return
        except OSError as error:
            if error.errno == _ENOSPC:
                raise
        # A power failure left noise in the folder itself, so that even what was just made is not found in it.
        # Nothing in it was in force, but it cannot be emptied either: it stays, under another name.
        folder = _folder(path)
        _put_aside(folder)
        os.mkdir(folder)


def _put_aside(path):
    for number in range(10):
        try:
            return os.rename(path, "%s.bad%d" % (path, number))
        except OSError:
            pass


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read(2048)
    except OSError:
        return None


def _sealed(data):
    from hashlib import sha256

    data = bytes((len(data) & 0xFF, len(data) >> 8)) + data
    return data + sha256(data).digest()[:4]


def _read_signer(path):
    """The certificate noted beside the store at `path`; b"": it was accepted without; None: the note is damaged."""
    note = _read(_folder(path) + "/signer") or b""
    n = note[0] | note[1] << 8 if len(note) > 1 else 0
    signer = note[2 : 2 + n]
    return signer if note[: n + 6] == _sealed(signer) else None


def _overwrite(path, data):
    try:
        file = open(path, "r+b")
    except OSError:
        try:
            file = open(path, "wb")
        except OSError as error:
            if error.errno == _ENOSPC:
                raise
            _put_aside(path)  # a failure made something else of it: a folder
            file = open(path, "wb")
    with file:
        file.write(data)


def _sync():
    if hasattr(os, "sync"):
        os.sync()
