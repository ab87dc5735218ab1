"""The jobs of TCP connections in multi-IP mode: what is said to the modem for each, and what is made of the answer.

SIM800 Series AT Command Manual, 8.2.2 (CIPSTART), 8.2.3 (CIPSEND), CIPCLOSE, CIPSTATUS, CIPRXGET; TCPIP Application
Note, "Data Sending Related" and "Data Receiving Related". An answer that is not as it must be raises ModemError, which
gives the modem up: after it, nobody knows to which command the next answer belongs.
"""

from errno import ECONNABORTED, ECONNRESET, EHOSTUNREACH, EIO, ENOBUFS, ETIMEDOUT

from micropython import const

from .at import PAYLOAD, PROMPT, ModemError, Refused, is_error, words
from .stream import CLOSED, CONNECTING, OPEN

_STREAMS = const(6)  # AT+CIPSTART: <n> is 0 to 5
_CONNECT_MS = const(75_000)  # AT Command Manual, 8.2.2: maximum response time in multi-IP state
_ANSWER_MS = const(10_000)
_ACCEPT_MS = const(60_000)
_CLOSE_MS = const(30_000)
_ROOM_TRIES = const(60)
_ROOM_MS = const(500)
_REFUSALS = const(2)
_SOON_MS = const(1000)


def connect(modem, stream):
    # The identifier that was free for longest: what the modem still says about an old connection hits none.
    used = [other.id for other in modem.streams if other.state != CLOSED]
    for _ in range(_STREAMS):
        n = modem.next_id
        modem.next_id = (n + 1) % _STREAMS
        if n not in used:
            break
    else:
        stream.fail(ENOBUFS)
        stream.state = CLOSED
        return
    stream.id = n
    stream.state = CONNECTING
    stream.checked_ms = modem.clock.ticks_ms()
    try:
        # OK comes at once; CONNECT OK or CONNECT FAIL later, unasked.
        yield from modem.channel.command('AT+CIPSTART=%d,"TCP","%s","%d"' % (n, stream.host, stream.port), _CONNECT_MS)
    except Refused:
        # Not because of the host, that would be CONNECT FAIL: the modem was reset, or the network has ended the data
        # connection, and what said so was lost. Open connections will show; without any, begin anew.
        if not any(other.state == OPEN for other in modem.streams):
            raise ModemError(ECONNABORTED, "the modem refuses to connect")
        stream.fail(EHOSTUNREACH)


def close(modem, stream):
    # Mode 0 closes with FIN, and what was sent still arrives; mode 1 at once ("Connection Closing Related").
    text = "AT+CIPCLOSE=%d,%d" % (stream.id, 1 if stream.error or stream.peer_closed else 0)
    try:
        yield from modem.channel.command(text, _CLOSE_MS, final="%d, CLOSE OK" % stream.id)
    except Refused:
        pass  # it was closed already
    stream.state = CLOSED


def send(modem, stream, data):
    channel = modem.channel
    limit = len(data)
    tries = 0
    while len(data):
        n = min(len(data), limit)
        channel.prompt = True
        channel.send("AT+CIPSEND=%d,%d\r" % (stream.id, n), _ANSWER_MS)
        while True:
            event = yield
            if event is None:
                raise ModemError(ETIMEDOUT, "the modem does not ask for the data")
            if event == PROMPT or is_error(event):
                break
        channel.prompt = False
        if event == PROMPT:
            channel.send(data[:n], _ACCEPT_MS)
            if not (yield from _accepted(stream, n)):
                stream.fail(ECONNRESET)
                break
            data = data[n:]
            continue
        # Refused, and nothing was sent: the connection is gone, or less than `n` bytes have room.
        limit = 0
        tries += 1
        if tries < _ROOM_TRIES and not stream.peer_closed:
            limit = yield from _room(modem, stream)
        if not limit:
            stream.fail(ECONNRESET)
            break
        if limit >= n:
            yield from channel.sleep(_ROOM_MS)
    stream.checked_ms = modem.clock.ticks_ms()
    modem.tx_stream = None
    modem.sending = False


def _accepted(stream, n):
    """Did the modem take the data? It says DATA ACCEPT:<id>,<length> (AT+CIPQSEND=1) or <id>, SEND OK."""
    while True:
        line = yield
        if line is None:
            raise ModemError(ETIMEDOUT, "the modem does not confirm the data")
        if line[:12] == b"DATA ACCEPT:":
            # With another length, the rest of the data was taken for commands.
            if words(line[12:]).replace(" ", "") != "%d,%d" % (stream.id, n):
                raise ModemError(EIO, "the modem confirms what was not sent")
            return True
        if line == ("%d, SEND OK" % stream.id).encode():
            return True
        if is_error(line) or line == ("%d, SEND FAIL" % stream.id).encode():
            return False


def _room(modem, stream):
    """How many bytes the modem would take now; 0 if it does not know the connection or takes none for long."""
    for _ in range(_ROOM_TRIES):
        try:
            size = number((yield from modem.channel.command("AT+CIPSEND?", _ANSWER_MS, "+CIPSEND: %d," % stream.id)))
        except Refused:
            return 0
        if size or stream.peer_closed:
            return max(0, size)
        yield from modem.channel.sleep(_ROOM_MS)
    return 0


def fetch(modem, stream):
    channel = modem.channel
    head = ("+CIPRXGET: 2,%d," % stream.id).encode()
    was_closed = stream.peer_closed
    announced = stream.announced
    stream.announced = False
    channel.send("AT+CIPRXGET=2,%d,%d\r" % (stream.id, len(stream.rx)), _ANSWER_MS)
    while True:
        line = yield
        if line is None:
            raise ModemError(ETIMEDOUT, "the modem does not answer AT+CIPRXGET")
        if is_error(line):
            # After the peer has closed this is its end, unless more was announced and is now lost.
            stream.pending = False
            stream.announced = stream.announced or announced
            if stream.peer_closed:
                if stream.left or stream.announced:
                    stream.fail(ECONNRESET)
                return
            # CLOSED may be on its way. If not, this is no longer the mode that bring_up has set.
            stream.refusals += 1
            if stream.refusals == _REFUSALS:
                raise ModemError(ECONNABORTED, "the modem has forgotten how to receive")
            stream.checked_ms = modem.clock.ticks_add(modem.clock.ticks_ms(), _SOON_MS - modem.quiet_ms)
            return
        if line.startswith(head):
            break
    numbers = words(line[len(head) :]).split(",")
    n = number(numbers[0])
    left = number(numbers[-1])
    if len(numbers) != 2 or not 0 <= n <= len(stream.rx) or left < 0 or (left and not n):
        raise ModemError(EIO, "the modem's answer is damaged")
    if n:
        channel.take(stream.rx, n)
        if (yield) != PAYLOAD:
            raise ModemError(EIO, "bytes were lost or added on the UART")
    line = yield
    if line != b"OK":
        raise ModemError(ETIMEDOUT if line is None else EIO, "no OK behind received data")
    stream.rx_at = 0
    stream.rx_end = n
    stream.left = left
    stream.refusals = 0
    stream.checked_ms = modem.clock.ticks_ms()
    # The modem announces data again only when there was none left.
    stream.pending = left > 0 or stream.announced or (stream.peer_closed and (n > 0 or not was_closed))


def look(modem, stream):
    """Is the connection still there? Finds what an unsolicited result code that got lost has told."""
    try:
        status = yield from modem.channel.command("AT+CIPSTATUS=%d" % stream.id, _ANSWER_MS, "+CIPSTATUS: ")
    except Refused:
        raise ModemError(ECONNABORTED, "the modem was reset")  # it is no longer in multi-IP mode
    if '"CONNECTED"' in status:
        stream.pending = True
    else:
        stream.on_closed()


def number(text):
    """A decimal number, -1 for anything else."""
    return int(text) if text.isdigit() else -1
