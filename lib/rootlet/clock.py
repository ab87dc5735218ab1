"""Is it plausible that this board knows the time? Without it no certificate's dates can be checked."""

import time

from micropython import const

_DAYS_1970_TO_2000 = const(10957)
# No clock is right before this day, on which rootlet was begun: boards wake up in 2000, 2015 or 2021.
_FLOOR = const(1640995200)  # 2022-01-01T00:00:00Z


def now():
    """Seconds since 1970, whatever the port's epoch is."""
    seconds = int(time.time())
    if time.gmtime(0)[0] == 2000:
        seconds += _DAYS_1970_TO_2000 * 86400
    return seconds


def check(stores):
    """Raises ClockError if the clock is behind the time at which one of `stores` was issued, and
    TrustStoreExpiredError if it is past the time after which a store must not be used."""
    seconds = now()
    for store in stores:
        if seconds < max(store.issued_at, _FLOOR):
            from .errors import ClockError

            raise ClockError("the clock is not set: it says %d-%02d-%02d" % time.gmtime()[:3])
        if store.not_used_after and seconds > store.not_used_after:
            from .errors import TrustStoreExpiredError

            raise TrustStoreExpiredError(store.path)
