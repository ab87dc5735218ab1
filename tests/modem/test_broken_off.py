"""What breaks off the talk with the modem from this side: Ctrl-C, no memory, a UART that fails, a job that is wrong."""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator
from typing import Any

import pytest
from simulation import Bench, connected, failing, load_driver

ModemError = load_driver().ModemError


def at_call(number: int, function: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """`function`, which raises `error` when it is called for the `number`th time."""
    calls = 0

    def wrapped(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            raise error
        return function(*arguments)

    return wrapped


def exchange(bench: Bench) -> None:
    stream, peer = connected(bench)
    stream.settimeout(20)
    assert stream.write(b"x" * 300) == 300
    assert peer.received == b"x" * 300
    peer.to_send = b"hello"
    assert stream.read(5) == b"hello"
    stream.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("method", ["write", "readinto"])
def test_what_is_interrupted_anywhere_is_not_taken_for_done(method: str, error: type[BaseException]) -> None:
    for number in range(1, 60):
        bench = Bench()
        bench.network.closes = False
        original = getattr(bench.uart, method)
        setattr(bench.uart, method, at_call(number, original, error()))
        try:
            exchange(bench)
        except error:
            pass
        except OSError:
            # Raised while the modem was asked whether a poll object may wait: the connection is lost, no more.
            assert bench.driver.failure.words == "what the modem was told was interrupted"
        else:
            assert number > 20, "it never came to be interrupted"
            break
        setattr(bench.uart, method, original)
        for _ in range(7):  # more than the modem has connections
            exchange(bench)
    else:
        raise AssertionError("not all of it was tried")


def test_a_uart_that_fails_while_the_modem_comes_up_leaves_no_modem_that_seems_ready() -> None:
    for number in range(1, 19):
        bench = Bench()
        bench.network.closes = False
        write = bench.uart.write
        bench.uart.write = at_call(number, write, OSError(errno.EIO))  # type: ignore[method-assign]
        # It tries again by itself.
        bench.driver.up()
        assert bench.driver.address == "10.64.0.7"
        exchange(bench)


def test_ctrl_c_while_it_connects_frees_the_connection() -> None:
    bench = Bench()
    bench.network.closes = False
    bench.driver.up()
    for _ in range(12):
        sleep_ms = bench.clock.sleep_ms
        bench.clock.sleep_ms = at_call(20, sleep_ms, KeyboardInterrupt())  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            connected(bench, 2)
        bench.clock.sleep_ms = sleep_ms  # type: ignore[method-assign]
        bench.run(1000)
    exchange(bench)
    assert bench.driver.failure is None


def test_a_job_that_is_wrong_fails_for_who_asked_and_for_nobody_else() -> None:
    bench = Bench()
    bench.driver.up()

    def wrong() -> Generator[None, Any, int]:
        answer = yield from bench.driver.channel.command("AT+CSQ", 1000, "+CSQ: ")
        return int(answer + "x")

    with pytest.raises(ValueError):
        bench.driver.ask(wrong())
    bench.network.closes = False
    exchange(bench)


def test_a_time_server_that_would_break_out_of_a_command_is_refused_and_no_connection_is_lost() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    with pytest.raises(ValueError, match="no AT command can carry"):
        bench.driver.network_time('a"\rAT+CPOWD=1')
    stream.write(b"x")
    assert peer.received == b"x"


def test_what_nobody_waits_for_any_more_is_not_asked() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    bench.modem.faults[("command", bench.modem.counts["command"] + 1)] = [("late", 8000)]
    peer.to_send = b"hello"
    bench.modem.advance(bench.clock.now_ms)
    bench.driver.pump()
    assert bench.driver.channel.job is not None, "it does not fetch"
    for _ in range(20):
        with pytest.raises(ModemError, match="busy"):
            bench.driver.ask(bench.driver.channel.command("AT+CSQ"), 100)
    stream.settimeout(20)
    assert stream.read(5) == b"hello"
    bench.run(1000)
    assert bench.modem.log.count("AT+CSQ") == 0


@pytest.mark.parametrize("answer", ["", "+CSQ: ", "+CSQ: x,y", "+CSQ: -1,0", "+CSQ: 99,99", "+CSQ: 255"])
def test_a_signal_that_is_no_number_is_unknown(answer: str) -> None:
    bench = Bench()
    bench.driver.up()
    execute = bench.modem._execute
    bench.modem._execute = lambda text: bench.modem._ok(answer) if "CSQ" in text else execute(text)  # type: ignore[method-assign]
    assert bench.driver.signal() is None
    assert bench.driver.failure is None


def test_a_time_server_that_the_modem_refuses_costs_no_connection() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, peer = connected(bench)
    execute = bench.modem._execute
    bench.modem._execute = lambda text: bench.modem._error() if text == "AT+CNTP" else execute(text)  # type: ignore[method-assign]
    before = bench.clock.now_ms
    bench.driver.network_time("pool.ntp.org")
    assert bench.clock.now_ms - before < 5000
    stream.write(b"x")
    assert peer.received == b"x"


@pytest.mark.parametrize(("command", "secret"), [("AT+CPIN=", "4711"), ("AT+CSTT=", "swordfish")])
def test_no_secret_is_in_what_is_said_of_a_reset(command: str, secret: str) -> None:
    """A modem that was reset echoes what it is told."""
    bench = Bench(sim_pin="4711", driver={"pin": "4711", "user": "me", "password": "swordfish"})
    seen = []
    execute = bench.modem._execute

    def echo(text: str) -> None:
        if text.startswith(command) and not seen:
            seen.append(text)
            bench.modem.emit(text.encode() + b"\r\r\nERROR\r\n", 1)
        else:
            execute(text)

    bench.modem._execute = echo  # type: ignore[method-assign]
    lose = bench.driver.lose
    said = []
    bench.driver.lose = lambda number, why: (said.append(why), lose(number, why))
    bench.driver.up()
    assert said == ["the modem was reset: " + command[:-1]]
    assert secret in seen[0]


def test_a_modem_that_always_has_more_and_gives_nothing_is_given_up() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, _ = connected(bench)
    execute = bench.modem._execute

    def lie(text: str) -> None:
        if text.startswith("AT+CIPRXGET=2"):
            bench.modem.emit(b"\r\n+CIPRXGET: 2,0,0,700\r\n\r\nOK\r\n", 1)
        else:
            execute(text)

    bench.modem._execute = lie  # type: ignore[method-assign]
    bench.modem.line("+CIPRXGET: 1,0")
    bench.modem.line("0, CLOSED")
    stream.settimeout(None)
    with failing(errno.ECONNABORTED):
        stream.read(1)


def test_a_silent_modem_is_noticed_also_by_an_application_that_rarely_looks() -> None:
    bench = Bench()
    bench.network.closes = False
    stream, _ = connected(bench)
    stream.setblocking(False)
    number = bench.modem.counts["command"]
    for n in range(1, 50):
        bench.modem.faults[("command", number + n)] = [("silent", None)]
    for _ in range(20):
        bench.clock.now_ms += 3000
        bench.modem.advance(bench.clock.now_ms)
        if stream.ioctl(3, 1):
            break
    with failing(errno.ECONNABORTED):
        stream.read(1)
