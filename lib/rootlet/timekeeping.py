"""Sets the clock, and remembers over a power cycle how late it was.

Sources: the real-time clock, which the port reads anyway; a modem's network time; SNTP (RFC 4330). SNTP can be forged
by whoever is on the way. So an answer is believed only between the floor and the ceiling of clock.py, and never turns a
good clock back: the worst a forger can do is to make a board believe in a later time, at which it refuses good
certificates; it cannot bring expired ones back to life.
"""

import rootlet
from micropython import const

from . import clock
from .civil import calendar

_PACKET = const(48)
_1900_TO_1970 = const(2208988800)
_ERA = const(4294967296)  # 2**32 seconds: NTP's clock begins anew on 2036-02-07
_DAY = const(86400)


def synchronise(host="pool.ntp.org", stores=(), modem=None, timeout_ms=5_000, port=123):
    """Makes sure that the clock is set. Returns seconds since 1970.

    A clock that is good already is only set forward, if SNTP says that it is late. `stores`: the board's trust stores,
    whose dates bound what is believed. `modem`: has `network_time()` (seconds since 1970 or None), asked before `host`.
    Raises ClockError with what every source said; UnsupportedError if this port's clock cannot be set.
    """
    floor, ceiling = clock.bounds(stores)
    # Nobody needs to believe in a time at which the stores must not be used any more. Without the time they can still
    # be replaced, and the new one's end is later.
    ends = [store.not_used_after for store in stores if store.not_used_after]
    believed = min(ceiling, max(ends)) if ends else ceiling
    said = []
    for name, ask in (
        ("the modem", modem and modem.network_time),
        (host, host and (lambda: query(host, timeout_ms, port))),
    ):
        if not ask:
            continue
        try:
            seconds = ask()
        except (OSError, ValueError) as error:
            said.append("%s: %s" % (name, error))
            continue
        if seconds is None or not floor <= seconds <= believed:
            said.append("%s gives %s, which is not believed" % (name, "nothing" if seconds is None else utc(seconds)))
            continue
        current = clock.now()
        if not floor <= current <= ceiling or seconds > current + 1:
            set_clock(seconds)
            return seconds
        return current
    if floor <= clock.now() <= ceiling:
        return clock.now()
    from .errors import ClockError

    raise ClockError(
        "the clock is not set and nobody could tell the time (%s)" % ("; ".join(said) or "nobody was asked")
    )


def keep(path="/clock", stores=(), host=None, modem=None, timeout_ms=5_000, port=123):
    """What an application does before it connects: takes the time in the file at `path` for a floor, and asks `modem`
    and `host` if the clock is not set, or once a day whether it is late. When it has connected it calls `remember`.

    Returns seconds since 1970. Raises ClockError, as `synchronise`, if the clock is not set afterwards.
    """
    if not rootlet.remembered_s:
        load(path)
    floor, ceiling = clock.bounds(stores)
    seconds = clock.now()
    good = floor <= seconds <= ceiling
    if not good or ((host or modem) and seconds - rootlet.remembered_s >= _DAY):
        try:
            seconds = synchronise(host, stores, modem, timeout_ms, port)
        except OSError as error:
            if not good:
                raise error
    return seconds


def utc(seconds):
    """`seconds` since 1970 as 2026-11-21 04:10:00 UTC."""
    return "%04d-%02d-%02d %02d:%02d:%02d UTC" % calendar(seconds)


def query(host, timeout_ms=5_000, port=123):
    """Asks the time server `host`. Returns seconds since 1970. Raises OSError, or ValueError in words for an answer
    that must not be used."""
    import socket
    from errno import EAGAIN, ETIMEDOUT
    from os import urandom
    from time import ticks_add, ticks_diff, ticks_ms

    # The transmit timestamp comes back as originate timestamp: a random one proves that the answer is to this question
    # (RFC 4330, 5, and draft-ietf-ntp-data-minimization, which is why nothing else is told).
    cookie = urandom(8)
    request = b"\x23" + bytes(39) + cookie  # version 4, client
    deadline_ms = ticks_add(ticks_ms(), timeout_ms)
    found = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM)
    if not found:
        raise ValueError("the name cannot be resolved")
    where = found[0]
    sock = socket.socket(where[0], where[1], where[2])
    try:
        sock.connect(where[-1])  # answers of others do not arrive
        sock.send(request)
        while True:
            left_ms = ticks_diff(deadline_ms, ticks_ms())
            if left_ms <= 0:
                raise ValueError("no answer to our question in time")
            sock.settimeout(left_ms / 1000)
            try:
                answer = sock.recv(_PACKET)
            except OSError as error:
                if error.errno in (EAGAIN, ETIMEDOUT):
                    continue  # the time is over
                raise error
            if len(answer) == _PACKET and answer[24:32] == cookie:
                return _transmit_time(answer)
            # Not the answer to our question: somebody guesses, or it is late from an earlier one.
    finally:
        sock.close()


def _transmit_time(answer):
    """Seconds since 1970 in an SNTP answer. Raises ValueError (RFC 4330, 5 and 8)."""
    stratum = answer[1]
    if answer[0] & 7 != 4:
        raise ValueError("that was no server's answer")
    if stratum == 0:
        code = "".join(chr(c) if 0x20 <= c < 0x7F else "?" for c in answer[12:16])
        raise ValueError("the server sends us away (kiss of death, %s)" % code)
    if stratum > 15 or answer[0] >> 6 == 3:
        raise ValueError("the server does not know the time itself")
    seconds = int.from_bytes(answer[40:44], "big")
    if not seconds:
        raise ValueError("the server's time is missing")
    if seconds < 0x80000000:
        seconds += _ERA  # RFC 4330, 3
    return seconds - _1900_TO_1970


def set_clock(seconds):
    """Sets the real-time clock. Raises UnsupportedError where there is none."""
    try:
        from machine import RTC
    except ImportError:
        from .errors import UnsupportedError

        raise UnsupportedError(
            "this port's clock cannot be set from here", "Set the clock of the system that it runs on"
        )
    year, month, day, hour, minute, second = calendar(seconds)
    weekday = (seconds // _DAY + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    RTC().datetime((year, month, day, weekday, hour, minute, second, 0))


def load(path="/clock"):
    """Takes the time that `remember` wrote as a floor. Anything that cannot be it is passed over."""
    try:
        with open(path, "rb") as file:
            data = file.read(9)
    except OSError:
        return
    # Twice, inverted: a torn write must not become a time in the far future, which nothing could correct.
    if len(data) == 8:
        seconds = int.from_bytes(data[:4], "little")
        if int.from_bytes(data[4:], "little") == seconds ^ 0xFFFFFFFF:
            rootlet.remembered_s = max(rootlet.remembered_s, seconds)


def remember(path="/clock", stores=()):
    """Writes a good clock's time to flash, at most once a day: flash wears out. Returns whether it did.

    To be called after a verified connection: certificates that were valid bear the time out. A forged one that went to
    flash would be a floor that no right time passes.
    """
    seconds = clock.now()
    floor, ceiling = clock.bounds(stores)
    if not floor <= seconds <= ceiling or seconds - rootlet.remembered_s < _DAY:
        return False
    data = seconds.to_bytes(4, "little") + (seconds ^ 0xFFFFFFFF).to_bytes(4, "little")
    for mode in ("r+b", "wb"):  # in place: FAT would forget the old time before it has the new one
        try:
            with open(path, mode) as file:
                file.write(data)
            rootlet.remembered_s = seconds
            return True
        except OSError:
            pass  # a flash that is full or read-only is no reason not to connect
    return False
