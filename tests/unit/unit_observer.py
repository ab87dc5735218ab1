"""rootlet.observer: what it sees of a handshake, however it is cut up, and what it does when something is wrong."""

import sys
from errno import EAGAIN, ECONNRESET, EIO, ENOMEM, ETIMEDOUT
from time import ticks_add, ticks_ms

import flight
import make
from flight import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    SERVER_HELLO,
    SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE,
    Reader,
    Transport,
    certificate_message,
    each,
    issuers,
    message,
    record,
)
from rootlet import flight as limits
from rootlet.observer import HandshakeObserver
from run import Skip

# HandshakeObserver.seen, as in rootlet.flight.
NOTHING, TLS_RECORDS, CERTIFICATE, ENCRYPTED = range(4)

ROOT = make.name(("2.5.4.6", "DE"), cn="Root")
SUB = make.name(
    ("2.5.4.10", "An organisation with a name of more than a hundred and twenty-seven bytes " + "x" * 80), cn="Sub"
)
LEAF_DER = make.certificate(issuer=SUB)
SUB_DER = make.certificate(issuer=ROOT, subject=SUB, spki=make.rsa(), signature=bytes(257))
ROOT_DER = make.certificate(issuer=ROOT, subject=ROOT, version=1, extensions=None)
CHAIN = certificate_message(LEAF_DER, SUB_DER, ROOT_DER)
MESSAGES = SERVER_HELLO + CHAIN + SERVER_KEY_EXCHANGE + SERVER_HELLO_DONE
NAMES = [SUB, ROOT, ROOT]


def test_hands_out_the_issuer_of_every_certificate_in_the_order_of_the_message():
    assert issuers(record(SERVER_HELLO) + record(CHAIN) + record(SERVER_HELLO_DONE)) == NAMES


def test_several_messages_in_one_record():
    assert issuers(record(MESSAGES)) == NAMES


def test_a_record_for_every_byte():
    assert issuers(b"".join([record(byte) for byte in each(MESSAGES)])) == NAMES


def test_a_record_for_every_byte_that_come_one_byte_at_a_time():
    assert issuers(b"".join([record(byte) for byte in each(MESSAGES)]), most=1) == NAMES


def test_every_byte_in_a_read_of_its_own_with_waits_between():
    segments = []
    for byte in each(record(MESSAGES)):
        segments += [None, byte]
    assert issuers(*segments) == NAMES


def test_the_transport_cuts_the_flight_at_every_byte():
    data = record(SERVER_HELLO) + record(CHAIN) + record(SERVER_HELLO_DONE)
    for cut in range(1, len(data)):
        assert issuers(data[:cut], data[cut:]) == NAMES, cut


def test_records_cut_the_messages_at_every_byte():
    for cut in range(1, len(MESSAGES)):
        assert issuers(record(MESSAGES[:cut]) + record(MESSAGES[cut:])) == NAMES, cut


def test_pieces_of_every_size():
    data = record(MESSAGES)
    for size in range(2, 60):
        assert issuers(*each(data, size)) == NAMES
        assert issuers(b"".join([record(piece) for piece in each(MESSAGES, size)])) == NAMES


def test_empty_records_between_and_before_the_others_change_nothing():
    data = b"".join([record(b"") + record(piece) + record(b"") for piece in each(MESSAGES, 50)])
    assert issuers(data) == NAMES


def test_one_issuer_of_several_certificates_is_handed_out_for_each():
    leaf = make.certificate(issuer=ROOT)
    assert issuers(record(certificate_message(leaf, leaf, ROOT_DER))) == [ROOT] * 3


def test_unrelated_certificates_are_reported_as_well():
    strangers = [make.certificate(issuer=make.name(cn="Stranger %d" % i)) for i in range(4)]
    chain = [LEAF_DER, strangers[0], strangers[1], SUB_DER, strangers[2], strangers[3]]
    expected = [SUB, make.name(cn="Stranger 0"), make.name(cn="Stranger 1"), ROOT, make.name(cn="Stranger 2")]
    assert issuers(record(SERVER_HELLO + certificate_message(*chain))) == expected + [make.name(cn="Stranger 3")]


def test_names_of_every_length_that_changes_their_encoding():
    for size in (0, 1, 100, 126, 127, 128, 129, 200, 255, 256, 257, 500, 1020, 1024):
        name = make.tlv(0x30, bytes(size))
        assert issuers(record(certificate_message(make.certificate(issuer=name)))) == [name], size


def test_a_name_above_the_limit_is_passed_over_and_the_next_one_found():
    long = make.tlv(0x30, bytes(limits.MAX_NAME + 1))
    assert issuers(record(certificate_message(make.certificate(issuer=long), SUB_DER))) == [ROOT]


def test_a_certificate_without_certificates_has_no_issuer():
    for chain in (certificate_message(), certificate_message(b""), certificate_message(b"", b"", b"\x30")):
        reader = Reader(Transport(record(SERVER_HELLO + chain)))
        assert reader.run() == 0
        assert reader.names == [] and reader.observer.seen == CERTIFICATE


def test_messages_behind_the_certificate_are_not_read():
    assert issuers(record(CHAIN + certificate_message(make.certificate(issuer=make.name(cn="second"))))) == NAMES


def test_says_how_much_of_the_handshake_it_has_seen():
    for data, seen in (
        (b"", NOTHING),
        (b"\x16\x03\x03", NOTHING),
        (record(SERVER_HELLO), TLS_RECORDS),
        (record(SERVER_HELLO + CHAIN[:4]), CERTIFICATE),
        (record(MESSAGES) + record(b"\x01", CHANGE_CIPHER_SPEC), ENCRYPTED),
    ):
        reader = Reader(Transport(data))
        assert reader.run() == 0
        assert reader.observer.seen == seen
        assert not reader.observer.encrypted


def test_an_encrypted_certificate_is_reported_as_such_and_nothing_is_read_into_it():
    hidden = record(MESSAGES, APPLICATION_DATA)
    for data in (
        record(SERVER_HELLO) + hidden,
        record(SERVER_HELLO) + record(b"\x01", CHANGE_CIPHER_SPEC) + hidden + record(MESSAGES),
    ):
        for segments in ([data], each(data)):
            reader = Reader(Transport(*segments))
            assert reader.run() == 0
            assert reader.names == []
            assert reader.observer.encrypted and reader.observer.seen == ENCRYPTED


def test_a_certificate_in_clear_is_not_called_encrypted_by_what_follows():
    reader = Reader(Transport(record(MESSAGES) + record(b"\x01", CHANGE_CIPHER_SPEC) + record(bytes(40))))
    assert reader.run() == 0
    assert not reader.observer.encrypted


def test_an_alert_in_clear_is_kept_however_it_is_cut():
    alert = record(b"\x02\x28", ALERT)
    for segments in ([alert], each(alert), [record(b"\x02", ALERT) + record(b"\x28", ALERT)]):
        reader = Reader(Transport(record(SERVER_HELLO), *segments))
        reader.run()
        assert reader.observer.alert == 40


def test_an_encrypted_alert_is_not_mistaken_for_one_in_clear():
    reader = Reader(Transport(record(MESSAGES) + record(b"\x01", CHANGE_CIPHER_SPEC) + record(bytes(26), ALERT)))
    reader.run()
    assert reader.observer.alert is None


def test_what_is_no_tls_record_is_refused_with_its_first_bytes():
    for data in (b"HTTP/1.1 400 Bad", b"SSH-2.0-Open", bytes(20), b"\x16\x02\x00\x00\x05xxxxx", b"\x13\x03\x03\0\0"):
        for segments in ([data], each(data)):
            reader = Reader(Transport(*segments))
            assert reader.run() == -EIO
            assert reader.observer.refusal == data[:5]
            assert reader.names == []


def test_nonsense_between_records_is_left_to_mbed_tls():
    reader = Reader(Transport(record(SERVER_HELLO) + b"HTTP/" + bytes(0x5450)))
    reader.run()
    assert reader.observer.refusal is None and reader.observer.error is None


def test_a_certificate_message_at_the_limit_is_read_and_one_above_it_refused():
    limit = limits.MAX_CERTIFICATE_MESSAGE
    size = len(certificate_message(make.certificate(issuer=SUB, signature=bytes(14000)))) - 4
    der = make.certificate(issuer=SUB, signature=bytes(14000 + limit - size))
    chain = certificate_message(der)
    assert len(chain) == limit + 4
    assert issuers(record(chain[:9000]) + record(chain[9000:])) == [SUB]
    for size in (limit + 1, 0xFFFFFF):
        reader = Reader(Transport(record(b"\x0b" + flight.u24(size)) + record(bytes(100))))
        assert reader.run() == -EIO
        assert str(size) in reader.observer.refusal and str(limit) in reader.observer.refusal


def test_more_certificates_than_the_limit_are_refused_and_the_first_ones_reported():
    limit = limits.MAX_CERTIFICATES
    leaf = make.certificate(issuer=ROOT)
    assert issuers(record(certificate_message(*([leaf] * limit)))) == [ROOT] * limit
    reader = Reader(Transport(record(certificate_message(*([leaf] * (limit + 1))))))
    assert reader.run() == -EIO
    assert str(limit) in reader.observer.refusal
    assert len(reader.names) == limit


def test_a_message_before_the_certificate_may_be_longer_than_any_buffer():
    big = message(4, b"")[:1] + flight.u24(70000) + bytes(70000)
    data = b"".join([record(piece) for piece in each(big + CHAIN, 16384)])
    assert issuers(data) == NAMES


def outcome(data):
    """Everything the observer says about a flight; it must never raise and never blame the transport."""
    reader = Reader(Transport(data))
    result = reader.run()
    observer = reader.observer
    assert observer.error is None, observer.error
    assert result == 0 or (result == -EIO and observer.refusal), result
    for name in reader.names:
        assert len(name) <= limits.MAX_NAME + 4
        assert name in data or len(data) > 4000, "an issuer that never came"
    return reader


def test_a_flight_that_ends_at_any_byte_is_no_error():
    data = record(SERVER_HELLO) + record(CHAIN)
    for n in range(len(data)):
        outcome(data[:n])


def test_a_message_that_is_cut_short_at_any_byte_and_goes_on_with_another_is_no_error():
    for n in range(0, len(CHAIN), 3):
        outcome(record(CHAIN[:n] + SERVER_HELLO_DONE + CHAIN))


def test_no_flipped_byte_makes_it_raise_or_read_elsewhere():
    good = record(SERVER_HELLO) + record(certificate_message(make.certificate(issuer=ROOT), ROOT_DER))
    data = bytearray(good)
    for at in range(len(good)):
        for flip in (0x01, 0x80, 0xFF):
            data[at] ^= flip
            outcome(bytes(data))
            data[at] = good[at]


def test_no_length_in_the_der_makes_it_raise_or_read_elsewhere():
    der = bytearray(make.certificate(issuer=ROOT))
    for at in range(1, 70):
        for value in (0, 0x7F, 0x80, 0x81, 0x82, 0x83, 0x84, 0xFF):
            kept = der[at]
            der[at] = value
            reader = outcome(record(certificate_message(bytes(der), SUB_DER)))
            # Whatever the first certificate says, the second one is where the message says.
            assert reader.names[-1:] == [ROOT], (at, value)
            der[at] = kept


def test_every_truncated_certificate_is_passed_over_and_the_next_one_found():
    der = make.certificate(issuer=ROOT)
    for n in range(len(der)):
        reader = outcome(record(certificate_message(der[:n], LEAF_DER)))
        assert reader.names[-1] == SUB, n
        assert reader.names in ([SUB], [ROOT, SUB])


def test_lengths_of_the_message_that_contradict_each_other_are_no_error():
    der = make.certificate(issuer=ROOT)
    for total in (0, 1, 2, 3, 4, 5, 6, 7, 100, len(der) + 2, len(der) + 7, 16384):
        for entry in (0, 1, len(der) - 1, len(der) + 1, 16384, 0xFFFFFF):
            data = b"\x0b" + flight.u24(total) + flight.u24(total) + flight.u24(entry) + der
            outcome(record(data + SERVER_HELLO_DONE))


def test_random_bytes_are_no_error():
    state = 1
    for _ in range(150):
        data = bytearray()
        for _ in range(120):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            data.append(state >> 16 & 0xFF)
        outcome(record(bytes(data)))
        outcome(record(b"\x0b\0\0\x78\0\0\x75\0\0\x72\x30\x70\x30\x6e" + bytes(data)))


def test_the_bytes_pass_through_unchanged():
    data = record(MESSAGES) + record(b"\x01", CHANGE_CIPHER_SPEC) + record(bytes(40))
    for size in (1, 7, 1000):
        transport = Transport(*each(data, size))
        observer = HandshakeObserver(transport, lambda name: None)
        received = b""
        buffer = bytearray(50)
        while True:
            n = observer.readinto(buffer)
            if not n:
                break
            received += buffer[:n]
        assert received == data
        assert observer.write(memoryview(data)) == len(data)
        assert transport.written == data


def os_error(number):
    return OSError(number, "") if sys.implementation.name == "cpython" else OSError(number)


def test_an_exception_of_the_transport_is_kept_and_becomes_a_negative_errno():
    for raised, number in (
        (os_error(ECONNRESET), ECONNRESET),
        (os_error(ETIMEDOUT), ETIMEDOUT),
        (OSError(), EIO),
        (OSError("words"), EIO),
        (os_error(-30592), EIO),  # another TLS below this one
        (os_error(0), EIO),
        (os_error(118000), EIO),
        (MemoryError(), EIO),
        (ValueError("odd"), EIO),
        (KeyboardInterrupt(), EIO),
        (SystemExit(), EIO),
    ):
        for how in ("reading", "reading later", "writing"):
            segments = [raised] if how == "writing" else [record(SERVER_HELLO), raised]
            reader = Reader(Transport(*segments))
            observer = reader.observer
            if how == "reading later":
                observer.established()
            result = observer.write(b"abc") if how == "writing" else reader.run()
            assert result == -number, (how, raised, result)
            assert observer.error is raised


def test_would_block_is_no_error_even_if_the_transport_raises_it():
    for call in ("readinto", "write"):
        for later in (False, True):
            observer = HandshakeObserver(Transport(os_error(EAGAIN)), None)
            if later:
                observer.established()
            assert getattr(observer, call)(bytearray(5)) is None
            assert observer.error is None


def test_would_block_behind_the_deadline_is_an_error():
    observer = HandshakeObserver(Transport(os_error(EAGAIN)), None, ticks_add(ticks_ms(), -1))
    assert observer.readinto(bytearray(5)) == -EIO
    assert observer.error.errno == EAGAIN


def test_a_fatal_alert_that_waits_when_a_write_fails_is_what_mbed_tls_is_told():
    for sent, result, alert in ((b"\x02\x28", -0x7780, 40), (b"\x01\x00", -ECONNRESET, None)):
        observer = HandshakeObserver(Transport(os_error(ECONNRESET), record(sent, ALERT)), None)
        assert observer.write(b"abc") == result
        assert observer.alert == alert


def test_an_exception_while_the_last_word_of_the_server_is_looked_for_is_kept():
    for raised in (MemoryError(), KeyboardInterrupt(), TypeError()):
        observer = HandshakeObserver(Transport(os_error(ECONNRESET), raised), None)
        assert observer.write(b"abc") == -EIO
        assert observer.error is raised


def test_a_write_that_would_block_takes_nothing_of_what_the_server_says():
    transport = Transport(os_error(EAGAIN), record(SERVER_HELLO))
    observer = HandshakeObserver(transport, None)
    assert observer.write(b"abc") is None
    assert transport.asked == []


class Raiser:
    def __init__(self, raised):
        self.raised = raised

    def __call__(self, *_):
        raise self.raised


def test_an_exception_of_the_one_who_is_told_the_issuers_is_kept():
    for raised, number in (
        (MemoryError(), EIO),
        (KeyboardInterrupt(), EIO),
        (os_error(ENOMEM), ENOMEM),
        (os_error(EAGAIN), EIO),  # of a file: not "nothing for now"
        (ValueError(), EIO),
    ):
        reader = Reader(Transport(record(CHAIN)), Raiser(raised))
        assert reader.run() == -number
        assert reader.observer.error is raised
        # Mbed TLS will not ask again. If it does, nothing worse happens.
        reader.observer.readinto(bytearray(10))


def test_the_end_of_the_transport_is_noted_before_and_after_the_handshake():
    for later in (False, True):
        reader = Reader(Transport(record(SERVER_HELLO)))
        if later:
            reader.observer.established()
        assert not reader.observer.ended
        assert reader.run() == 0
        assert reader.observer.ended


def test_after_the_handshake_nothing_is_watched():
    reader = Reader(Transport(record(SERVER_HELLO), record(CHAIN)))
    reader.observer.established()
    assert reader.run() == 0
    assert reader.names == []


def test_closing_closes_the_transport_and_unknown_requests_are_refused():
    transport = Transport()
    observer = HandshakeObserver(transport, None)
    assert observer.ioctl(4, 0) == 0
    assert transport.closed == 1
    assert observer.ioctl(10, 0) == -1


def test_an_error_while_closing_is_no_exception():
    class Stubborn(Transport):
        def close(self):
            raise os_error(ECONNRESET)

    assert HandshakeObserver(Stubborn(), None).ioctl(4, 0) == -ECONNRESET


class Quiet:
    """A transport whose bytes are in the buffer already, so that it costs no memory itself."""

    counted = 0

    def readinto(self, buffer):
        return len(buffer)

    def count(self, name):
        self.counted += 1


def test_watching_a_certificate_message_of_sixteen_kilobytes_copies_no_record():
    if sys.implementation.name != "micropython":
        raise Skip("gc.mem_alloc is MicroPython's")
    import gc

    for count in (1, 4, 10, 16):
        overhead = len(make.certificate(issuer=SUB, signature=bytes(500))) - 500 + 8
        leaf = make.certificate(issuer=SUB, signature=bytes(16384 // count - overhead))
        chain = certificate_message(*[leaf] * count)
        assert 14000 < len(chain) < 16400
        parts = []
        for piece in each(chain, 16384):
            parts += [memoryview(record(piece)[:5]), memoryview(piece)]
        buffers = [memoryview(bytearray(len(part))) for part in parts]
        for i in range(len(parts)):
            buffers[i][:] = parts[i]
        quiet = Quiet()
        observer = HandshakeObserver(quiet, quiet.count)
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        for buffer in buffers:
            observer.readinto(buffer)
        grown = gc.mem_alloc() - before
        gc.enable()
        assert quiet.counted == count
        # Of each certificate the name is copied twice, and some objects of 16 or 32 bytes are left to be collected.
        assert grown <= 768 + count * (512 + 2 * len(SUB)), (count, grown)


def test_no_more_records_are_read_than_are_allowed():
    data = record(SERVER_HELLO) + record(bytes(40)) + record(bytes(30))
    for later in (False, True):
        for most in (1, 3, 65536):
            observer = HandshakeObserver(Transport(data, most=most), None)
            if later:
                observer.established()
            sizes = []
            for body in (len(SERVER_HELLO), 40, 30):
                observer.quota = 1
                for want in (5, body):
                    got = 0
                    while got < want:
                        got += observer.readinto(bytearray(want - got))
                sizes.append(body)
                assert observer.quota == 0
                assert observer.readinto(bytearray(5)) is None, "that would be the next record"
            observer.quota = -1
            assert observer.readinto(bytearray(5)) == 0


def test_an_empty_record_is_none_of_those_that_are_allowed():
    observer = HandshakeObserver(Transport(record(b"") + record(SERVER_HELLO)), None)
    observer.quota = 1
    for want in (5, 5, len(SERVER_HELLO)):
        assert observer.readinto(bytearray(want)) == want
    assert observer.quota == 0
