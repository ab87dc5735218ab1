# Stands in for the firmware's module `machine`: a watchdog that measures how long it was left alone, a UART, pins.

import os
import select
import time


class WDT:
    longest_ms = 0
    timeout_ms = None
    fed = None

    def __init__(self, id=0, timeout=5000):
        print("[machine] watchdog", timeout)
        WDT.timeout_ms = timeout
        WDT.fed = time.ticks_ms()

    def feed(self):
        now = time.ticks_ms()
        alone_ms = time.ticks_diff(now, WDT.fed)
        WDT.fed = now
        if alone_ms > WDT.longest_ms:
            WDT.longest_ms = alone_ms
            print("[machine] alone", alone_ms)


class Pin:
    OUT = 1

    def __init__(self, name, mode, value):
        print("[machine] pin", name, value)

    def value(self, level):
        print("[machine] pressed" if not level else "[machine] let go")


class UART:
    """Leads to the terminal $MODEM, where the emulated modem is; there is UART 1 only."""

    def __init__(self, number, rate, **options):
        if number != 1:
            raise ValueError("UART(%d) doesn't exist" % number)
        from vfs import VfsPosix  # the terminal lies outside of the board's file system

        print("[machine] uart", number, rate, sorted(options.items()))
        folder, _, name = os.getenv("MODEM").rpartition("/")
        self._file = VfsPosix(folder).open("/" + name, "r+b")
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def any(self):
        return 256 if self._poll.poll(0) else 0  # how much there is only the read tells

    def readinto(self, buffer, n):
        return self._file.readinto(buffer, n) or None

    def write(self, data):
        return self._file.write(data)
