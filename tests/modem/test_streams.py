"""Connections through the emulated modem, in simulated time, when all goes well: one behaviour a test."""

from __future__ import annotations

import errno

import pytest
from simulation import Bench, connected, failing, load_driver

ModemError = load_driver().ModemError


def test_carries_data_both_ways() -> None:
    bench = Bench()
    bench.network.to_send[80] = bytes(range(256)) * 40
    bench.network.closes = False
    stream, peer = connected(bench)
    sent = bytes(reversed(range(256))) * 20
    assert stream.write(sent) == len(sent)
    assert peer.received == sent
    data = b""
    while len(data) < 10240:
        data += stream.read(1000)
    assert data == peer.to_send


def test_sends_at_most_1460_bytes_at_once() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, _ = connected(bench)
    stream.write(bytes(3000))
    sizes = [line.split(",")[1] for line in bench.modem.log if line.startswith("AT+CIPSEND=")]
    assert sizes == ["1460", "1460", "80"]


def test_sends_less_when_the_modem_has_less_room() -> None:
    bench = Bench(room=400)
    bench.network.closes = False
    stream, peer = connected(bench)
    stream.write(bytes(1000))
    assert len(peer.received) == 1000
    assert "AT+CIPSEND?" in bench.modem.log


def test_waits_while_the_modem_has_no_room() -> None:
    bench = Bench(room=0)
    bench.network.closes = False
    stream, peer = connected(bench)
    stream.setblocking(False)
    assert stream.write(b"hello") == 5
    bench.run(5000)
    assert peer.received == b""
    bench.modem.room = 1460
    bench.run(5000)
    assert peer.received == b"hello"


def test_gives_a_connection_up_that_has_no_room_for_a_minute() -> None:
    bench = Bench(room=0)
    bench.network.closes = False
    stream, _ = connected(bench)
    stream.settimeout(100)
    with failing(errno.ECONNRESET):
        stream.write(b"hello")


def test_data_that_looks_like_result_codes_is_data() -> None:
    text = (
        b"\r\nOK\r\n\r\n0, CLOSED\r\n> \r\nERROR\r\n\r\n+CIPRXGET: 2,0,5,0\r\nNORMAL POWER DOWN\r\n+PDP: DEACT\r\n" * 9
    )
    bench = Bench()
    bench.network.to_send[80] = text
    stream, peer = connected(bench)
    assert stream.read() == text
    bench.network.closes = False
    stream, peer = connected(bench, 81)
    stream.write(text)
    assert peer.received == text


def test_the_end_comes_after_all_data() -> None:
    bench = Bench()
    bench.network.to_send[80] = b"x" * 3000
    stream, _ = connected(bench)
    bench.run(2000)
    assert stream.read() == b"x" * 3000
    assert stream.read(1) == b""
    with failing(errno.ECONNRESET):
        stream.write(b"y")


def test_data_that_the_modem_threw_away_is_no_proper_end() -> None:
    bench = Bench(discards_on_close=True)
    bench.network.to_send[80] = b"x" * 3000
    stream, _ = connected(bench)
    bench.run(2000)
    with failing(errno.ECONNRESET):
        stream.read()


def test_six_connections_at_a_time_keep_apart() -> None:
    bench = Bench()
    bench.network.closes = False
    streams = []
    for n in range(6):
        bench.network.to_send[100 + n] = bytes([n]) * 700
        streams.append(connected(bench, 100 + n))
    for n, (stream, peer) in enumerate(streams):
        stream.write(bytes([n]) * 100)
        assert peer.received == bytes([n]) * 100
    for n, (stream, _) in enumerate(streams):
        data = b""
        while len(data) < 700:
            data += stream.read(100)
        assert data == bytes([n]) * 700
    with failing(errno.ENOBUFS):
        connected(bench, 106)
    streams[3][0].close()
    connected(bench, 106)


def test_an_identifier_is_used_again_as_late_as_possible() -> None:
    bench = Bench()
    used = []
    for _ in range(8):
        stream, _ = connected(bench)
        used.append(stream.id)
        stream.close()
    assert used == [0, 1, 2, 3, 4, 5, 0, 1]


def test_reports_connect_fail_as_host_unreachable() -> None:
    bench = Bench()
    with pytest.raises(ModemError, match=r"cannot connect to example\.org port 1$") as caught:
        connected(bench, 1)
    assert caught.value.errno == errno.EHOSTUNREACH


def test_keeps_the_deadline_of_a_connection_and_stays_usable() -> None:
    bench = Bench()
    bench.driver.up()
    before = bench.clock.now_ms
    with pytest.raises(ModemError) as caught:
        connected(bench, 2, 7000)
    assert caught.value.errno == errno.ETIMEDOUT
    assert 7000 <= bench.clock.now_ms - before < 8000
    connected(bench)
    assert "AT+CIPCLOSE=0,0" in bench.modem.log


def test_read_keeps_its_time_out() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, _ = connected(bench)
    stream.settimeout(3)
    before = bench.clock.now_ms
    with failing(errno.ETIMEDOUT):
        stream.read(1)
    assert 3000 <= bench.clock.now_ms - before < 4000


def test_does_not_block_when_asked_not_to() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    stream.setblocking(False)
    before = bench.clock.now_ms
    assert stream.readinto(bytearray(10)) is None
    assert stream.write(bytes(5000)) == 1460
    assert stream.write(b"more") is None, "the modem has not taken the first yet"
    assert stream.ioctl(3, 5) == 0
    assert bench.clock.now_ms == before
    bench.run(1000)
    assert stream.ioctl(3, 5) == 4
    assert len(peer.received) == 1460
    peer.to_send = b"now"
    bench.run(1000)
    assert stream.ioctl(3, 5) == 5
    assert stream.read(10) == b"now"
    assert stream.read(10) is None


def test_reads_lines_as_a_socket_does() -> None:
    bench = Bench(driver={"rx_bytes": 8})
    bench.network.to_send[80] = b"a line of more than eight bytes\r\n\nshort\nand no end"
    stream, _ = connected(bench)
    lines = [stream.readline(limit) for limit in (-1, 100, 3, -1, 0, -1, -1)]
    assert lines == [b"a line of more than eight bytes\r\n", b"\n", b"sho", b"rt\n", b"", b"and no end", b""]


def test_a_line_that_has_not_come_is_waited_for_or_handed_out_as_far_as_it_came() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    stream.setblocking(False)
    assert stream.readline() is None
    peer.to_send = b"half a "
    bench.run(1000)
    assert stream.readline() == b"half a "
    peer.to_send += b"line\n"
    bench.run(1000)
    assert stream.readline() == b"line\n"
    stream.settimeout(3)
    with failing(errno.ETIMEDOUT):
        stream.readline()


def test_close_sends_what_was_written_before() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    stream.setblocking(False)
    stream.write(b"last words")
    stream.close()
    bench.run(1000)
    assert peer.received == b"last words"
    assert peer.state == "closed"


def test_a_closed_stream_says_so() -> None:
    bench = Bench()
    stream, peer = connected(bench)
    stream.close()
    stream.close()
    assert peer.state == "closed"
    for operation in (lambda: stream.read(1), lambda: stream.write(b"x"), lambda: stream.readinto(bytearray(1))):
        with failing(errno.EBADF):
            operation()


def test_never_asks_for_more_than_its_buffer() -> None:
    bench = Bench(driver={"rx_bytes": 100})
    bench.network.to_send[80] = b"x" * 5000
    stream, _ = connected(bench)
    assert len(stream.read()) == 5000
    assert bench.uart.most < 100 + 64


def test_holds_a_write_back_while_cts_does() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    stream.setblocking(False)
    bench.uart.blocked = True
    stream.write(b"x" * 100)
    bench.run(3000)
    assert peer.received == b""
    bench.uart.blocked = False
    bench.run(3000)
    assert peer.received == b"x" * 100
