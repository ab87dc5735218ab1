"""Times of certificates (RFC 5280, 4.1.2.5)."""

from micropython import const

from rootlet.der import DerError

_UTC_TIME = const(0x17)
_GENERALIZED_TIME = const(0x18)
_LAST = const(0xFFFFFFFF)


def seconds(data, tag, at, end):
    """Seconds since 1970 of the UTCTime or GeneralizedTime `data[at:end]`; `tag` says which. Raises DerError.

    Between 0 and 0xFFFFFFFF: an earlier or later time counts as the first or the last of these. The sum is done by hand
    because the epoch of `time.mktime` is 1970 on some ports and 2000 on others, and its range ends with 32 bits.
    """
    n = end - at
    if tag == _UTC_TIME and n == 13:
        year = _digits(data, at)
        year += 2000 if year < 50 else 1900
    elif tag == _GENERALIZED_TIME and n == 15:
        year = _digits(data, at) * 100 + _digits(data, at + 2)
        at += 2
    else:
        raise DerError("bad time")
    month = _digits(data, at + 2)
    day = _digits(data, at + 4)
    hour = _digits(data, at + 6)
    minute = _digits(data, at + 8)
    second = _digits(data, at + 10)
    if month == 2:
        days = 29 if year % 4 == 0 and (year % 100 or year % 400 == 0) else 28
    else:
        days = 31 - (month - 1) % 7 % 2
    if (
        not (1 <= month <= 12 and 1 <= day <= days and hour < 24 and minute < 60 and second < 60)
        or data[at + 12] != 0x5A  # Z
    ):
        raise DerError("bad time")
    # The year begins on 1 March here, so that the leap day is its last; 719468 days lie between 0000-03-01 and
    # 1970-01-01.
    if month < 3:
        year -= 1
    month = (month + 9) % 12
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719469
    if days < 0:
        return 0
    if days > 49710:
        return _LAST
    return min(days * 86400 + hour * 3600 + minute * 60 + second, _LAST)


def _digits(data, at):
    high = data[at] - 48
    low = data[at + 1] - 48
    if not (0 <= high <= 9 and 0 <= low <= 9):
        raise DerError("bad time")
    return 10 * high + low
