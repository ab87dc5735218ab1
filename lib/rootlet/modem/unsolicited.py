"""Unsolicited result codes: SIM800 Series AT Command Manual V1.09, 19.3, and CLOSED, CONNECT … of chapter 8."""

from errno import ECONNABORTED

from .at import words
from .tcp import number

_UP = 2  # the states of SIM800
_RISING = 1


def take(modem, line):
    """Acts on `line` (bytes) and returns true, or false if it is the answer to a command."""
    if modem.skip:
        # The text of a message that bring_up has asked the modem not to deliver: anyone can send one.
        modem.skip = False
    elif line[1:2] == b"," and 48 <= line[0] <= 57:
        event = line[2:].strip()
        if event == b"CLOSED":
            _tell(modem, line[0] - 48, "on_closed")
        elif event == b"CONNECT OK":
            _tell(modem, line[0] - 48, "on_connected")
        elif event == b"CONNECT FAIL" or event == b"ALREADY CONNECT":
            _tell(modem, line[0] - 48, "on_refused")
        else:
            return False
    elif line[:13] == b"+CIPRXGET: 1,":
        _tell(modem, number(words(line[13:])), "on_data")
    elif line[:5] in (b"+CMT:", b"+CBM:", b"+CDS:"):
        modem.skip = True
    elif line[:2] == b"AT" or line == b"RDY" or line.endswith(b"POWER DOWN"):
        # An echo comes from a modem that forgot ATE0.
        if modem.state == _UP or (modem.state == _RISING and not modem.waking):
            # What follows = may be a PIN or a password.
            modem.lose(ECONNABORTED, "the modem was reset: " + words(line.split(b"=")[0]))
    elif modem.state != _UP:
        return line == b"RING" or line[:1] == b"*"
    elif line == b"+PDP: DEACT":
        modem.lose(ECONNABORTED, "the network ended the data connection")
    elif line in (b"+CFUN: 1", b"Call Ready", b"SMS Ready") or line[:6] == b"+CPIN:":
        # After a reset, but also late after switching on: ask.
        for stream in modem.streams:
            stream.checked_ms = modem.clock.ticks_add(modem.clock.ticks_ms(), -modem.quiet_ms)
    else:
        return line == b"RING" or line[:1] == b"*" or line[:6] == b"+CMTI:"
    return True


def _tell(modem, n, method):
    for stream in modem.streams:
        if stream.id == n:
            getattr(stream, method)()
