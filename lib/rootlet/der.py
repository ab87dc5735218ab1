"""DER, read in place: one tag-length-value at a time and never outside given bounds (X.690, 10.1).

Nothing is copied and nothing recurses: a reader says where a value begins and ends, and whoever wants to
go into it reads again with these two as the bounds.
"""


class DerError(ValueError):
    """The bytes break a rule of DER or of the structure that they should hold."""


class Reader:
    """Reads `data` (bytes, bytearray or memoryview). After `read`: `tag`, `start` and `end` of the value."""

    def __init__(self, data=None):
        self.data = data
        self.tag = self.start = self.end = 0

    def read(self, at, limit):
        """Reads the header at `at` of a value that must end at `limit` or before it. Returns the tag.

        `limit` must not exceed the length of the data. Raises DerError, also for what BER allows and DER does not:
        indefinite or needlessly long lengths. No value of a certificate has a tag number above 30, and none that a
        board takes has 64 KB or more, so neither is read.
        """
        data = self.data
        n = limit - at
        if n < 2:
            raise DerError
        tag = data[at]
        size = data[at + 1]
        at += 2
        if size & 0x80:
            # A value with a long length has at least 128 bytes: this also keeps the next lines inside the data.
            if n < 0x80:
                raise DerError
            if size == 0x81:
                size = data[at]
                at += 1
                least = 0x80
            else:
                least = 0x100 if size == 0x82 else 0x10000
                size = data[at] << 8 | data[at + 1]
                at += 2
            if size < least:
                raise DerError
        end = at + size
        if end > limit or tag & 0x1F == 0x1F:
            raise DerError
        self.tag = tag
        self.start = at
        self.end = end
        return tag

    def enter(self, tag, at, limit):
        """Like `read`, but the tag must be `tag`. Returns where the value begins."""
        if self.read(at, limit) != tag:
            raise DerError
        return self.start

    def time(self, at, limit):
        """Seconds since 1970 of the UTCTime or GeneralizedTime at `at`, as times.seconds gives them."""
        tag = self.read(at, limit)
        from rootlet.times import seconds

        return seconds(self.data, tag, self.start, self.end)
