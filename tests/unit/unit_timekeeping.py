"""rootlet.clock and rootlet.timekeeping: which times are believed."""

import os
import time

import rootlet
from rootlet import clock, timekeeping
from rootlet.civil import calendar
from rootlet.errors import ClockError, TrustStoreExpiredError

NOW = 1_790_000_000  # 2026-09-21


class Store:
    path = "/certs/roots.rtlt"

    def __init__(self, issued_at=0, not_used_after=0):
        self.issued_at = issued_at
        self.not_used_after = not_used_after


def at(seconds, function, *arguments):
    """Calls `function` while the clock says `seconds`; what the function set it to comes back, too."""
    saved = clock.now, timekeeping.set_clock, rootlet.remembered_s
    shown = [seconds]
    clock.now = lambda: shown[0]

    def set_clock(seconds):
        shown[0] = seconds

    timekeeping.set_clock = set_clock
    try:
        return function(*arguments), shown[0]
    finally:
        clock.now, timekeeping.set_clock, rootlet.remembered_s = saved


def refused(kind, seconds, function, *arguments):
    try:
        at(seconds, function, *arguments)
    except kind as error:
        return str(error)
    raise AssertionError("not refused")


def answered(*answers):
    """A `query` that gives these answers one after another."""
    left = list(answers)

    def query(host, timeout_ms, port):
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return query


def synchronise(answer, stores=(), modem=None):
    saved = timekeeping.query
    timekeeping.query = answered(answer)
    try:
        return timekeeping.synchronise("ntp.test", stores, modem)
    finally:
        timekeeping.query = saved


def test_calendar_agrees_with_known_dates():
    for seconds, date in (
        (0, (1970, 1, 1, 0, 0, 0)),
        (951782399, (2000, 2, 28, 23, 59, 59)),
        (951782400, (2000, 2, 29, 0, 0, 0)),
        (951868800, (2000, 3, 1, 0, 0, 0)),
        (2147483648, (2038, 1, 19, 3, 14, 8)),
        (4107542399, (2100, 2, 28, 23, 59, 59)),
        (4107542400, (2100, 3, 1, 0, 0, 0)),
        (4294967295, (2106, 2, 7, 6, 28, 15)),
    ):
        assert calendar(seconds) == date, seconds


def test_clocks_that_were_never_set_are_refused():
    for seconds in (0, 946684800, 1420070400, 1609459200):  # 1970, 2000, 2015, 2021
        assert "the clock is not set" in refused(ClockError, seconds, clock.check, ())


def test_clock_before_the_issue_of_the_store_is_refused():
    at(NOW, clock.check, (Store(NOW),))
    refused(ClockError, NOW - 1, clock.check, (Store(NOW),))


def test_clock_in_a_future_that_nobody_planned_for_is_refused():
    refused(ClockError, NOW + 25 * 31557600, clock.check, (Store(NOW),))
    at(NOW + 15 * 31557600, clock.check, (Store(NOW),))


def test_store_past_its_end_is_refused():
    stores = (Store(NOW - 10, NOW), Store(NOW - 10, NOW + 100))
    at(NOW, clock.check, stores)
    assert "/certs/roots.rtlt" in refused(TrustStoreExpiredError, NOW + 1, clock.check, stores)


def test_unset_clock_is_set_by_sntp():
    assert at(0, synchronise, NOW) == (NOW, NOW)


def test_good_clock_is_set_forward_but_never_back():
    assert at(NOW, synchronise, NOW + 60) == (NOW + 60, NOW + 60)
    assert at(NOW, synchronise, NOW - 60) == (NOW, NOW)


def test_lying_servers_are_not_believed():
    for answer in (0, 946684800, 4102444800, NOW - 1, NOW + 30 * 31557600):  # 1970, 2000, 2100
        said = refused(ClockError, 0, synchronise, answer, (Store(NOW),))
        assert "not believed" in said, said
        assert at(NOW + 5, synchronise, answer, (Store(NOW),)) == (NOW + 5, NOW + 5)


def test_answer_beyond_the_stores_end_is_not_believed():
    store = Store(NOW - 30 * 31557600, NOW)
    refused(ClockError, 0, synchronise, NOW + 1, (store,))


def test_modem_is_asked_before_the_network():
    class Modem:
        def network_time(self):
            return NOW + 5

    assert at(0, synchronise, OSError(110), (), Modem()) == (NOW + 5, NOW + 5)


def test_modem_that_knows_nothing_leaves_it_to_the_network():
    class Modem:
        def network_time(self):
            return None

    assert at(0, synchronise, NOW, (), Modem()) == (NOW, NOW)


def test_failure_says_what_every_source_said():
    said = refused(ClockError, 0, synchronise, ValueError("the server sends us away"))
    assert "ntp.test: the server sends us away" in said


def packet(seconds=NOW, first=0x24, stratum=2, code=b"GPS\0"):
    stamp = ((seconds + 2208988800) & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes((first, stratum)) + bytes(10) + code + bytes(24) + stamp + bytes(4)


def test_sntp_answers_are_read_in_both_eras():
    for seconds in (NOW, 2085978495, 2085978497, 2147483648, 4000000000):
        assert timekeeping._transmit_time(packet(seconds)) == seconds


def test_sntp_answers_that_must_not_be_used_are_refused():
    for answer, words in (
        (packet(first=0x23), "no server's answer"),
        (packet(stratum=0, code=b"RATE"), "kiss of death, RATE"),
        (packet(stratum=16), "does not know the time"),
        (packet(first=0xE4), "does not know the time"),
        (packet(-2208988800), "missing"),
    ):
        try:
            timekeeping._transmit_time(answer)
        except ValueError as error:
            assert words in str(error), error
        else:
            raise AssertionError(words)


def path():
    return "/tmp/rootlet-clock-%d" % (time.time_ns() & 0xFFFFFFFF)


def test_time_is_remembered_over_a_reset_and_written_once_a_day():
    name = path()

    def story():
        assert timekeeping.remember(name)
        assert not timekeeping.remember(name), "twice on one day"
        rootlet.remembered_s = 0
        timekeeping.load(name)
        return rootlet.remembered_s

    try:
        assert at(NOW, story) == (NOW, NOW)
        saved = rootlet.remembered_s
        timekeeping.load(name)
        try:
            refused(ClockError, NOW - 1, clock.check, ())
        finally:
            rootlet.remembered_s = saved
    finally:
        os.remove(name)


def test_torn_or_foreign_file_is_no_floor():
    name = path()
    try:
        for content in (b"", b"\xff" * 8, b"\xff" * 4, bytes(8), bytes(100)):
            with open(name, "wb") as file:
                file.write(content)
            timekeeping.load(name)
            assert rootlet.remembered_s == 0, content
    finally:
        os.remove(name)
    timekeeping.load(name)


def test_unset_clock_is_never_remembered():
    name = path()
    assert at(0, timekeeping.remember, name) == (False, 0)
