"""rootlet.entropy: what it lets pass and what it refuses."""

import os

from rootlet import entropy
from rootlet.errors import EntropyError


def refusal(source):
    try:
        entropy.check(source)
    except EntropyError as error:
        return str(error)
    return None


def generator(seed):
    """xorshift64*: good enough to pass, the same everywhere."""
    state = [seed]

    def read(n):
        out = bytearray(n)
        x = state[0]
        for i in range(n):
            x ^= x >> 12
            x = (x ^ x << 25) & 0xFFFFFFFFFFFFFFFF
            x ^= x >> 27
            out[i] = (x * 0x2545F4914F6CDD1D & 0xFFFFFFFFFFFFFFFF) >> 56
        state[0] = x
        return bytes(out)

    return read


def test_the_systems_source_is_good_and_seeds_random():
    assert refusal(os.urandom) is None
    assert entropy.status()["fault"] is None


def test_a_stuck_source_is_refused():
    for byte in (0x00, 0xFF, 0x5A):
        assert "repeats itself every 1 bytes" in refusal(lambda n: bytes((byte,)) * n)


def test_a_periodic_source_is_refused():
    for size in (2, 4, 8, 16, 32):
        pattern = generator(7)(size)
        assert "repeats itself" in refusal(lambda n: pattern * (n // size))


def test_a_driver_that_gives_a_word_again_after_a_time_out_is_refused():
    good = generator(3)(128)
    assert "32-bit word twice" in refusal(lambda n: good[:64] + good[20:24] + good[68:])
    assert "32-bit word twice" in refusal(lambda n: good[:64] + bytes(4) + good[68:96] + bytes(4) + good[100:])


def test_a_run_of_equal_bits_is_refused_from_the_cutoff_on():
    good = bytearray(b"\xa5\x3c\x96\x69" * 32)
    for at in range(0, 128, 4):  # no word twice, no long run
        good[at] = at * 2 + 1
        good[at + 1] ^= at
    good[16:20] = b"\x55\x00\x00\x01"
    run = refusal(lambda n: bytes(good))
    longest = entropy.status()["longest_run"]
    assert run is None and 16 <= longest < 31, (run, longest)
    good[15] = 0x81
    good[16:20] = b"\x00\x00\x00\x01"
    assert "repetition count test (31 " in refusal(lambda n: bytes(good)), entropy.status()


def test_a_biased_source_is_refused():
    good = generator(5)
    # Three quarters of the bits are ones; the same for zeros, whatever the first bit is.
    for biased in (
        lambda n: bytes([a | b for a, b in zip(good(n), good(n))]),
        lambda n: bytes([a & b for a, b in zip(good(n), good(n))]),
    ):
        for _ in range(50):
            said = refusal(biased)
            assert "adaptive proportion test" in said or "repetition count" in said


def test_a_source_with_a_little_bias_is_refused_from_the_cutoff_on():
    good = bytearray(generator(11)(128))
    ones = sum([bin(byte).count("1") for byte in good])
    for at in range(128):
        for shift in range(8):
            if ones < 608 and not good[at] >> shift & 1 and (at * 8 + shift) % 3:
                good[at] |= 1 << shift
                ones += 1
    assert ones == 608 and refusal(lambda n: bytes(good)) is None
    at = min([i for i in range(128) if good[i] != 0xFF and i > 2])
    good[at] |= good[at] + 1  # its lowest zero
    assert "609 of 1024" in refusal(lambda n: bytes(good))


def test_what_is_known_of_the_board_counts():
    saved = entropy.rng
    try:
        for rng, words in (("yes", None), ("unknown", None), ("no", "no hardware generator")):
            entropy.rng = rng
            said = refusal(None)
            assert said is None if words is None else words in said, (rng, said)
            assert entropy.status()["rng"] == rng
    finally:
        entropy.rng = saved
        entropy.check()


class Firmware:
    """Stands in for module sys: what it says of the firmware."""

    platform = "pyboard"

    def __init__(self, machine, version):
        self.implementation = self
        self._machine = machine
        self._version = version

    def __getitem__(self, index):
        return ("micropython", self._version, self._machine)[index]


def test_a_board_whose_generator_its_firmware_leaves_unused_is_refused():
    saved = entropy.sys
    try:
        for machine, version, good in (
            ("NUCLEO_H723ZG with STM32H723xx", (1, 28, 1, ""), False),
            ("NUCLEO-H723ZG with STM32H723xx", (1, 24, 0, ""), False),
            ("NUCLEO_H723ZG with STM32H723xx", (1, 29, 0, "preview"), True),
            ("NUCLEO_H743ZI with STM32H743xx", (1, 24, 0, ""), True),
        ):
            entropy.sys = Firmware(machine, version)
            said = refusal(None)
            assert said is None if good else "not used by firmware before 1.29" in said, (machine, version, said)
    finally:
        entropy.sys = saved
        entropy.check()


class Radio:
    """Stands in for the firmware's module network."""

    STA_IF = 0

    def __init__(self, works=True):
        self.on = False
        self.works = works

    def WLAN(self, interface):
        assert interface == self.STA_IF
        return self

    def active(self, on=None):
        if on is not None:
            if self.works is None:
                raise OSError(12)
            self.on = on and self.works
        return self.on


def test_where_the_radio_is_the_noise_it_is_turned_on_first_or_nothing_goes():
    import sys

    saved = entropy.rng
    had = sys.modules.get("network")
    try:
        for radio, words, note in (
            (Radio(), None, "turned on"),
            (Radio(False), "no Wi-Fi to turn on", None),
            (Radio(None), "no Wi-Fi to turn on", None),
            (object(), "no Wi-Fi to turn on", None),  # firmware without WLAN
        ):
            sys.modules["network"] = radio
            entropy.rng = "radio"
            said = refusal(None)
            assert said is None if words is None else words in said, (radio, said)
            assert note is None or note in entropy.status()["note"]
            if words is None:
                assert radio.on
                assert refusal(None) is None and entropy.status()["note"] is None  # it is on already
            entropy.rng = "yes"  # whoever says so has turned on another source
            assert refusal(None) is None
    finally:
        entropy.rng = saved
        if had is None:
            sys.modules.pop("network")
        else:
            sys.modules["network"] = had
        entropy.check()


def test_a_source_that_raises_is_refused():
    def fails(n):
        raise OSError(110)

    assert "does not answer" in refusal(fails)


def test_a_source_that_gives_too_little_is_refused():
    assert "gave 10 bytes" in refusal(lambda n: os.urandom(10))


def test_a_million_good_bytes_raise_no_more_alarms_than_theory_says():
    # A false alarm comes once in 2^23 windows for repeated words, once in 2^20 for runs and 2^30 for proportions:
    # among 7,812 windows one would be a bad sign, two a certain one.
    alarms = 0
    for _ in range(1_000_000 // 128):
        if refusal(os.urandom):
            alarms += 1
    assert alarms <= 1, alarms


def test_the_status_says_what_was_measured():
    entropy.check()
    status = entropy.status()
    assert status["bits"] == 1024 and 400 < status["proportion"] < 609 and status["longest_run"] < 31
    refusal(lambda n: bytes(n))
    assert entropy.status()["fault"]
    entropy.check()
