"""The time of day from the network, by the modem's clock. Loaded when asked for."""

from errno import ETIMEDOUT

from .at import ModemError, Refused, is_error, quotable

# A modem that was told no time starts its clock in 2004.
_FIRST_YEAR = 22


def read(modem, server=None):
    """Job: seconds since 1970, or None. AT Command Manual, AT+CCLK and AT+CLTS; NTP Application Note V1.01."""
    quotable(server or "")
    return _read(modem, server)


def _read(modem, server):
    if server:
        try:
            yield from _ask_server(modem, server)
        except Refused:
            return None
    answer = yield from modem.channel.command("AT+CCLK?", 5000, "+CCLK: ")
    return parse(answer)


def parse(answer):
    """Seconds since 1970 of "yy/MM/dd,hh:mm:ss±zz", local time with its distance to GMT in quarters of an hour
    (3GPP TS 27.007, 8.15); None if it is no such text or the clock was never set."""
    text = answer.strip().strip('"')
    fields = [text[i : i + 2] for i in range(0, 18, 3)]
    if len(text) != 20 or text[17] not in "+-" or not "".join(fields).isdigit() or not text[18:].isdigit():
        return None
    year, month, day, hour, minute, second = [int(field) for field in fields]
    if year < _FIRST_YEAR or not 1 <= month <= 12 or not 1 <= day <= 31 or hour > 23 or minute > 59 or second > 60:
        return None
    quarters = int(text[18:])
    if text[17] == "-":
        quarters = -quarters
    # Days since 1970, with years that begin in March so that the leap day is their last.
    year += 2000 - (month < 3)
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60 + second - quarters * 900


def _ask_server(modem, server):
    """Lets the modem set its clock by SNTP."""
    command = modem.channel.command
    yield from command('AT+SAPBR=3,1,"CONTYPE","GPRS"')
    yield from command('AT+SAPBR=3,1,"APN","%s"' % modem.apn)
    try:
        yield from command("AT+SAPBR=1,1", 85_000)
    except Refused:
        pass  # it is open already
    yield from command("AT+CNTPCID=1")
    yield from command('AT+CNTP="%s",0' % server)
    modem.channel.send("AT+CNTP\r", 75_000)
    while True:
        line = yield
        if line is None:
            raise ModemError(ETIMEDOUT, "the modem's time server does not answer")
        if line[:7] == b"+CNTP: " or is_error(line):
            return
