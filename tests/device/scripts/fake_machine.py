# Stands in for the firmware's module `machine` with a watchdog that measures how long it was left alone.

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
