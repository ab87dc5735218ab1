"""Brings Wi-Fi (ESP32) or Ethernet (Nucleo-144) up, within time-outs and with retries.

    network.up({"kind": "wifi", "ssid": "…", "password": "…", "timeout_ms": 15_000, "retries": 4})

`idle(ms)` waits at most that long and is called all the time: it is where an application feeds its watchdog.
"""

from micropython import const
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

_STEP_MS = const(100)
# The driver reports the reason of an earlier failure until the new attempt has begun.
_GRACE_MS = const(500)
_MAX_PAUSE_MS = const(30_000)


def up(settings, idle=sleep_ms):
    """The interface, connected and with an IP address; None if `settings["kind"]` is "none".

    Returns at once if it is up already. Raises NetworkError when every attempt failed, ConfigError when the firmware
    has no such interface.
    """
    kind = settings["kind"]
    if kind == "none":
        return None
    join, reason = (_join_wifi, _wifi_reason) if kind == "wifi" else (_join_ethernet, _ethernet_reason)
    interface = _interface(kind)
    if interface.isconnected():
        return interface
    attempts = settings["retries"] + 1
    pause_ms = 1000
    why = ""
    for attempt in range(attempts):
        if attempt:
            _wait(pause_ms, idle)
            pause_ms = min(2 * pause_ms, _MAX_PAUSE_MS)
        try:
            join(interface, settings)
            if _connected(interface, settings["timeout_ms"], idle):
                _configure(interface, reconnects=-1)  # from here on the driver heals short outages itself
                return interface
            why = reason(interface)
        except OSError as error:
            # With a number or with words: ETIMEDOUT of an Ethernet PHY without a cable, "Wifi Internal Error".
            why = _oserror(error, kind)
        _leave(interface)
    from .errors import NetworkError

    if kind == "wifi":
        message = "Wi-Fi %s cannot be joined: %s" % (settings["ssid"], why)
        remedy = "Check network.ssid and network.password, and that the access point is near and on 2.4 GHz"
    else:
        message = "Ethernet does not come up: " + why
        remedy = "Check the cable, and that the network has a DHCP server"
    raise NetworkError("%s (%d %s)" % (message, attempts, "attempt" if attempts == 1 else "attempts"), remedy)


def describe(interface):
    """The interface's IP address, or "" if it does not tell."""
    try:
        return interface.ifconfig()[0]
    except (AttributeError, OSError):
        return ""


def _interface(kind):
    try:
        import network

        if kind == "wifi":
            return network.WLAN(network.STA_IF)
        return network.LAN()
    except (ImportError, AttributeError, TypeError) as error:
        from .errors import ConfigError

        name = "Wi-Fi" if kind == "wifi" else "Ethernet"
        remedy = "Correct network.kind; none is for what has a network by itself"
        raise ConfigError("this firmware has no " + name, remedy, error)


def _join_wifi(wlan, settings):
    import network

    if settings.get("hostname") and hasattr(network, "hostname"):
        network.hostname(settings["hostname"])
    wlan.active(True)
    # With a limit on the driver's own attempts `status` says why they failed, without one it says "connecting" for
    # ever: ports/esp32/network_wlan.c.
    _configure(wlan, reconnects=1)
    wlan.connect(settings["ssid"], settings["password"] or None)


def _join_ethernet(lan, settings):
    lan.active(True)


def _leave(interface):
    # Connecting again while the driver is still at it raises "Wifi Internal Error" (micropython issue 17661).
    for step in ("disconnect", "active"):
        try:
            if step == "active":
                interface.active(False)
            else:
                interface.disconnect()
        except (AttributeError, OSError):
            pass


def _configure(interface, **options):
    try:
        interface.config(**options)
    except (AttributeError, OSError, TypeError, ValueError):
        pass  # ports differ in what can be configured


def _connected(interface, timeout_ms, idle):
    """Waits for the connection. False when the time is over, or when the driver has given up."""
    began = ticks_ms()
    deadline = ticks_add(began, timeout_ms)
    while not interface.isconnected():
        left_ms = ticks_diff(deadline, ticks_ms())
        if left_ms <= 0:
            return False
        if ticks_diff(ticks_ms(), began) > _GRACE_MS and _failure(interface):
            return False
        idle(min(_STEP_MS, left_ms))
    return True


def _wait(ms, idle):
    deadline = ticks_add(ticks_ms(), ms)
    while True:
        left_ms = ticks_diff(deadline, ticks_ms())
        if left_ms <= 0:
            return
        idle(min(_STEP_MS, left_ms))


def _failure(interface):
    """Why the driver gave up, in words; "" while it goes on.

    "Idle" is no failure: the ESP32 passes through it on its way from "connecting" to "got an address".
    """
    import network

    try:
        status = interface.status()
    except (AttributeError, OSError, TypeError, ValueError):
        return ""
    for name, words in (
        ("STAT_WRONG_PASSWORD", "the password is wrong"),
        ("STAT_NO_AP_FOUND", "no access point has this name"),
        ("STAT_ASSOC_FAIL", "the access point refuses this board"),
        ("STAT_HANDSHAKE_TIMEOUT", "the password is wrong or the signal is weak"),
        ("STAT_BEACON_TIMEOUT", "the signal was lost"),
        ("STAT_CONNECT_FAIL", "the access point refuses this board"),
    ):
        if status is not None and status == getattr(network, name, None):
            return words
    return ""


def _wifi_reason(wlan):
    return _failure(wlan) or "no answer in time"


def _ethernet_reason(lan):
    try:
        status = lan.status()
    except (AttributeError, OSError, TypeError, ValueError):
        status = None
    # 0: no link, 1: link, 2: up without an address, 3: with one (ports/stm32/eth.c)
    return "no DHCP server gave an address" if status == 2 else "there is no link"


def _oserror(error, kind):
    from errno import ETIMEDOUT

    if error.errno == ETIMEDOUT:
        return "there is no link" if kind == "ethernet" else "no answer in time"
    return str(error)
