"""DER, read in place: one tag-length-value at a time and never outside given bounds (X.690, 10.1).

Nothing is copied and nothing recurses: a reader says where a value begins and ends, and whoever wants to
go into it reads again with these two as the bounds.
"""

from micropython import const

BOOLEAN = const(0x01)
INTEGER = const(0x02)
BIT_STRING = const(0x03)
OCTET_STRING = const(0x04)
OID = const(0x06)
SEQUENCE = const(0x30)
SET = const(0x31)

_UTC_TIME = const(0x17)
_GENERALIZED_TIME = const(0x18)
_LAST = const(0xFFFFFFFF)


class DerError(ValueError):
    """The bytes break a rule of DER or of the structure that they should hold."""


class Reader:
    """Reads `data` (bytes, bytearray or memoryview). After `read`: `tag`, `start` and `end` of the value."""

    def __init__(self, data):
        self.data = data
        self.tag = self.start = self.end = 0

    def read(self, at, limit):
        """Reads the header at `at` of a value that must end at `limit` or before it. Returns the tag.

        `limit` must not exceed the length of the data. Raises DerError, also for what BER allows and DER does not:
        indefinite or needlessly long lengths. No value of a certificate has a tag number above 30, and none that a board
        takes has 64 KB or more, so neither is read.
        """
        data = self.data
        n = limit - at
        if n < 2:
            raise DerError("cut short")
        tag = data[at]
        size = data[at + 1]
        at += 2
        if size & 0x80:
            # A value with a long length has at least 128 bytes: this also keeps the next lines inside the data.
            if n < 0x80:
                raise DerError("cut short")
            if size == 0x81:
                size = data[at]
                at += 1
                least = 0x80
            else:
                least = 0x100 if size == 0x82 else 0x10000
                size = data[at] << 8 | data[at + 1]
                at += 2
            if size < least:
                raise DerError("bad length")
        end = at + size
        if end > limit or tag & 0x1F == 0x1F:
            raise DerError("bad length or tag")
        self.tag = tag
        self.start = at
        self.end = end
        return tag

    def enter(self, tag, at, limit):
        """Like `read`, but the tag must be `tag`. Returns where the value begins."""
        if self.read(at, limit) != tag:
            raise DerError("unexpected tag")
        return self.start

    def time(self, at, limit):
        """Seconds since 1970 of the UTCTime or GeneralizedTime at `at` (RFC 5280, 4.1.2.5).

        Between 0 and 0xFFFFFFFF: an earlier or later time counts as the first or the last of these. The sum is done by hand
        because the epoch of `time.mktime` is 1970 on some ports and 2000 on others, and its range ends with 32 bits.
        """
        tag = self.read(at, limit)
        at = self.start
        n = self.end - at
        if tag == _UTC_TIME and n == 13:
            year = self._digits(at)
            year += 2000 if year < 50 else 1900
        elif tag == _GENERALIZED_TIME and n == 15:
            year = self._digits(at) * 100 + self._digits(at + 2)
            at += 2
        else:
            raise DerError("bad time")
        month = self._digits(at + 2)
        day = self._digits(at + 4)
        hour = self._digits(at + 6)
        minute = self._digits(at + 8)
        second = self._digits(at + 10)
        if month == 2:
            days = 29 if year % 4 == 0 and (year % 100 or year % 400 == 0) else 28
        else:
            days = 31 - (month - 1) % 7 % 2
        if (
            not (1 <= month <= 12 and 1 <= day <= days and hour < 24 and minute < 60 and second < 60)
            or self.data[at + 12] != 0x5A  # Z
        ):
            raise DerError("bad time")
        # The year begins on 1 March here, so that the leap day is its last; 719468 days lie between 0000-03-01
        # and 1970-01-01.
        if month < 3:
            year -= 1
        month = (month + 9) % 12
        days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719469
        if days < 0:
            return 0
        if days > 49710:
            return _LAST
        return min(days * 86400 + hour * 3600 + minute * 60 + second, _LAST)

    def _digits(self, at):
        high = self.data[at] - 48
        low = self.data[at + 1] - 48
        if not (0 <= high <= 9 and 0 <= low <= 9):
            raise DerError("bad time")
        return 10 * high + low
