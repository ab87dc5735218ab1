"""Brings a SIM800-class modem from power-up to a data connection: one generator, run as a job of its channel.

Commands and maximum response times: SIM800 Series AT Command Manual V1.09; order of the data connection's: TCPIP
Application Note, multi connection. Loaded when it is needed, and only then.
"""

from errno import EACCES, EHOSTUNREACH, EIO, ENODEV, ETIMEDOUT

from micropython import const

from .at import ModemError, Refused, is_error, words
from .tcp import number

_PROBE_MS = const(500)
_SETTLE_MS = const(200)
_FEW = const(3)
_PROBES = const(10)
_FILLER = const(64)
_FILLER_MS = const(10)  # 64 bytes take 6 ms at 115,200 bit/s; a slower UART's write waits
_SEND_BYTES = const(1472)  # at least the 1,460 of one AT+CIPSEND
_PRESS_MS = const(1500)  # SIM800 Hardware Design V1.09, 4.2.1: PWRKEY low for more than 1 s
_BOOT_MS = const(3000)  # there: the serial port is ready 1.4 s to 3 s later
_SIM_TRIES = const(20)
_REGISTRATION_TRIES = const(90)

# What a PIN has been used for: nothing, asked with an answer that was not yes, accepted.
_UNTRIED = const(0)
_DOUBTFUL = const(1)
_ACCEPTED = const(2)
_ALL_TRIES = const(3)


def bring_up(modem):
    channel = modem.channel
    command = channel.command
    modem.step = "an answer to AT"
    modem.waking = True
    yield from _wake(modem)
    yield from command("ATE0")
    modem.waking = False
    yield from command("AT+CMEE=2")
    yield from command("AT+IFC=2,2" if modem.flow_control else "AT+IFC=0,0")
    yield from _try(command("AT+CLTS=1"))  # sets the modem's clock when it registers

    modem.step = "the SIM"
    yield from _unlock(modem)
    # Anyone can send a message or call. No text of theirs may get into the lines that are read here.
    yield from _try(command("AT+CNMI=0,0,0,0,0"))
    yield from _try(command("AT+GSMBUSY=1"))

    modem.step = "registration"
    yield from _register(modem)
    modem.step = "the GPRS attach"
    yield from command("AT+CGATT=1", 75_000)
    modem.step = "the data connection"
    yield from command("AT+CIPSHUT", 65_000, final="SHUT OK")
    yield from command("AT+CIPMUX=1")
    yield from command("AT+CIPQSEND=1")
    yield from command("AT+CIPRXGET=1")
    yield from command('AT+CSTT="%s","%s","%s"' % (modem.apn, modem.user, modem.password))
    yield from command("AT+CIICR", 85_000)
    # AT+CIFSR answers with the address alone, no OK.
    channel.send("AT+CIFSR\r", 10_000)
    while True:
        line = yield
        if line is None:
            raise ModemError(ETIMEDOUT, "the modem does not tell its address")
        if is_error(line):
            raise Refused(EIO, "AT+CIFSR: " + words(line))
        if line.count(b".") == 3:
            modem.address = words(line)
            return


def _try(job):
    """Runs `job`, for commands that some firmware does not know."""
    try:
        yield from job
    except Refused:
        pass


def _wake(modem):
    """Finds the modem, at the baud rate of the UART: it measures that by the first AT (autobauding)."""
    channel = modem.channel
    if (yield from _probe(channel, _FEW)):
        return
    # It may still be waiting for data of a connection that was given up. Empty command lines fill that up.
    filler = b"\r" * _FILLER
    for _ in range(0, _SEND_BYTES, _FILLER):
        channel.send(filler, _FILLER_MS)
        yield from channel.sleep(_FILLER_MS)
    for press in (False, True, True):  # the first press may have switched it off
        if press:
            if modem.power_key is None:
                break
            modem.power_key.value(0)
            yield from channel.sleep(_PRESS_MS)
            modem.power_key.value(1)
            yield from channel.sleep(_BOOT_MS)
        if (yield from _probe(channel, _PROBES)):
            return
    raise ModemError(ENODEV, "no modem answers on the UART: check power, wiring and baud rate")


def _probe(channel, times):
    for _ in range(times):
        try:
            yield from channel.command("AT", _PROBE_MS)
            # Answers to earlier probes may be on their way.
            yield from channel.sleep(_SETTLE_MS)
            return True
        except ModemError:
            pass


def _unlock(modem):
    state = ""
    entered = False
    for _ in range(_SIM_TRIES):
        try:
            state = yield from modem.channel.command("AT+CPIN?", 5000, "+CPIN: ")
        except Refused as error:
            state = error.words
            if "not inserted" in state:
                break
        if state == "READY":
            if modem.pin_state == _DOUBTFUL:
                modem.pin_state = _ACCEPTED
            return
        if state == "SIM PIN" and not entered:
            if modem.pin is None:
                raise ModemError(EACCES, "the SIM asks for a PIN, and none was given")
            left = yield from _tries_left(modem)
            if left < (_ALL_TRIES if modem.pin_state == _DOUBTFUL else 2):
                raise ModemError(EACCES, "the PIN was not accepted, and the SIM takes only %d more" % left)
            modem.pin_state = _DOUBTFUL
            try:
                yield from modem.channel.command('AT+CPIN="%s"' % modem.pin)
            except Refused as error:
                raise ModemError(EACCES, "the SIM does not accept the PIN: " + error.words)
            modem.pin_state = _ACCEPTED
            entered = True
        elif "PUK" in state:
            raise ModemError(EACCES, "the SIM is locked and asks for its PUK: unlock it in a telephone")
        yield from modem.channel.sleep(1000)
    raise ModemError(ENODEV, "the SIM cannot be used: " + state)


def _tries_left(modem):
    """How many PINs the SIM still takes (AT+SPIC). Firmware that does not tell gets the PIN once."""
    try:
        left = yield from modem.channel.command("AT+SPIC", 5000, "+SPIC: ")
    except Refused:
        left = ""
    return number(left.split(",")[0]) if left else 2


def _register(modem):
    # 3GPP TS 27.007, 7.2: 1 home network, 5 roaming; 0 not searching, 2 searching, 3 denied, 4 unknown.
    stat = ""
    for _ in range(_REGISTRATION_TRIES):
        stat = (yield from modem.channel.command("AT+CREG?", 5000, "+CREG: "))[-1:]
        if stat == "1" or stat == "5":
            return
        yield from modem.channel.sleep(1000)
    why = {"0": "it does not search", "2": "it still searches", "3": "the network denies it"}.get(stat, "unknown")
    raise ModemError(EHOSTUNREACH, "the modem is not registered in a network: " + why)
