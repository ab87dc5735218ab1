"""Does this board's random number generator work? Without it, keys can be guessed.

The start-up tests of NIST SP 800-90B, 4.3 and 4.4, over the first 1,024 bits, and a look for the words that broken
drivers repeat. They find a generator that is stuck, heavily biased or periodic; no test can find a good software
generator with a known seed, so what the firmware is known to do counts, too.
"""

import sys

from micropython import const

BITS = const(1024)

# Cut-offs for one bit of entropy per bit (os.urandom is conditioned) and a false alarm in 2^30 tests; how they are
# computed is in docs/clock-and-entropy.md, and tests/host/test_entropy_cutoffs.py computes them again.
_REPETITION_CUTOFF = const(31)  # 4.4.1: 1 + 30 / 1
_PROPORTION_CUTOFF = const(609)  # 4.4.2: of a window of 1,024 bits, equal to the first

# What is known of this board's generator: "yes", "no" (there is none), "radio" (a true one while the radio is on) or
# "unknown". From firmware/boards.toml by way of rootlet.json; an application of your own may set it.
rng = "unknown"

_status = None


def status():
    """What the last check found: a dict with `source`, `rng` (as above), `bits`, `longest_run`, `proportion` (bits
    equal to the first of the window), `fault` (None or words) and `note`. Checks now if nothing was checked before."""
    if _status is None:
        try:
            check()
        except OSError:
            pass
    return _status


def check(source=None):
    """Raises EntropyError if the random source (os.urandom, or `source` with the same call) must not be relied upon.

    When it is good, module random is seeded from it.
    """
    global _status

    note = None
    fault = _firmware_fault()
    found = {"longest_run": 0, "proportion": 0}
    if not fault and source is None:
        try:
            note = _turn_radio_on()
            from os import urandom as source
        except ImportError:
            fault = "is missing: this firmware has no os.urandom"
        except OSError:
            fault = "needs the radio's noise, and there is no Wi-Fi to turn on"
    if not fault:
        try:
            sample = source(BITS // 8)
            fault = _examine(sample, found)
        except OSError as error:
            fault = "does not answer: %s" % error
    found["source"] = "os.urandom"
    found["rng"] = rng
    found["bits"] = BITS
    found["fault"] = fault
    found["note"] = note
    _status = found
    if fault:
        from rootlet.errors import EntropyError

        raise EntropyError("the random number generator " + fault)
    _seed(source)


def _examine(sample, found):
    """What is wrong with `sample` (bytes), or None. The counts go into `found`."""
    if len(sample) != BITS // 8:
        return "gave %d bytes instead of %d" % (len(sample), BITS // 8)
    # Driver faults that were seen: zeros after a time-out, the same word again and again.
    for size in (1, 2, 4, 8, 16, 32):
        if sample[size:] == sample[:-size]:
            return "repeats itself every %d bytes" % size
    words = sorted([sample[at : at + 4] for at in range(0, len(sample), 4)])
    for at in range(1, len(words)):
        if words[at] == words[at - 1]:  # by chance once in 9 million samples: 496 pairs, 2^32 words
            return "gave one 32-bit word twice"
    run = longest = proportion = 0
    first = sample[0] >> 7
    last = 2
    for byte in sample:
        for shift in range(7, -1, -1):
            bit = byte >> shift & 1
            run = run + 1 if bit == last else 1
            last = bit
            if run > longest:
                longest = run
            proportion += bit == first
    found["longest_run"] = longest
    found["proportion"] = proportion
    if longest >= _REPETITION_CUTOFF:
        return "fails the repetition count test (%d equal bits in a row)" % longest
    # The first bit of a biased source may be the rarer one, so the others are counted, too.
    proportion = max(proportion, BITS - proportion)
    if proportion >= _PROPORTION_CUTOFF:
        return "fails the adaptive proportion test (%d of %d bits are equal)" % (proportion, BITS)
    return None


def _firmware_fault():
    """What is known about this board and firmware; the catalogue (firmware/boards.toml) has the sources."""
    if rng == "no":
        return "is a software one: this board has no hardware generator"
    machine = getattr(sys.implementation, "_machine", "")
    if "NUCLEO_H723ZG" in machine or "NUCLEO-H723ZG" in machine:
        if sys.implementation[1][:2] < (1, 29):
            return "of this board is not used by firmware before 1.29"
    return None


def _turn_radio_on():
    """ESP32: the generator is a true one only while Wi-Fi, Bluetooth or the ADC source is on (ESP-IDF, Random Number
    Generation). Raises OSError if Wi-Fi is not; whoever turns on another source sets `rng` to "yes"."""
    if rng == "yes" or (sys.platform != "esp32" and rng != "radio"):
        return None
    try:
        import network

        wlan = network.WLAN(network.STA_IF)
        if wlan.active():
            return None
        wlan.active(True)
        if wlan.active():
            return "Wi-Fi was turned on: the generator needs the radio's noise"
    except (ImportError, AttributeError):
        pass
    raise OSError


def _seed(source):
    # Not for keys: for back-off times and port numbers, which should not be the same after every reset.
    try:
        from random import seed
    except ImportError:
        return
    seed(int.from_bytes(source(4), "big"))
