"""rootlet.wire: what a trace is told of the records that go by, however they are cut up."""

import flight
import make
from rootlet import alerts
from rootlet.wire import Records

CHAIN = flight.certificate_message(make.certificate())
HELLO = flight.message(2, b"\x03\x03" + bytes(32) + b"\x20" + b"s" * 32 + b"\xc0\x2b\0" + b"\0\0")


class Journal:
    def __init__(self):
        self.told = []

    def event(self, level, name, *fields):
        self.told.append((name,) + tuple([fields[i] for i in range(1, len(fields), 2)]))


def told(data, size=None, direction="in"):
    journal = Journal()
    records = Records(journal, direction)
    for piece in flight.each(data, size or len(data)):
        records.feed(memoryview(piece))
    return journal.told


def test_messages_are_named_and_the_hello_says_version_and_suite():
    data = flight.record(HELLO + CHAIN[:50]) + flight.record(CHAIN[50:] + flight.SERVER_HELLO_DONE)
    expected = [
        ("record", "in", "handshake", len(HELLO) + 50),
        ("message", "in", "server_hello", len(HELLO) - 4),
        ("server_hello", "0x0303", "0xc02b"),
        ("message", "in", "certificate", len(CHAIN) - 4),
        ("record", "in", "handshake", len(CHAIN) - 50 + 4),
        ("message", "in", "server_hello_done", 0),
    ]
    for size in (None, 1, 2, 3, 5, 7, 60):
        assert told(data, size) == expected, size


def test_alerts_are_named_until_they_are_encrypted():
    alert = flight.record(b"\x02\x28", flight.ALERT)
    change = flight.record(b"\x01", flight.CHANGE_CIPHER_SPEC)
    for size in (None, 1):
        assert told(alert, size, "out")[1:] == [("alert", "out", "handshake_failure", "fatal")]
        assert told(flight.record(b"\x01\0", flight.ALERT), size)[1:] == [("alert", "in", "close_notify", "warning")]
        encrypted = flight.record(bytes(26), flight.ALERT)
        assert told(change + encrypted, size)[-1] == ("alert", "in", "encrypted")
    assert alerts.name(200) == "number 200"
    assert alerts.name(120) == "no_application_protocol"


def test_nothing_of_what_is_encrypted_is_taken_for_a_message():
    change = flight.record(b"\x01", flight.CHANGE_CIPHER_SPEC)
    names = [event[0] for event in told(change + flight.record(HELLO) + flight.record(b"secret", 23))]
    assert names == ["record"] * 3


def test_a_short_hello_and_unknown_types_do_no_harm():
    for n in range(len(HELLO) - 4):
        told(flight.record(flight.message(2, HELLO[4 : 4 + n]) + CHAIN))
    assert told(flight.record(flight.message(99, b"x"), 77)) == [("record", "in", "type 77", 5)]
    assert told(flight.record(flight.message(99, b"x")))[1] == ("message", "in", "type 99", 1)
