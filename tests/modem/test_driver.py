"""The SIM800 driver against the emulator, in simulated time: what it does, one behaviour a test."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from simulation import Bench, load_driver

ModemError = load_driver().ModemError


def connected(bench: Bench, port: int = 80, timeout_ms: int = 60_000):
    stream = bench.driver.connect("example.org", port, timeout_ms)
    return stream, bench.network.peers[-1]


@contextmanager
def failing(number: int) -> Iterator[None]:
    with pytest.raises(OSError) as caught:
        yield
    # OSError(n) has an errno on MicroPython only.
    assert caught.value.args[0] == number


# Bringing the modem up.


def test_brings_the_modem_up_on_the_first_connect() -> None:
    bench = Bench()
    assert bench.driver.step == "off"
    connected(bench)
    assert bench.driver.address == "10.64.0.7"
    assert bench.modem.apn == "internet"
    assert not bench.modem.echo
    assert bench.driver.signal() == -77


def test_up_again_does_nothing() -> None:
    bench = Bench()
    bench.driver.up()
    count = bench.modem.counts["command"]
    bench.driver.up()
    assert bench.modem.counts["command"] == count


def test_waits_for_registration() -> None:
    bench = Bench(registers_after=40)
    bench.driver.up()
    assert bench.clock.now_ms > 40_000


def test_says_what_it_waits_for_when_the_time_is_over_and_goes_on_later() -> None:
    bench = Bench(registers_after=40)
    with pytest.raises(ModemError, match="registration is not done yet") as caught:
        bench.driver.up(10_000)
    assert caught.value.errno == errno.ETIMEDOUT
    asked = bench.modem.log.count("AT+CIPSHUT")
    bench.driver.up()
    assert asked == 0
    assert bench.modem.log.count("ATE0") == 1, "it began anew"


def test_names_the_reason_when_no_network_takes_it() -> None:
    bench = Bench(registers_after=10**6)
    with pytest.raises(ModemError, match="not registered in a network: it still searches"):
        bench.driver.up(1_000_000)


def test_enters_the_pin() -> None:
    bench = Bench(sim_pin="4711", driver={"pin": "4711"})
    bench.driver.up()
    assert bench.modem.sim == "READY"


def test_asks_for_a_pin_that_is_missing() -> None:
    bench = Bench(sim_pin="4711")
    with pytest.raises(ModemError, match="asks for a PIN, and none was given"):
        bench.driver.up()


def test_tries_a_wrong_pin_once_only() -> None:
    bench = Bench(sim_pin="4711", driver={"pin": "0000"})
    for _ in range(5):
        with pytest.raises(ModemError, match="PIN") as caught:
            bench.driver.up()
        assert caught.value.errno == errno.EACCES
        assert "0000" not in str(caught.value)
    assert bench.modem.wrong_pins == 1


def test_leaves_the_last_try_of_a_pin_to_people() -> None:
    bench = Bench(sim_pin="4711", driver={"pin": "0000"})
    bench.modem.wrong_pins = 2
    with pytest.raises(ModemError, match="the SIM takes only 1 more"):
        bench.driver.up()
    assert bench.modem.wrong_pins == 2


@pytest.mark.parametrize(("sim", "words"), [("SIM PUK", "asks for its PUK"), ("NOT INSERTED", "SIM not inserted")])
def test_says_what_is_wrong_with_the_sim(sim: str, words: str) -> None:
    bench = Bench(sim=sim, driver={"pin": "1234"})
    with pytest.raises(ModemError, match=words):
        bench.driver.up()


def test_says_that_nothing_answers() -> None:
    bench = Bench(powered=False)
    with pytest.raises(ModemError, match="no modem answers on the UART"):
        bench.driver.up()
    assert bench.clock.now_ms < 15_000


@pytest.mark.parametrize("fixed_baud", [True, False])
def test_switches_the_modem_on(fixed_baud: bool) -> None:
    bench = Bench(key=True, powered=False, fixed_baud=fixed_baud)
    bench.driver.up()


def test_revives_a_modem_that_hears_but_does_not_answer() -> None:
    bench = Bench([("command", n, "silent", None) for n in range(1, 14)], key=True)
    bench.driver.up()


def test_switches_echo_off_and_passes_over_it_until_then() -> None:
    bench = Bench()
    bench.driver.up()
    assert bench.modem.counts["out"] > 0
    assert not bench.modem.echo


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"apn": 'x"\r\nATD112;'}, "no AT command can carry"),
        ({"user": "ü"}, "no AT command can carry"),
        ({"pin": "12"}, "4 to 8 digits"),
        ({"pin": '1";'}, "4 to 8 digits"),
    ],
)
def test_refuses_settings_that_would_break_out_of_a_command(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Bench(driver=settings)


@pytest.mark.parametrize("host", ['a"b', "a\rATH", "a\nb", "müller.example", "", "x" * 254])
def test_refuses_a_host_that_would_break_out_of_a_command(host: str) -> None:
    bench = Bench()
    with pytest.raises(ValueError):
        bench.driver.connect(host, 80)
    assert bench.modem.counts["command"] == 0


def test_sets_hardware_flow_control_when_asked() -> None:
    bench = Bench(driver={"flow_control": True})
    bench.driver.up()
    assert "AT+IFC=2,2" in bench.modem.log


# Exchanging data.


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


# What comes unasked, and what goes wrong.


@pytest.mark.parametrize(
    "line",
    ["RING", '+CMTI: "SM",1', "UNDER-VOLTAGE WARNNING", "x" * 5000, '*PSUTTZ: 2026,1,1,1,1,1,"+04",0', "5, CLOSED", ""],
)
def test_unsolicited_lines_between_a_command_and_its_answer_change_nothing(line: str) -> None:
    bench = Bench([("command", n, "urc", line) for n in range(1, 60)])
    bench.network.to_send[80] = b"x" * 3000
    stream, _ = connected(bench)
    assert stream.read() == b"x" * 3000
    assert bench.driver.failure is None


def test_the_text_of_a_message_is_no_result_code() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, _ = connected(bench)
    bench.modem.line('+CMT: "+15551234",,"26/11/21,12:00:00+04"\r\nNORMAL POWER DOWN')
    bench.run(1000)
    assert bench.driver.failure is None
    assert stream.write(b"x") == 1


def test_messages_and_calls_are_switched_off() -> None:
    bench = Bench()
    bench.driver.up()
    assert "AT+CNMI=0,0,0,0,0" in bench.modem.log
    assert "AT+GSMBUSY=1" in bench.modem.log


@pytest.mark.parametrize("line", ["RDY", "NORMAL POWER DOWN", "UNDER-VOLTAGE POWER DOWN", "+PDP: DEACT"])
def test_a_reset_ends_every_connection_and_the_next_one_brings_the_modem_up(line: str) -> None:
    bench = Bench()
    bench.network.closes = False
    streams = [connected(bench)[0], connected(bench)[0]]
    bench.modem.reset()
    bench.run(100)
    bench.modem.line(line)
    for stream in streams:
        with failing(errno.ECONNABORTED):
            stream.read(1)
    assert bench.driver.failure is not None
    connected(bench)


def test_a_silent_reset_is_noticed_by_its_echo() -> None:
    bench = Bench(fixed_baud=False)
    bench.network.closes = False
    stream, _ = connected(bench)
    bench.modem.reset()
    bench.modem.advance(5000 + bench.clock.now_ms)
    bench.clock.now_ms += 5000
    stream.settimeout(100)
    with pytest.raises(OSError):
        stream.write(b"x")
    assert "was reset" in bench.driver.failure.words
    connected(bench)


def test_a_silent_reset_is_noticed_while_only_reading() -> None:
    bench = Bench(fixed_baud=False)
    bench.network.closes = False
    stream, _ = connected(bench)
    bench.modem.reset()
    stream.settimeout(None)
    before = bench.clock.now_ms
    with pytest.raises(OSError):
        stream.read(1)
    assert bench.clock.now_ms - before < 30_000


@pytest.mark.parametrize("lost", ["+CIPRXGET: 1,0", "0, CLOSED"])
def test_a_lost_announcement_is_found_out(lost: str) -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    original = bench.modem.line
    bench.modem.line = lambda text, delay_ms=0: None if text == lost else original(text, delay_ms)
    if lost[0] == "+":
        peer.to_send = b"hello"
    else:
        peer.close()
    bench.modem.advance(bench.clock.now_ms + 1)
    assert stream.read(10) == (b"hello" if lost[0] == "+" else b"")


def test_a_missing_prompt_gives_the_connection_up_and_the_modem_is_found_again() -> None:
    bench = Bench([("prompt", 1, "lost", None)])
    bench.network.closes = False
    stream, peer = connected(bench)
    stream.settimeout(None)
    with failing(errno.ECONNABORTED):
        stream.write(b"x" * 1460)
    assert bench.driver.failure.words == "the modem does not ask for the data"
    bench.network.to_send[80] = b"hello"
    assert connected(bench)[0].read(5) == b"hello"
    assert not bytes(peer.received).strip(b"AT\r"), "only filler was sent instead"


def test_a_close_while_data_is_asked_for_fails_the_write() -> None:
    bench = Bench([("prompt", 1, "closed", None)])
    bench.network.closes = False
    stream, peer = connected(bench)
    with failing(errno.ECONNRESET):
        stream.write(b"hello")
    assert peer.received == b""
    connected(bench)


@pytest.mark.parametrize("where", range(0, 560, 7))
def test_a_byte_lost_from_received_data_is_noticed(where: int) -> None:
    bench = Bench()
    bench.network.to_send[80] = bytes(range(256)) * 2
    stream, _ = connected(bench)
    bench.modem.faults[("out", bench.modem.counts["out"] + 1 + where)] = [("drop", None)]
    data = b""
    try:
        while piece := stream.read(100):
            data += piece
    except OSError:
        assert stream.error
    assert (bytes(range(256)) * 2).startswith(data)


def test_a_command_without_an_answer_ends_at_its_deadline() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    bench.modem.faults[("command", bench.modem.counts["command"] + 1)] = [("silent", None)]
    peer.to_send = b"hello"
    stream.settimeout(None)
    before = bench.clock.now_ms
    with pytest.raises(OSError):
        stream.read(1)
    assert bench.clock.now_ms - before < 15_000


def test_an_answer_that_waited_unread_is_not_too_late() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    peer.to_send = b"hello"
    stream.setblocking(False)
    bench.modem.advance(bench.clock.now_ms)
    bench.driver.pump()
    assert bench.driver.channel.job is not None, "it does not fetch"
    bench.clock.now_ms += 600_000  # the application computes, and nobody pumps
    bench.modem.advance(bench.clock.now_ms)
    bench.run(100)
    assert stream.read(10) == b"hello"


# The time of day.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ('"26/11/21,12:00:00+04"', 1795258800),
        ('"26/11/21,12:00:00-20"', 1795280400),
        ('"28/02/29,23:59:60+00"', 1835481600),
        ('"68/12/31,23:59:59+00"', 3124223999),
        ('"04/01/01,00:00:12+00"', None),
        ('"26/13/01,00:00:00+00"', None),
        ('"26/11/21,12:00:00"', None),
        ('"26/11/21,12:00:0x+04"', None),
        ("", None),
        ("\u0660" * 20, None),
    ],
)
def test_reads_the_network_s_time_with_its_zone(text: str, seconds: int | None) -> None:
    load_driver()
    from rootlet.modem.network_time import parse

    assert parse(text) == seconds


def test_network_time_is_none_until_the_network_has_told_it() -> None:
    bench = Bench()
    bench.driver.up()
    assert bench.driver.network_time() == 1795258800
    bench.modem._clock_set = False
    assert bench.driver.network_time() is None
    assert bench.driver.network_time("pool.ntp.org") == 1795258800


def test_switches_the_modem_off() -> None:
    bench = Bench()
    bench.driver.up()
    bench.driver.power_down()
    assert not bench.modem.powered
    assert bench.driver.address is None
