# Stands in for the firmware's module `network`. What happens is in /scenario.json: a list, one entry for each attempt:
# "connected" (after 300 ms), "wrong password", "no access point", "silence", "no link", "no lease", "error".
# Like the real drivers, it refuses to connect while it is connecting, shows "idle" on its way to an address, and keeps
# the reason of the last failure until a new attempt.

import json
import time

STA_IF = 0
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202


def _event(*words):
    print("[network]", *words)


def hostname(name):
    _event("hostname", name)


class _Interface:
    with open("/scenario.json") as file:
        scenario = json.load(file)
    outcome = None
    began = 0
    is_active = False

    def _attempt(self):
        self.outcome = self.scenario.pop(0) if self.scenario else "silence"
        self.began = time.ticks_ms()

    def _age_ms(self):
        return time.ticks_diff(time.ticks_ms(), self.began)

    def isconnected(self):
        return self.outcome == "connected" and self._age_ms() > 300

    def ifconfig(self):
        return ("192.0.2.7", "255.255.255.0", "192.0.2.1", "192.0.2.1") if self.isconnected() else ("0.0.0.0",) * 4


class WLAN(_Interface):
    def __init__(self, interface):
        assert interface == STA_IF
        self.reconnects = -1

    def active(self, state=None):
        if state is not None:
            _event("active", state)
            self.is_active = state
            if not state:
                self.outcome = None
        return self.is_active

    def config(self, **options):
        _event("config", options)
        self.reconnects = options["reconnects"]

    def connect(self, ssid, password=None):
        if not self.is_active or self.outcome is not None:
            raise OSError("Wifi Internal Error")
        _event("connect", ssid, "open" if password is None else "%d characters" % len(password))
        self._attempt()
        if self.outcome == "error":
            raise OSError("Wifi Internal State Error")

    def disconnect(self):
        if not self.is_active:
            raise OSError("Wifi Not Started")
        _event("disconnect")
        self.outcome = None

    def status(self):
        age_ms = self._age_ms()
        if self.isconnected():
            return STAT_GOT_IP
        if self.outcome == "connected" and age_ms > 150:
            return STAT_IDLE
        if age_ms > 200 and self.reconnects >= 0:
            if self.outcome == "wrong password":
                return STAT_WRONG_PASSWORD
            if self.outcome == "no access point":
                return STAT_NO_AP_FOUND
        return STAT_CONNECTING


class LAN(_Interface):
    def active(self, state=None):
        if state is None:
            return self.is_active
        _event("active", state)
        self.is_active = False
        if state:
            self._attempt()
            if self.outcome == "no link":
                time.sleep_ms(300)  # 10 s on a real board
                raise OSError(110)
            self.is_active = True

    def status(self):
        if not self.is_active:
            return 0
        return 3 if self.isconnected() else 2
