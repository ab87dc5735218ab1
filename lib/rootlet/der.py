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
        """As `enter` for any tag, which it returns."""
        self.enter(None, at, limit)
        return self.tag

    def enter(self, tag, at, limit):
        """Reads the header at `at` of a value with this `tag` (None: any) that must end at `limit` or before it.
        Returns where the value begins.

        `limit` must not exceed the length of the data. Raises DerError, also for what BER allows and DER does not:
        indefinite or needlessly long lengths. No value of a certificate has a tag number above 30, and none that a
        board takes has 64 KB or more, so neither is read.
        """
        # No more variables than these: with one more the frame would not lie on MicroPython's stack but in its heap.
        data = self.data
        if limit - at < 2:
            raise DerError
        found = data[at]
        end = data[at + 1]  # the length, first of all
        at += 2
        if end & 0x80:
            # A value with a long length has at least 128 bytes: this also keeps the next lines inside the data.
            if limit - at < 0x7E:
                raise DerError
            if end == 0x81:
                end = data[at]
                at += 1
                if end < 0x80:
                    raise DerError
            elif end == 0x82:
                end = data[at] << 8 | data[at + 1]
                at += 2
                if end < 0x100:
                    raise DerError
            else:
                raise DerError
        end += at
        if end > limit or found & 0x1F == 0x1F or (tag is not None and found != tag):
            raise DerError
        self.tag = found
        self.start = at
        self.end = end
        return at

    def time(self, at, limit):
        """Seconds since 1970 of the UTCTime or GeneralizedTime at `at`, as times.seconds gives them."""
        tag = self.read(at, limit)
        from rootlet.times import seconds

        return seconds(self.data, tag, self.start, self.end)
