"""rootlet.dtls_flight: what it sees of a DTLS handshake, in whatever pieces and order it comes."""

from rootlet.dtls_flight import DatagramFlight

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE = 20, 21, 22
CERTIFICATE, CERTIFICATE_REQUEST = 11, 13
BODY = bytes(range(200))


class Observer:
    answered = certificate_requested = False
    refusal = alert = None
    last = 0

    def __init__(self):
        self.taken = []

    def take_certificates(self, message):
        self.taken.append(bytes(message))


def record(kind, content, epoch=0, version=0xFE):
    return bytes((kind, version, 0xFD, 0, epoch)) + bytes(6) + len(content).to_bytes(2, "big") + content


def piece(start, end, body=BODY, size=None, kind=CERTIFICATE):
    """A handshake record with this part of a message."""
    head = bytes((kind,)) + (len(body) if size is None else size).to_bytes(3, "big") + b"\0\1"
    return record(HANDSHAKE, head + start.to_bytes(3, "big") + (end - start).to_bytes(3, "big") + body[start:end])


def seen(*datagrams, wanted=True):
    observer = Observer()
    flight = DatagramFlight(observer, wanted)
    for datagram in datagrams:
        flight.watch(datagram)
    return observer


WHOLE = [bytes((CERTIFICATE,)) + len(BODY).to_bytes(3, "big") + BODY]


def test_a_message_is_put_together_whatever_way_its_pieces_come():
    for pieces in (
        [piece(0, 200)],
        [piece(0, 100), piece(100, 200)],
        [piece(150, 200), piece(0, 50), piece(50, 150)],
        [piece(0, 50), piece(0, 50), piece(50, 200), piece(50, 200)],
        [piece(0, 120), piece(80, 200)],
        [piece(60, 90), piece(30, 120), piece(0, 200)],
        [piece(0, 100) + piece(100, 200)],
        [piece(0, 100), b"", b"\x16", record(HANDSHAKE, b""), piece(100, 200)],
    ):
        assert seen(*pieces).taken == WHOLE
    assert seen(piece(0, 199)).taken == []
    assert seen(piece(0, 200), wanted=False).taken == []


def test_pieces_that_contradict_the_message_are_passed_over():
    for bad in (
        piece(100, 260, bytes(260), size=200),  # goes on behind the message's end
        piece(0, 50, size=100),  # of a message of another size
        piece(0, 50, size=300),
        piece(0, 50)[:-1],
        record(HANDSHAKE, piece(0, 50)[13:-1]),
        piece(0, 50).replace(b"\xfe\xfd", b"\x03\x03", 1),
    ):
        assert seen(piece(50, 100), bad, piece(0, 50), piece(100, 200)).taken == WHOLE, bad


def test_more_than_can_be_kept_is_refused():
    for most, refused in ((64, False), (65, True)):
        body = bytes(200)
        found = seen(*[piece(2 * i, 2 * i + 1, body) for i in range(most)])
        assert bool(found.refusal) is refused
    assert seen(piece(0, 10, bytes(16384))).refusal is None
    assert "16385" in seen(piece(0, 10, bytes(16385))).refusal


def test_the_rest_of_the_flight_is_noted():
    assert seen(record(ALERT, b"\2\x28")).alert == 0x28
    assert seen(record(ALERT, b"\1\x28")).alert is None, "a warning"
    assert seen(record(ALERT, b"\2\x28", epoch=1)).alert is None, "encrypted"
    assert seen(piece(0, 9, bytes(9), kind=CERTIFICATE_REQUEST)).certificate_requested
    assert seen(record(CHANGE_CIPHER_SPEC, b"\1")).last == 1
    assert seen(record(CHANGE_CIPHER_SPEC, b"\1"), record(HANDSHAKE, bytes(40), epoch=1)).last == 3
    assert seen(piece(0, 9)).answered
    assert not seen(record(ALERT, b"\1\0")).answered
