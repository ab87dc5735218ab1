"""Keeps a board's trust store up to date from anywhere: HTTPS while that works, plain HTTP when it does not.

What comes is believed because the publisher signed it (signature.py), not because of how it came. So a board whose
clock is not set, or whose anchors have all expired, can still be given new ones. See docs/updates.md.

    urls = ["https://a.example/roots.rtlt", "http://b.example/roots.rtlt"]
    updater = Updater(Slots("/certs/roots.rtlt"), urls, context)
    while True:
        if updater.due() and updater.run():
            context = Context(store="/certs/roots.rtlt")  # the new store
            updater.context = context
        ...
"""

import os

from micropython import const

from . import TrustStore, forget
from .pacing import Pace
from .update_state import State, hexadecimal, label, usable_tag

_ENOSPC = const(28)  # module errno has no name for it: py/mperrno.h
_HEADER = const(64)
_MAX_ENVELOPE = const(4096)
_BUFFER = const(1024)
_WORTH_KEEPING = const(4096)  # bytes of a broken download


class Updater:
    """Asks `urls`, in this order, for a store with a higher sequence than the one in force in `slots`, and puts it in
    force.

    `context`: for https URLs; without it, or without a clock, they fail and the next URL is tried. `max_bytes`: of a
    store. `timeout_ms`: for one URL altogether; `wait_ms`: for each step of it, and `progress()` is called between
    steps. `transport`: see rootlet.connect.

    Attributes after `run`: `outcome` ("updated", "current" or "failed"), `error` (words, or None), `store` (the
    TrustStore that was put in force last, or None). `pace`: see pacing.py.
    """

    def __init__(
        self, slots, urls, context=None, period_s=86_400, max_bytes=262_144, timeout_ms=120_000, wait_ms=10_000,
        transport=None, progress=None,
    ):  # fmt: skip
        self.slots = slots
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        self.context = context
        self.max_bytes = max_bytes
        self.timeout_ms = timeout_ms
        self.wait_ms = wait_ms
        self.progress = progress
        self.outcome = self.error = self.store = None
        self._transport = transport
        self._state = State(slots.path)
        from .clock import now

        checked = self._state.checked
        self.pace = Pace(period_s, now() - checked if checked else None)

    def due(self):
        """Whether it is time for `run`. To be asked at least every few days."""
        return self.pace.due()

    def nudge(self, sequence):
        """Somebody says that `sequence` (a number, or its digits: the payload of a retained MQTT message) is out.

        Brings the next run forward if that is news. Whoever sends a nudge can do no more than that, and not more
        often than every ten minutes. Returns whether it was heeded.
        """
        try:
            sequence = int(sequence if isinstance(sequence, int) else str(sequence, "ascii")[:11])
        except (ValueError, TypeError):
            return False
        store = self.slots.current()
        if store and sequence <= store.sequence:
            return False
        self.pace.hurry()
        return True

    def run(self):
        """Asks the URLs now. Returns whether a new store is in force. Does not raise: see `outcome` and `error`."""
        outcome = None
        errors = []
        for url in self.urls:
            try:
                outcome = self._ask(url)
            except Exception as error:
                errors.append("%s: %s" % (url, str(error) or type(error).__name__))
            if outcome:
                break
        self.outcome = outcome or "failed"
        self.error = " ".join(errors) or None
        self.pace.done(outcome)
        return outcome == "updated"

    def _ask(self, url):
        name = label(url)
        while True:
            path = self.slots.free_path()
            found = self._fetch(url, name, path)
            if found == "current":
                return found
            # The signature check is a handshake, too: nothing of the download may take its memory.
            tag, partial = found
            del found
            forget("fetch", "http", "http_fields", "dial", "clock")
            try:
                self.store = self.slots.commit(path)
            except BaseException as error:
                self._forget()
                if not partial or not isinstance(error, OSError):
                    raise
                continue  # what was there from before is damaged: all of it, then
            self._current(name, tag, self.store, True)
            return "updated"

    def _fetch(self, url, name, path):
        """"current", or of the store that is whole now at `path`: (its tag, the partial one that it continues)."""
        state = self._state
        before = self.slots.current()
        forget("opening", "store", "anchor", "civil")
        from .fetch import Fetch

        headers = {}
        tag = state.tag
        if tag and before and tag[0] == name and tag[2] == hexadecimal(before.digest):
            headers["If-None-Match"] = tag[1]
        partial = state.partial
        if partial and partial[0] == name and partial[2] == _digest_at(path):
            headers["Range"] = "bytes=%d-" % partial[3]
            headers["If-Range"] = partial[1]
        else:
            partial = None
        fetch = Fetch(self.context, self.timeout_ms, self.wait_ms, self._transport, self.progress)
        response = fetch.get(url, headers)
        try:
            if response.status == 304 and "If-None-Match" in headers:
                return self._current(name, tag[1], before)
            if response.status == 206 and partial:
                try:
                    return self._download(fetch, response, name, path, before, partial)
                except OSError:
                    if state.partial is not partial and state.partial:
                        raise  # the connection broke again, further on
                    # What was there from before does not fit, or the server cannot send parts: all of it, then.
                    self._forget()
                    response.close()
                    return self._fetch(url, name, path)
            if response.status == 200:
                return self._download(fetch, response, name, path, before, None)
            if partial:
                self._forget()
            _refuse("the server answers %d %s" % (response.status, response.reason[:40]))
        finally:
            response.close()

    def _download(self, fetch, response, name, path, before, partial):
        tag = usable_tag(response.headers)
        total = _total(response, partial)
        if total is not None and total > self.max_bytes:
            _refuse("the server's file has %d bytes, the limit is %d" % (total, self.max_bytes))
        buffer = memoryview(bytearray(_BUFFER))
        filled = 0
        while filled < _HEADER and not partial:
            n = fetch.readinto(response, buffer[filled:_HEADER])
            if not n:
                _refuse("the server's file is no trust store: it is too short")
            filled += n
        if partial:
            with open(path, "rb") as file:
                file.readinto(buffer[:_HEADER])
        header = bytes(buffer[:_HEADER])
        if not partial and header[:4] != TrustStore.MAGIC or header[4] != 1:
            _refuse("the server's file is no trust store of format 1")
        if before:
            from .slots import check_series

            check_series(header, before)
        sequence = _u32(header, 8)
        if before and sequence <= before.sequence:
            if sequence == before.sequence and header[32:] == before.digest:
                return self._current(name, tag, before)
            from .errors import RollbackError

            raise RollbackError("the server has sequence %d, and %d is in force" % (sequence, before.sequence))
        least = _HEADER + _u32(header, 20)
        most = min(least + _MAX_ENVELOPE, self.max_bytes)
        if least > self.max_bytes or total is not None and not least <= total <= most:
            _refuse("the length of the server's file does not fit its content")
        digest = hexadecimal(header[32:])
        got = partial[3] if partial else 0
        try:
            self._receive(fetch, response, path, buffer, filled, got, most)
        except _Broken as broken:
            if tag and broken.got >= _WORTH_KEEPING:
                self._state.partial = [name, tag, digest, broken.got]
                self._state.save()
            raise broken.error
        return tag, partial

    def _receive(self, fetch, response, path, buffer, filled, got, most):
        """Writes what is in `buffer` and then the rest of the body to the slot, from position `got` on.

        Raises _Broken when less came than should have.
        """
        from .slots import SlotFile

        if not got:
            _make_room(path, most)
        file = SlotFile(path, got)
        try:
            try:
                while got + filled <= most:
                    if filled:
                        file.write(buffer[:filled])
                        got += filled
                    filled = fetch.readinto(response, buffer)
                    if not filled:
                        return
            finally:
                file.close()
        except OSError as error:
            if error.errno != _ENOSPC:
                raise _Broken(error, got)
            os.remove(path)  # on littlefs that makes room for the next attempt
            raise
        _refuse("the server's file goes on after its end")

    def _current(self, name, tag, store, changed=False):
        """The server has `store`, which is in force."""
        from .clock import check, now

        state = self._state
        try:
            check(())
            seconds = now()
        except OSError:
            seconds = 0
        tag = [name, tag, hexadecimal(store.digest)] if tag else None
        if changed or tag != state.tag or state.partial or seconds - state.checked > self.pace.period_s // 2:
            state.tag = tag
            state.partial = None
            state.checked = seconds
            state.save()
        return "current"

    def _forget(self):
        if self._state.partial:
            self._state.partial = None
            self._state.save()


class _Broken(Exception):
    """A download ended with `error` after `got` bytes."""

    def __init__(self, error, got):
        self.error = error
        self.got = got


def _total(response, partial):
    """How long the whole file is, None if the server does not say. Raises HTTPError if it is not the range asked
    for."""
    if not partial:
        length = response.headers.get("content-length")
        return None if length is None else int(length)
    given, _, total = response.headers.get("content-range", "").partition("/")  # RFC 9110, 14.4
    if not given.startswith("bytes %d-" % partial[3]) or not total.isdigit() or len(total) > 10:
        _refuse("the server sends another part of the file than was asked for")
    return int(total)


def _make_room(path, n):
    """On littlefs an overwritten file needs its space twice until it is closed: if there is not enough, the old one
    goes."""
    try:
        volume = os.statvfs(path.rpartition("/")[0])
        if volume[0] * volume[3] < n and os.stat(path)[6] < n:
            os.remove(path)
    except (OSError, AttributeError):
        pass


def _digest_at(path):
    """The digest in the header of the pending store at `path`, in hex; None if there is none."""
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER)
    except OSError:
        return None
    return hexadecimal(header[32:]) if header[:4] == TrustStore.PENDING else None


def _u32(data, at):
    return data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24


def _refuse(message):
    from .errors import HTTPError

    raise HTTPError(message)
