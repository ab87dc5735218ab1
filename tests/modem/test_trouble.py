"""What the modem says unasked, and what goes wrong, in simulated time: one behaviour a test."""

from __future__ import annotations

import errno

import pytest
from simulation import Bench, connected, failing, load_driver

ModemError = load_driver().ModemError


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
    bench = Bench(fixed_baud=False)
    bench.network.closes = False
    streams = [connected(bench)[0], connected(bench)[0]]
    bench.modem.reset()
    bench.run(100)
    bench.modem.line(line)
    before = bench.clock.now_ms
    for stream in streams:
        with failing(errno.ECONNABORTED):
            stream.read(1)
    assert bench.clock.now_ms - before < 100
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
    bench = Bench(driver={"rx_bytes": 1460})
    bench.network.closes = False
    stream, peer = connected(bench)
    peer.to_send = b"hello" * 280
    stream.setblocking(False)
    bench.modem.advance(bench.clock.now_ms)
    bench.driver.pump()
    assert bench.driver.channel.job is not None, "it does not fetch"
    bench.clock.now_ms += 600_000  # the application computes, and nobody pumps
    bench.modem.advance(bench.clock.now_ms)
    bench.run(100)
    assert stream.read(2000) == b"hello" * 280


def answering(bench: Bench, *answers: bytes) -> None:
    """Lets the modem answer its next AT+CIPRXGET=2 with these bytes."""
    original = bench.modem._execute
    left = list(answers)

    def execute(text: str) -> None:
        if text.startswith("AT+CIPRXGET=2") and left:
            bench.modem.emit(left.pop(0), 1)
        else:
            original(text)

    bench.modem._execute = execute  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "answer",
    [
        b"\r\n+CIPRXGET: 2,0,2,0\r\nab\r\nGET\r\n\r\nOK\r\n",  # the length lost a digit, and data has CR LF there
        b"\r\n+CIPRXGET: 2,0,2,0\r\nab\r\n\r\nERROR\r\n",
        b"\r\n+CIPRXGET: 2,0,2,0\r\nabc\r\nOK\r\n",
        b"\r\n+CIPRXGET: 2,0,2,0\r\nab\nOK\r\n",
        b"\r\n+CIPRXGET: 2,0,2,0\r\nab\r\n",
        b"\r\n+CIPRXGET: 2,0,600,0\r\nab\r\nOK\r\n",
        b"\r\n+CIPRXGET: 2,0,2\r\nab\r\nOK\r\n",
        b"\r\n+CIPRXGET: 2,0,-2,0\r\nab\r\nOK\r\n",
        b"\r\n+CIPRXGET: 2,0,2,x\r\nab\r\nOK\r\n",
        b"\r\n+CIPRXGET: 2,1,2,0\r\nab\r\nOK\r\n",
    ],
)
def test_nothing_of_an_answer_that_is_not_as_it_must_be_is_delivered(answer: bytes) -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    answering(bench, answer)
    peer.to_send = b"abc"
    with failing(errno.ECONNABORTED):
        stream.read(3)


def test_a_close_while_nothing_is_fetched_is_looked_into_once_more() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, _ = connected(bench)
    answering(
        bench,
        b"\r\n+CIPRXGET: 2,0,0,0\r\n\r\n0, CLOSED\r\n\r\nOK\r\n",
        b"\r\n+CIPRXGET: 2,0,3,0\r\nabc\r\nOK\r\n",
    )
    bench.modem.line("+CIPRXGET: 1,0")
    assert stream.read() == b"abc"


def test_a_payload_that_breaks_off_does_not_swallow_what_comes_after_a_reset() -> None:
    bench = Bench(fixed_baud=False)
    bench.network.closes = False
    stream, peer = connected(bench)
    answering(bench, b"\r\n+CIPRXGET: 2,0,500,0\r\nabc")
    peer.to_send = b"x" * 500
    with failing(errno.ECONNABORTED):
        stream.read(3)
    before = bench.clock.now_ms
    connected(bench)
    assert bench.clock.now_ms - before < 5000


def test_data_whose_length_the_modem_misheard_is_not_taken_for_sent() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    # The last digit of AT+CIPSEND=0,90 gets lost: 81 bytes are then taken for commands.
    bench.modem.faults[("in", bench.modem.counts["in"] + len("AT+CIPSEND=0,90"))] = [("drop", None)]
    with failing(errno.ECONNABORTED):
        stream.write(b"x" * 90)
    assert bench.driver.failure.words == "the modem confirms what was not sent"
    assert peer.received == b"x" * 9


@pytest.mark.parametrize("fault", [("prompt", 1, "mute", None), ("in", None, "drop", None)])
def test_data_that_is_not_confirmed_is_not_taken_for_sent(fault: tuple) -> None:
    bench = Bench([fault] if fault[1] else [])
    bench.network.closes = False
    stream, _ = connected(bench)
    if not fault[1]:
        bench.modem.faults[("in", bench.modem.counts["in"] + 40)] = [("drop", None)]
    stream.settimeout(None)
    with failing(errno.ECONNABORTED):
        stream.write(b"x" * 90)
    assert bench.driver.failure.words == "the modem does not confirm the data"
    connected(bench)


def test_begins_anew_when_the_end_of_the_data_connection_went_unheard() -> None:
    bench = Bench()
    bench.driver.up()
    bench.modem.state = "PDP DEACT"
    with failing(errno.ECONNABORTED):
        connected(bench)
    connected(bench)


def test_tries_again_when_an_answer_is_lost_while_it_comes_up() -> None:
    bench = Bench([("command", 12, "mute", None)])
    bench.driver.up()
    assert bench.modem.log.count("ATE0") == 2


def test_late_answers_to_its_first_probes_are_not_taken_for_others() -> None:
    bench = Bench([("command", 1, "late", 900), ("command", 2, "late", 500)])
    receive = bench.modem.receive

    def check(data: bytes) -> None:
        assert b"ATE0" not in data or not bench.modem._out
        receive(data)

    bench.modem.receive = check  # type: ignore[method-assign]
    bench.driver.up()
    assert bench.modem.log[:3] == ["AT", "AT", "ATE0"]


def test_what_a_broken_connection_had_still_to_send_is_in_nobody_s_way() -> None:
    bench = Bench(discards_on_close=True)
    bench.network.closes = False
    other, peer_of_other = connected(bench)
    stream, peer = connected(bench)
    stream.setblocking(False)
    peer.to_send = b"hello"
    bench.modem.faults[("command", bench.modem.counts["command"] + 1)] = [("closed", stream.id)]
    bench.modem.advance(bench.clock.now_ms)
    bench.driver.pump()  # begins to fetch
    assert stream.write(b"never sent") == 10
    bench.run(1000)
    with failing(errno.ECONNRESET):
        stream.read(1)
    assert other.write(b"sent") == 4
    assert peer_of_other.received == b"sent"
    assert peer.received == b""


def test_small_writes_are_sent_together() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    stream.setblocking(False)
    for _ in range(10):
        assert stream.write(b"x" * 200) in (200, 60, None)
    bench.run(1000)
    assert peer.received == b"x" * 1460
    assert [line for line in bench.modem.log if "CIPSEND" in line] == ["AT+CIPSEND=0,1460"]


def test_a_uart_that_fails_is_reported_and_does_not_raise_out_of_a_poll() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, _ = connected(bench)

    def broken() -> int:
        raise OSError(errno.EIO)

    bench.uart.any = broken  # type: ignore[method-assign]
    assert stream.ioctl(3, 5) == 5
    with failing(errno.ECONNABORTED):
        stream.read(1)
    with pytest.raises(ModemError, match="the UART fails"):
        bench.driver.up()


def test_a_job_of_the_application_runs_beside_connections() -> None:
    bench = Bench()
    bench.network.to_send[80] = b"x" * 3000
    stream, _ = connected(bench)
    answer = bench.driver.ask(bench.driver.channel.command("AT+CSQ", 1000, "+CSQ: "))
    assert answer == "18,0"
    with pytest.raises(ModemError, match=r"AT\+NONSENSE: ERROR"):
        bench.driver.ask(bench.driver.channel.command("AT+NONSENSE"))
    assert stream.read() == b"x" * 3000
