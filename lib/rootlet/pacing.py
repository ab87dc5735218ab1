"""When to ask again: a period with chance in it, longer and longer waits after failures, and nudges."""

from os import urandom
from time import ticks_diff, ticks_ms

from micropython import const

_FIRST_RETRY_S = const(60)
_LEAST_BETWEEN_NUDGES_S = const(600)
_SOON_S = const(60)


class Pace:
    """Says when the next attempt is due. Counts ticks, because the clock may be set at any time.

    `since_s`: seconds since the last success before the board restarted, None if nobody knows.
    """

    def __init__(self, period_s, since_s=None):
        self.period_s = period_s
        self.failures = 0
        if since_s is not None and 0 <= since_s < period_s:
            wait_s = period_s - since_s
        else:
            # After a power failure all boards of a place start at once, so even the first time is left to chance.
            wait_s = min(_some(_SOON_S), period_s)
        self._last_ms = ticks_ms()
        self._left_ms = 1000 * wait_s
        self._quiet_ms = 0  # no nudge is heeded for so long

    def due(self):
        """Whether it is time. To be asked at least every few days: ticks go round after 6."""
        now_ms = ticks_ms()
        elapsed_ms = ticks_diff(now_ms, self._last_ms)
        self._last_ms = now_ms
        self._left_ms -= elapsed_ms
        self._quiet_ms = max(0, self._quiet_ms - elapsed_ms)
        return self._left_ms <= 0

    def left_s(self):
        """Seconds until it is time, 0 when it is."""
        return 0 if self.due() else (self._left_ms + 999) // 1000

    def hurry(self):
        """Brings the next attempt forward, to within a minute but ten minutes after the last one."""
        self.due()
        self._left_ms = min(self._left_ms, max(1000 * _some(_SOON_S), self._quiet_ms))

    def done(self, good):
        """An attempt was made."""
        if good:
            self.failures = 0
            wait_s = self.period_s - self.period_s // 10 + _some(self.period_s // 5)
        else:
            wait_s = min(_FIRST_RETRY_S << min(self.failures, 16), self.period_s)
            wait_s = wait_s // 2 + _some(wait_s // 2)
            self.failures += 1
        self._last_ms = ticks_ms()
        self._left_ms = 1000 * wait_s
        self._quiet_ms = 1000 * _LEAST_BETWEEN_NUDGES_S


def _some(most):
    """A random number from 0 to `most`."""
    chance = urandom(4)
    return (chance[0] | chance[1] << 8 | chance[2] << 16) % (most + 1)
