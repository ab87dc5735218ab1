"""rootlet.connection: what is between Mbed TLS and the transport once the handshake is over."""

from errno import EAGAIN, ECONNRESET, EIO, ETIMEDOUT
from time import ticks_add, ticks_ms

from flight import APPLICATION_DATA, Transport, record
from rootlet.connection import _relay
from rootlet.observer import HandshakeObserver

BODIES = (b"first", b"x" * 300, b"the third of them")
DATA = b"".join([record(body, APPLICATION_DATA) for body in BODIES])


def relayed(*segments, **options):
    """An observer of a handshake that is over, as a Connection leaves it."""
    observer = HandshakeObserver(Transport(*segments, **options), None)
    observer.established()
    relay = _relay(observer)
    next(relay)
    observer.readinto = relay.send
    return observer


def fill(observer, size):
    """As Mbed TLS does; None as soon as the observer has nothing, with what was missing then."""
    got = b""
    while len(got) < size:
        buffer = bytearray(size - len(got))
        n = observer.readinto(buffer)
        if n is None:
            return None, size - len(got)
        assert n > 0, n
        got += bytes(buffer[:n])
    return got


def read_record(observer):
    head = fill(observer, 5)
    return fill(observer, head[3] << 8 | head[4])


def test_passes_every_byte_on_however_it_comes():
    for most in (1, 2, 5, 7, 65536):
        observer = relayed(DATA, most=most)
        for body in BODIES:
            assert read_record(observer) == body
        assert not observer.ended
        assert observer.readinto(bytearray(5)) == 0 and observer.ended


def test_an_exception_of_the_transport_is_kept_and_the_next_read_goes_on():
    for raised, answer in (
        (OSError(ECONNRESET, ""), -ECONNRESET),
        (OSError(ETIMEDOUT, ""), -ETIMEDOUT),
        (ValueError("no"), -EIO),
        (MemoryError(), -EIO),
        (KeyboardInterrupt(), -EIO),
        (StopIteration(), -EIO),
    ):
        observer = relayed(raised, DATA)
        assert observer.readinto(bytearray(5)) == answer
        assert observer.error is raised
        assert read_record(observer) == BODIES[0]


def test_nothing_for_now_is_noted():
    for segment in (None, OSError(EAGAIN, "")):
        observer = relayed(segment, DATA)
        observer.wants_write = segment is None  # as a write before has left it
        assert observer.readinto(bytearray(5)) is None
        assert observer.dry and not observer.ended and not observer.wants_write
        assert read_record(observer) == BODIES[0]


def test_no_more_records_are_read_than_are_allowed_whenever_that_begins():
    # Reads without a limit may have stopped in the middle of a record's header or body, or between two.
    whole = len(record(BODIES[0], APPLICATION_DATA))
    for most in (1, 3, 65536):
        for before in range(whole + 1):
            observer = relayed(*([DATA[:before]] if before else []), None, DATA[before:], most=most)
            head = fill(observer, 5)
            missing = None
            if isinstance(head, tuple):
                missing = head[1]
            else:
                body = fill(observer, len(BODIES[0]))
                if isinstance(body, tuple):
                    missing = body[1]
                else:
                    # All of the first was there; the second is what one more may be.
                    observer.quota = 1
                    assert fill(observer, 5) == (None, 5)
                    assert fill(observer, 5) is not None
                    assert fill(observer, len(BODIES[1])) == BODIES[1]
                    assert observer.quota == 0 and observer.readinto(bytearray(5)) is None
                    continue
            observer.quota = 0
            assert observer.readinto(bytearray(missing)) is None
            observer.quota = 1
            rest = fill(observer, missing)
            if before < 5:
                assert observer.quota == 1, "the header alone is no record"
                rest = fill(observer, len(BODIES[0]))
            assert BODIES[0].endswith(rest)
            assert observer.quota == 0 and observer.readinto(bytearray(5)) is None, "that would be the next record"
            observer.quota = -1
            assert read_record(observer) == BODIES[1]


def test_the_count_goes_on_where_reads_with_a_limit_have_left_it():
    observer = relayed(DATA)
    observer.quota = 1
    assert fill(observer, 5) is not None
    observer.quota = -1  # in the middle of the record
    assert fill(observer, len(BODIES[0])) == BODIES[0]
    observer.quota = 1
    assert read_record(observer) == BODIES[1]
    assert observer.quota == 0


def test_a_deadline_holds_from_the_next_read_on_and_ends_with_itself():
    observer = relayed(DATA)
    assert read_record(observer) == BODIES[0]
    observer.deadline_ms = ticks_add(ticks_ms(), -1)
    assert observer.readinto(bytearray(5)) < 0
    assert observer.error.args[0] == ETIMEDOUT
    observer = relayed(DATA)
    observer.deadline_ms = ticks_add(ticks_ms(), 60_000)
    assert read_record(observer) == BODIES[0]
    observer.deadline_ms = None
    assert read_record(observer) == BODIES[1]
