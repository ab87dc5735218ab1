"""What an Updater must not forget when the board restarts: which version the store in force is, when the server was
last asked, and how much of the next store is there. One small file, written when one of these changed: once a day or
less.
"""

import os
from binascii import hexlify

from micropython import const

_SIZE = const(512)
_MAX_TAG = const(100)


def label(url):
    """A short name for `url`, which may be long."""
    from hashlib import sha256

    return hexadecimal(sha256(url.encode()).digest()[:6])


def hexadecimal(data):
    return str(hexlify(data), "ascii")


class State:
    """Attributes, all with JSON's types:

    `tag`      [label of the URL, ETag, digest]: what the server calls the store in force
    `partial`  [label of the URL, ETag, digest, bytes]: what was downloaded of the next one into the free slot
    `checked`  seconds since 1970 when the server was last asked successfully; 0: the clock was not set
    """

    def __init__(self, store_path):
        folder, slash, name = store_path.rpartition("/")
        # A folder of its own, so that writing it touches no directory of a store: see slots.py.
        self._folder = folder + slash + (name.rpartition(".")[0] or name) + ".state"
        self.tag = self.partial = None
        self.checked = 0
        from json import loads

        try:
            with open(self._folder + "/updates.json") as file:
                saved = loads(file.read(_SIZE))
            self.tag = _texts(saved.get("tag"), 3)
            self.partial = _texts(saved.get("partial"), 4)
            self.checked = int(saved.get("checked", 0))
        except (OSError, ValueError, AttributeError, TypeError, OverflowError):
            pass  # none yet, or damaged: everything in it can be found out again

    def save(self):
        """Never raises: a board without it asks once more than it had to."""
        from json import dumps

        text = dumps({"tag": self.tag, "partial": self.partial, "checked": self.checked})
        if len(text) > _SIZE:
            return
        path = self._folder + "/updates.json"
        try:
            try:
                os.mkdir(self._folder)
            except OSError:
                pass
            try:
                file = open(path, "r+b")
            except OSError:
                file = open(path, "wb")
            with file:
                # Always the same size, so that it can be overwritten: see slots.py.
                file.write((text + " " * (_SIZE - len(text))).encode())
            if hasattr(os, "sync"):
                os.sync()
        except OSError:
            pass


def usable_tag(headers):
    """The ETag in `headers` if it is a strong one, as If-Range wants it (RFC 9110, 8.8.3 and 13.1.5), else None."""
    tag = headers.get("etag", "")
    if not 2 <= len(tag) <= _MAX_TAG or tag[0] != '"' or tag[-1] != '"':
        return None
    for c in tag[1:-1]:
        if not 0x21 <= ord(c) < 0x7F or c == '"':
            return None  # it will be sent back in a header field
    return tag


def _texts(value, n):
    if type(value) is list and len(value) == n:
        for text in value[:3]:
            if type(text) is not str:
                return None
        if n < 4 or type(value[3]) is int and value[3] > 0:
            return value
    return None
