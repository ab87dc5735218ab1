"""Does this board know the time? Without it no certificate's dates can be checked.

A clock is taken for set when it is not before the floor: the latest of 2022-01-01, the time at which
the trust store was issued, and the time last written to flash; and not decades beyond it.
How a clock gets set is in timekeeping.py.
"""

import time

import rootlet
from micropython import const

_1970_TO_2000 = const(946684800)
# Boards wake up in 2000, 2015 or 2021; no right clock shows a day before this one.
_FLOOR = const(1640995200)  # 2022-01-01T00:00:00Z
_YEARS_20 = const(631152000)

_epoch = _1970_TO_2000 if time.gmtime(0)[0] == 2000 else 0


def now():
    """Seconds since 1970, whatever the port's epoch is."""
    return int(time.time()) + _epoch


def bounds(stores):
    """(floor, ceiling): a clock that shows a time outside is not set. Seconds since 1970."""
    floor = max(_FLOOR, rootlet.remembered_s)
    for store in stores:
        floor = max(floor, store.issued_at)
    return floor, floor + _YEARS_20


def check(stores):
    """Raises ClockError if the clock cannot be right, and TrustStoreExpiredError if one of `stores` must not be used
    any more."""
    seconds = now()
    floor, ceiling = bounds(stores)
    if not floor <= seconds <= ceiling:
        from rootlet.errors import ClockError

        raise ClockError("the clock is not set: it says %d-%02d-%02d" % time.gmtime()[:3])
    for store in stores:
        if store.not_used_after and seconds > store.not_used_after:
            from rootlet.errors import TrustStoreExpiredError

            raise TrustStoreExpiredError(store.path)


def synchronise(*arguments, **options):
    """See timekeeping.synchronise."""
    from rootlet.timekeeping import synchronise

    return synchronise(*arguments, **options)
