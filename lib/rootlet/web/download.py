"""Downloads into a file that go on where they broke off (RFC 9110, 14), and files that are replaced as a whole."""

import os

from micropython import const

from ..errors import DigestError, HTTPError, TLSError
from .response import hexadecimal

_PIECE = const(1024)
_MAX_VALIDATOR = const(256)
_ENOSPC = const(28)  # module errno has no name for it: py/mperrno.h


def download(client, url, path, digest, options):
    """See Client.download. `path`.part holds what came, `path`.etag whose it is and what the server calls it."""
    part = path + ".part"
    note = path + ".etag"
    label = _label(url)
    limit = options.pop("max_bytes", client._max_bytes)
    given = options.pop("headers", None) or {}
    for _ in range(2):
        headers = dict(given)
        headers["Accept-Encoding"] = "identity"  # ranges count the bytes as they are sent
        have = _size(part)
        validator = _read(note, label) if have else None
        if validator:
            headers["Range"] = "bytes=%d-" % have
            headers["If-Range"] = validator
        response = yield from client._request("GET", url, headers=headers, max_bytes=limit, **options)
        with response:
            if validator and response.status == 416:
                response.close()
                if response.headers.get("content-range") == "bytes */%d" % have:
                    return _finish(part, note, path, digest, _hash(part, digest))
                remove(note)  # it changed, or we are wrong about what we have: once more from the beginning
                continue
            if validator and response.status == 206:
                total = _total(response, have)
                if total is None:
                    remove(note)  # or every further attempt would come to the same
                    raise HTTPError(
                        "the server sends %s instead of the rest" % response.headers.get("content-range")
                    )
            elif response.status == 200:
                have = 0
                total = None
                remove(note)
            else:
                raise HTTPError("%s answers %d %s" % (url, response.status, response.reason), "Check the URL")
            digested = _hash(part, digest) if have else _hash(None, digest)
            try:
                with open(part, "ab" if have else "wb") as file:
                    if not have:
                        _write(note, label, _validator(response.headers))
                    buffer = bytearray(_PIECE)
                    view = memoryview(buffer)
                    while True:
                        n = yield from response._readinto(buffer)
                        if not n:
                            break
                        have += n
                        if limit is not None and have > limit:
                            raise HTTPError("%s has more than %d bytes" % (url, limit), "Raise max_bytes")
                        file.write(view[:n])
                        if digested:
                            digested.update(view[:n])
            except OSError as error:
                failure = no_room(error, path)
                if failure is not error:  # and what came must not take it from others
                    remove(part)
                    remove(note)
                raise failure
            if total is not None and have != total:
                remove(note)
                raise HTTPError("%s has %d bytes where it said %d" % (url, have, total))
            return _finish(part, note, path, digest, digested)
    raise HTTPError("%s refuses every range" % url)


def _finish(part, note, path, digest, digested):
    have = _size(part)
    remove(note)
    if digested:
        found = digested.digest()
        if found != digest:
            remove(part)
            raise DigestError("the SHA-256 of %s is %s" % (path, hexadecimal(found)))
    replace(part, path)
    return have


def _total(response, have):
    """Bytes of the whole; None if what comes is not the rest behind `have`, or the server does not say how long the
    whole is: it may be sending less than that."""
    unit, _, rest = response.headers.get("content-range", "").partition(" ")
    span, _, total = rest.partition("/")
    first, _, last = span.partition("-")
    if unit != "bytes" or first != str(have) or not last.isdigit() or not total.isdigit():
        return None
    return int(total)


def _validator(headers):
    """What makes If-Range safe: a strong entity tag, or a date that is old enough to be one (RFC 9110, 8.8.2.2)."""
    tag = headers.get("etag", "")
    if tag[:1] == '"':
        return tag
    date = headers.get("last-modified", "")
    return date if date != headers.get("date", date) and not tag else ""


def _hash(part, digest):
    """A SHA-256 of the file `part`; None if no `digest` is wanted."""
    if digest is None:
        return None
    from hashlib import sha256

    digested = sha256()
    if part is not None:
        buffer = bytearray(_PIECE)
        view = memoryview(buffer)
        with open(part, "rb") as file:
            while True:
                n = file.readinto(buffer)
                if not n:
                    break
                digested.update(view[:n])
    return digested


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


def _label(url):
    """Which resource `url` means, in a few characters: entity tags tell versions of one apart (RFC 9110, 8.8.3), and
    another file may have the same."""
    from binascii import hexlify
    from hashlib import sha256

    host, _, target = url.partition("://")[2].partition("/")
    host = host.rpartition(":")[0] or host
    return str(hexlify(sha256((host + "/" + target).encode()).digest()[:6]), "ascii") + " "


def _read(path, label):
    """The validator in the note at `path`, None unless it is for the resource `label`, and fit for a header field."""
    try:
        with open(path) as file:
            text = file.read(_MAX_VALIDATOR)
    except (OSError, UnicodeError):
        return None
    if not text.startswith(label) or min(text) < " " or "\x7f" in text:
        return None
    return text[len(label) :]


def _write(path, label, text):
    if text and len(text) <= _MAX_VALIDATOR - len(label):
        with open(path, "w") as file:
            file.write(label + text)


def no_room(error, path):
    """What to raise for `error`, which writing the file `path` raised: it, or if the disk is full that in words."""
    if not isinstance(error, OSError) or error.errno != _ENOSPC:
        return error
    return TLSError("there is no room for %s" % path, "Remove other files", error)


def remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


def replace(part, path):
    """Gives the file `part` the name `path`, over whatever has it."""
    try:
        os.rename(part, path)
    except OSError:
        # FAT renames over nothing. A power failure between these two leaves `part`, complete.
        remove(path)
        os.rename(part, path)
    if hasattr(os, "sync"):
        os.sync()
