"""The modem that rootlet.json describes, for the application and for rootlet doctor."""

from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

from micropython import const

from .at import ModemError
from .sim800 import SIM800

_ANSWER_BYTES = const(64)  # what comes beside the data that was asked for: docs/modem.md
_UART_BYTES = const(256)  # what the ports take if nothing is said

_shared = None  # there is one UART, so there is one


def shared(settings):
    """The ConfiguredModem of this run of the board."""
    global _shared
    if _shared is None:
        _shared = ConfiguredModem(settings)
    return _shared


class ConfiguredModem(SIM800):
    """`settings`: what config.load returns. `idle(ms)` waits at most that long and is called whenever the modem is
    waited for: it is where an application feeds its watchdog.

    Raises ConfigError when the board has no such UART or pin.
    """

    def __init__(self, settings, idle=sleep_ms):
        table = settings["modem"]
        network = settings["network"]
        self._up_ms = network["timeout_ms"] * (network["retries"] + 1)
        self._ntp_host = settings["ntp_host"]
        uart, power_key = _wires(table)
        super().__init__(
            uart,
            pin=table["pin"],
            apn=table["apn"],
            user=table["user"],
            password=table["password"],
            power_key=power_key,
            rx_bytes=table["rx_bytes"],
            clock=_Clock(idle),
        )

    def join(self):
        """Brings up the data connection, if it is not, and returns the IP address. Raises NetworkError."""
        try:
            self.up(self._up_ms)
        except ModemError as error:
            from ..errors import NetworkError

            remedy = "Check modem, SIM and signal; registering may take minutes: network.timeout_ms, network.retries"
            raise NetworkError("the modem does not come up: " + error.words, remedy, error)
        return self.address

    def network_time(self, server=None):
        """As SIM800's; by SNTP from `ntp_host` where the network itself says nothing."""
        seconds = super().network_time(server)
        if seconds is None and self._ntp_host and not server:
            seconds = super().network_time(self._ntp_host)
        return seconds


class _Clock:
    """Module time, with a sleep of the application's own."""

    ticks_ms = staticmethod(ticks_ms)
    ticks_add = staticmethod(ticks_add)
    ticks_diff = staticmethod(ticks_diff)

    def __init__(self, idle):
        self.sleep_ms = idle


def _wires(table):
    """(machine.UART, machine.Pin of the power key or None)."""
    options = {"rxbuf": max(_UART_BYTES, table["rx_bytes"] + _ANSWER_BYTES)}
    for name in ("tx", "rx"):
        if table[name] is not None:
            options[name] = table[name]
    what = "UART %d" % table["uart"]
    try:
        from machine import UART, Pin

        uart = UART(table["uart"], table["baudrate"], **options)
        power_key = table["power_key"]
        if power_key is not None:
            what = "pin %s" % power_key
            power_key = Pin(power_key, Pin.OUT, value=1)
        return uart, power_key
    except (ImportError, OSError, TypeError, ValueError) as error:
        from ..errors import ConfigError

        raise ConfigError(
            "this board cannot use %s for a modem (%s)" % (what, error),
            "Correct modem.uart, modem.tx, modem.rx or modem.power_key",
            error,
        )
