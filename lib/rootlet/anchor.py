"""One trust anchor: a record of the store, and the certificate made from it for Mbed TLS.

Mbed TLS takes trust anchors only as certificates, but it checks neither their signature nor their
serial number. So the store keeps what matters, the key and its limits, and the certificate is
written here when it is needed. The record's layout is in docs/store-format.md.
"""

from micropython import const

from rootlet.civil import calendar

_KEY_KIND = const(0x07)
_HAS_DISTRUST_AFTER = const(0x08)
_HAS_PATH_LENGTH = const(0x10)
_HAS_SUFFIXES = const(0x20)
_HAS_CONSTRAINTS = const(0x40)
_UNKNOWN_FLAGS = const(0x80)

_RSA = const(0)
_OTHER = const(4)
_EXACT = const(5)

_NEVER = const(0xFFFFFFFF)

# Literals: in frozen code they stay in flash, while what a function returns would lie in RAM.
# SubjectPublicKeyInfo up to the point's 04 (RFC 5480, 2): by kind, then the point's bytes without 04.
_EC = (
    None,
    (
        64,
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
        b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04",
    ),
    (96, b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00\x04"),
    (132, b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00\x04"),
)
_RSA_ALGORITHM = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"  # RFC 3279, 2.3.1
_EXPONENT_65537 = b"\x02\x03\x01\x00\x01"
_VERSION_3 = b"\xa0\x03\x02\x01\x02"
_ECDSA_WITH_SHA256 = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"  # RFC 5758, 3.2; never checked
_NO_SIGNATURE = b"\x03\x02\x00\x00"
# The common name "-". Nobody looks at a trust anchor's issuer, and a Name of one part takes Mbed TLS no memory.
_NOBODY = b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01-"
_CA = b"\xa3\x13\x30\x11\x30\x0f\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x05\x30\x03\x01\x01\xff"  # critical CA:TRUE
# The length follows.
_CA_WITH_PATH_LENGTH = b"\xa3\x16\x30\x14\x30\x12\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x08\x30\x06\x01\x01\xff\x02\x01"


class RecordError(ValueError):
    """A record of the store breaks a rule of the format."""


def _u32(data, at):
    return data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24


def _wrap(tag, *parts):
    """DER: `tag`, the length of all parts together, the parts."""
    n = 0
    for part in parts:
        n += len(part)
    if n < 0x80:
        head = bytes((tag, n))
    elif n < 0x100:
        head = bytes((tag, 0x81, n))
    else:
        head = bytes((tag, 0x82, n >> 8, n & 0xFF))
    return head + b"".join(parts)


def _time(seconds):
    """GeneralizedTime of `seconds` since 1970 (RFC 5280, 4.1.2.5.2)."""
    if seconds == _NEVER:
        return b"\x18\x0f99991231235959Z"
    return b"\x18\x0f%04d%02d%02d%02d%02d%02dZ" % calendar(seconds)


class Anchor:
    """A trust anchor and its limits.

    `exact` is true for a whole certificate that is trusted as itself; `distrust_after` is seconds
    since 1970 (0: none); `suffixes` the DNS suffixes it may sign for (None: any); `constraints` the
    DER value of a NameConstraints extension or None; `key` the key bytes.
    """

    def __init__(self, record):
        """`record`: the bytes of one record. Raises RecordError."""
        try:
            self._parse(record)
        except IndexError:
            raise RecordError("record is cut short")

    def _parse(self, record):
        flags = record[0]
        if flags & _UNKNOWN_FLAGS:
            raise RecordError("record has flags of a later format")
        self._kind = flags & _KEY_KIND
        self._not_before = _u32(record, 1)
        self._not_after = _u32(record, 5)
        self.exact = self._kind == _EXACT
        self.distrust_after = 0
        self.suffixes = None
        self.constraints = None
        self._path_length = None
        at = 9
        if flags & _HAS_DISTRUST_AFTER:
            self.distrust_after = _u32(record, at)
            at += 4
        if flags & _HAS_PATH_LENGTH:
            self._path_length = record[at]
            at += 1
        if flags & _HAS_SUFFIXES:
            self.suffixes = []
            count = record[at]
            at += 1
            for _ in range(count):
                end = at + 1 + record[at]
                self.suffixes.append(str(record[at + 1 : end], "ascii"))
                at = end
        if flags & _HAS_CONSTRAINTS:
            end = at + 2 + (record[at] | record[at + 1] << 8)
            self.constraints = bytes(record[at + 2 : end])
            at = end
        self.key = record[at:]
        n = len(self.key)  # none, too, if a length led beyond the end
        if not n or (_RSA < self._kind < _OTHER and n != _EC[self._kind][0]) or self._kind > _EXACT:
            raise RecordError("record has a key of the wrong size")
        if self.exact and self.key[-4:] == _NO_SIGNATURE:
            raise RecordError("record has a certificate that looks like one of ours")

    def may_sign_for(self, host):
        """Whether the DNS suffixes let this anchor sign for `host` (lower case, no trailing dot)."""
        if self.suffixes is None:
            return True
        for suffix in self.suffixes:
            if host == suffix or host.endswith("." + suffix):
                return True
        return False

    def certificate(self, name, serial):
        """DER of the certificate to load: `name` (DER) is its subject, `serial` (0…127) its number.

        The key is not kept: this works once.
        """
        key, self.key = self.key, None
        if self._kind == _EXACT:
            return bytes(key)
        if self._kind == _RSA:
            modulus = _wrap(0x02, b"\0" if key[0] & 0x80 else b"", key)
            key = _wrap(0x30, modulus, _EXPONENT_65537)
            key = _wrap(0x30, _RSA_ALGORITHM, _wrap(0x03, b"\0", key))
        elif self._kind != _OTHER:
            key = _EC[self._kind][1] + key
        validity = _wrap(0x30, _time(self._not_before), _time(self._not_after))
        if self._path_length is None:
            extensions = _CA
        else:
            # 0x80 and above would be negative; no chain is that long, so it limits nothing.
            extensions = _CA_WITH_PATH_LENGTH + bytes((min(self._path_length, 0x7F),))
        # fmt: off
        body = _wrap(0x30, _VERSION_3, bytes((0x02, 1, serial)), _ECDSA_WITH_SHA256, _NOBODY, validity, name, key,
                     extensions)
        # fmt: on
        return _wrap(0x30, body, _ECDSA_WITH_SHA256, _NO_SIGNATURE)
