"""Bringing the emulated modem up, in simulated time: one behaviour a test."""

from __future__ import annotations

import errno

import pytest
from simulation import Bench, connected, load_driver

ModemError = load_driver().ModemError


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


def test_unset_clock_is_set_from_the_network_that_the_modem_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.driver.up()
    from rootlet import clock, errors, timekeeping

    shown = [946684800]  # 2000-01-01
    monkeypatch.setattr(clock, "now", lambda: shown[0])
    monkeypatch.setattr(timekeeping, "set_clock", lambda seconds: shown.append(shown.pop(0) and seconds))
    assert timekeeping.synchronise(None, modem=bench.driver) == 1795258800 == clock.now()
    bench.modem._clock_set = False
    shown[0] = 946684800
    with pytest.raises(errors.ClockError, match="the modem gives nothing"):
        timekeeping.synchronise(None, modem=bench.driver)


def test_switches_the_modem_off() -> None:
    bench = Bench()
    bench.driver.up()
    bench.driver.power_down()
    assert not bench.modem.powered
    assert bench.driver.address is None
