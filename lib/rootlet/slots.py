"""Two places for a trust store, so that there is always a good one.

`/certs/roots.rtlt` is the store that came with the firmware, `/certs/roots.a.rtlt` and `…b…` are the slots. In force is
the valid one with the highest sequence. A new store is written to the slot that is not in force, with a magic that
says "pending"; only when it was read back whole and its signature found good is the magic made right, in one small
write at the beginning of the file. Renaming would be no help: FAT, which stm32 boards have, renames in several steps.
"""

import os

from .store import TrustStore, current, slot_path


class Slots:
    """The slots of the store at `path`, for whoever puts a new one there.

    `unsigned`: when a store without signature is taken. "never"; "first-push": from USB, as long as the board knows no
    publisher (a fresh board); "usb": from USB always. A store from anywhere else must be signed, always.
    """

    def __init__(self, path="/certs/roots.rtlt", unsigned="first-push"):
        if unsigned not in ("never", "first-push", "usb"):
            from .errors import ConfigError

            raise ConfigError("unsigned cannot be %s" % unsigned, "Use never, first-push or usb")
        self.path = path
        self._unsigned = unsigned
        self._publisher = path.rpartition("/")[0] + "/publisher.der"

    def current(self):
        """The TrustStore in force, or None."""
        try:
            return current(self.path)
        except OSError:
            return None

    def free_path(self):
        """Path of the slot that is not in force. What is there may be overwritten."""
        store = self.current()
        first = slot_path(self.path, "a")
        return slot_path(self.path, "b") if store and store.path == first else first

    def publishers(self):
        """DER of every certificate that may have signed the next store: the board's own, then the one that the store in
        force announces."""
        found = []
        for name in (self._publisher, self._publisher + ".next"):
            try:
                with open(name, "rb") as file:
                    found.append(file.read(4096))
            except OSError:
                pass
        store = self.current()
        announced = store and found and store.publisher()
        if announced and announced not in found:
            found.append(announced)
        return found

    def commit(self, path, usb=False, rollback=False):
        """Puts the pending store at `path` (from `free_path`) in force, if everything about it is right.

        Returns its TrustStore. Raises TrustStoreDamagedError, RollbackError (its sequence is not above the one in
        force), SignatureError, OSError; the file is removed then, and what was in force still is.
        """
        try:
            store = TrustStore(path, TrustStore.PENDING)
            before = self.current()
            if before and store.sequence <= before.sequence and not (rollback and usb):
                from .errors import RollbackError

                raise RollbackError(
                    "sequence %d is not above %d, which is in force" % (store.sequence, before.sequence)
                )
            signer = self._signer(store, usb)
            if signer:
                self._announce(signer)
            self._accept(path)
            if before and store.sequence <= before.sequence:
                self._remove(before)
            if signer:
                self._adopt(signer)
            return TrustStore(path)
        except BaseException:
            _unlink(path)
            raise

    def _signer(self, store, usb):
        """The publisher's certificate that signed `store`; None if it may be unsigned. Raises SignatureError."""
        publishers = self.publishers()
        failure = None
        for publisher in publishers if store.signed else ():
            from .signature import verify

            try:
                verify(store, publisher)
                return publisher
            except OSError as error:
                failure = error
        fresh = not publishers
        if usb and (self._unsigned == "usb" and not store.signed or self._unsigned != "never" and fresh):
            return None
        from .errors import SignatureError

        if failure:
            raise failure
        if not store.signed:
            raise SignatureError("the trust store is not signed, and this board takes only signed ones (unsigned = %s)" % self._unsigned)
        raise SignatureError("this board knows no publisher to check the signature against", "Push over USB first")

    def _announce(self, signer):
        # Before the store is in force: a power failure in between must not leave a board that knows only the old publisher
        # with a store that does not announce the new one any more.
        if _read(self._publisher) != signer and _read(self._publisher + ".next") != signer:
            _write(self._publisher + ".next", signer)

    def _adopt(self, signer):
        if _read(self._publisher) != signer:
            # The old publisher's time is over. Not a rename: see above; both files say the same until the end.
            _write(self._publisher, signer)
        _unlink(self._publisher + ".next")

    @staticmethod
    def _accept(path):
        with open(path, "r+b") as file:
            file.write(TrustStore.MAGIC)
        _sync()

    def _remove(self, store):
        """On a rollback the higher sequence has to go."""
        _unlink(store.path)


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read(4096)
    except OSError:
        return None


def _write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    _sync()


def _unlink(path):
    try:
        os.remove(path)
    except OSError:
        pass


def _sync():
    if hasattr(os, "sync"):
        os.sync()
