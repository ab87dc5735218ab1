"""rootlet.pacing: when a board asks again."""

from rootlet import pacing


def with_chance(value, use):
    """`use()` while chance says `value` and the clock stands still."""
    saved = pacing.urandom, pacing.ticks_ms
    pacing.urandom = lambda n: bytes([value] + [0] * (n - 1))
    pacing.ticks_ms = lambda: 5
    try:
        return use()
    finally:
        pacing.urandom, pacing.ticks_ms = saved


def test_the_first_wait_is_what_chance_says_and_a_minute_at_most():
    for seconds in (0, 1, 59, 60):
        assert with_chance(seconds, lambda: pacing.Pace(3600).left_s()) == seconds
    assert with_chance(61, lambda: pacing.Pace(3600).left_s()) == 0


def test_a_period_that_has_begun_goes_on():
    assert with_chance(7, lambda: pacing.Pace(3600, since_s=600).left_s()) == 3000
    assert with_chance(7, lambda: pacing.Pace(3600, since_s=3600).left_s()) == 7


def test_a_nudge_brings_the_next_attempt_to_within_a_minute_but_ten_minutes_after_the_last():
    def nudged(attempted):
        pace = pacing.Pace(3600, since_s=0)
        if attempted:
            pace.done(True)
        before = pace.left_s()
        pace.hurry()
        return before, pace.left_s()

    assert with_chance(7, lambda: nudged(False)) == (3600, 7)
    assert with_chance(7, lambda: nudged(True)) == (3247, 600)


def test_waits_double_with_failures_up_to_the_period():
    def waits():
        pace = pacing.Pace(3600)
        found = []
        for _ in range(9):
            pace.done(False)
            found.append(pace.left_s())
        return found

    assert with_chance(0, waits) == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]
