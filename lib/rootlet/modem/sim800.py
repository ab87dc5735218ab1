"""SIM800-class modems (SIM800, SIM800L/C/H, SIM900) as a transport.

Sources: SIMCom "SIM800 Series AT Command Manual" V1.09, chapter 8 and section 19.3 (unsolicited result codes), and
"SIM800 Series TCPIP Application Note" V1.03. Data is received by hand (AT+CIPRXGET=1): it never comes unasked, so it
cannot be mistaken for a result code, and the UART's buffer never has to hold more than was asked for.
"""

import time
from errno import EACCES, ECONNABORTED, EIO, ENODEV, ETIMEDOUT
from sys import modules

from micropython import const

from . import tcp, unsolicited
from .at import Channel, ModemError, answer, quotable
from .stream import CLOSED, CLOSING, OPEN, WAITING, ModemStream

DOWN = const(0)
RISING = const(1)
UP = const(2)

_BRING_UP = __name__.rsplit(".", 1)[0] + ".bring_up"
_SEND_BYTES = const(1460)  # TCPIP Application Note, "Fixed Length Sending": the most that one AT+CIPSEND takes
_ANSWER_MS = const(10_000)
_TRIES = const(3)


class SIM800:
    """`uart`: a machine.UART. Its `rxbuf` should hold `rx_bytes` + 64, or RTS/CTS be wired and `flow_control` true.

    `pin`: the SIM's PIN, if it asks for one; tried once only, because the third wrong one locks the SIM. `apn`, `user`,
    `password`: as the operator says. `power_key`: a machine.Pin on PWRKEY (low is pressed), to switch the modem on.
    `rx_bytes`: buffer of each connection, and the most that is fetched at once; 1460 costs fewer bytes on the UART.

    `step` says what the modem is being brought up to, `address` its IP address, `failure` why it went down.
    Not to be used from more than one thread.
    """

    def __init__(
        self, uart, pin=None, apn="", user="", password="", power_key=None, flow_control=False, rx_bytes=512, clock=time
    ):
        for text in (apn, user, password):
            quotable(text)
        if pin is not None and not (4 <= len(pin) <= 8 and pin.isdigit()):
            raise ValueError("a SIM's PIN has 4 to 8 digits")
        self.pin = pin
        self.pin_state = 0
        self.apn = apn
        self.user = user
        self.password = password
        self.power_key = power_key
        self.flow_control = flow_control
        self.clock = clock
        self.state = DOWN
        self.step = "off"
        self.address = None
        self.failure = None
        self.waking = False
        self.skip = False  # the next line is somebody's text
        self.tx_stream = None
        self.sending = False
        self.channel = Channel(uart, clock, lambda line: unsolicited.take(self, line), self._on_end)
        self.quiet_ms = 10_000  # after which a connection is asked whether it is still there
        self._rx_bytes = max(1, min(rx_bytes, _SEND_BYTES))
        self._tx = memoryview(bytearray(_SEND_BYTES))
        self._tx_len = 0
        self.streams = []
        self._asked = []
        self.next_id = 0

    # For applications. With asyncio: up_async, connect_async, and ask_async for all the rest.

    def up(self, timeout_ms=180_000):
        """Brings the modem up to a data connection. Raises ModemError; called again, it goes on or begins anew."""
        return self._drive(self._rise(self._deadline(timeout_ms)))

    async def up_async(self, timeout_ms=180_000):
        return await self._drive_async(self._rise(self._deadline(timeout_ms)))

    def connect(self, host, port, timeout_ms=75_000):
        """A ModemStream to `host` (name or IPv4 address; the modem resolves names), blocking with that time-out.

        Brings the modem up first if need be, within `timeout_ms` also. Raises OSError: ETIMEDOUT; EHOSTUNREACH if the
        modem reports CONNECT FAIL, which it does for every cause; ENOBUFS without a free one of its six connections.
        """
        stream = self._drive(self._open(host, port, self._deadline(timeout_ms)))
        stream.settimeout(timeout_ms / 1000)
        return stream

    async def connect_async(self, host, port, timeout_ms=75_000):
        """As `connect`, but the stream does not block."""
        stream = await self._drive_async(self._open(host, port, self._deadline(timeout_ms)))
        stream.setblocking(False)
        return stream

    def ask(self, job, timeout_ms=30_000):
        """Runs `job`, a generator such as `channel.command("AT+COPS?")`, between others; returns what it returns."""
        return self._drive(self._answer(job, self._deadline(timeout_ms)))

    async def ask_async(self, job, timeout_ms=30_000):
        return await self._drive_async(self._answer(job, self._deadline(timeout_ms)))

    def signal(self):
        """Strength in dBm, None if unknown (AT+CSQ; 3GPP TS 27.007, 8.5)."""
        level = tcp.number(self.ask(self.channel.command("AT+CSQ", _ANSWER_MS, "+CSQ: ")).split(",")[0])
        return 2 * level - 113 if 0 <= level <= 31 else None

    def network_time(self, server=None):
        """Seconds since 1970 as the network says, None if it says nothing. `server`: let the modem ask it by SNTP.

        Neither is authenticated: good for setting a clock that is then checked against a floor.
        """
        from . import network_time

        return self.ask(network_time.read(self, server), 150_000)

    def power_down(self):
        """Switches the modem off (AT+CPOWD=1)."""
        try:
            self.ask(self.channel.command("AT+CPOWD=1", _ANSWER_MS, final="NORMAL POWER DOWN"))
        except ModemError:
            pass
        self.lose(ECONNABORTED, "the modem was switched off")

    def pump(self):
        """Carries on whatever is under way, without waiting. True if there is more to do at once."""
        try:
            moved = self.channel.pump()
            if self.channel.job is None and self.state == UP:
                job = self._next_job()
                if job:
                    self.channel.start(job)
                    moved = True
            return moved
        except OSError as error:  # of the UART
            self.lose(EIO, "the UART fails: " + str(error))
            return False
        except BaseException:
            # Ctrl-C, or no memory: bytes may have been lost between here and the modem.
            self.lose(EIO, "what the modem was told was interrupted")
            raise

    # For streams.

    def may_queue(self, stream):
        if self.tx_stream is stream:
            return not self.sending and self._tx_len < _SEND_BYTES
        return self.tx_stream is None and self.state == UP

    def queue(self, stream, data):
        """Takes what fits beside what `stream` has queued before: Mbed TLS writes three records in a row, and each send
        costs some 50 bytes on the UART. `pump` sends."""
        at = 0 if self.tx_stream is None else self._tx_len
        n = min(len(data), _SEND_BYTES - at)
        self._tx[at : at + n] = data[:n]
        self._tx_len = at + n
        self.tx_stream = stream
        return n

    # Waiting: generators that yield until something is so.

    def _deadline(self, timeout_ms):
        return self.clock.ticks_add(self.clock.ticks_ms(), int(timeout_ms))

    def _check_deadline(self, deadline_ms, what):
        if self.clock.ticks_diff(deadline_ms, self.clock.ticks_ms()) <= 0:
            raise ModemError(ETIMEDOUT, what)

    def _drive(self, waiting):
        try:
            while True:
                try:
                    next(waiting)
                except StopIteration as result:
                    return result.value
                if not self.pump():
                    self.clock.sleep_ms(1)
        finally:
            waiting.close()

    async def _drive_async(self, waiting):
        from asyncio import sleep_ms

        try:
            while True:
                try:
                    next(waiting)
                except StopIteration as result:
                    return result.value
                await sleep_ms(0 if self.pump() else 5)
        finally:
            waiting.close()

    def _rise(self, deadline_ms):
        begun = 0
        while self.state != UP:
            if self.state == DOWN:
                if begun and (begun == _TRIES or self.failure.errno in (EACCES, ENODEV)):
                    raise self.failure
                begun += 1
                from .bring_up import bring_up

                self.state = RISING
                self.channel.start(bring_up(self))
            self._check_deadline(deadline_ms, "the modem is not ready: %s is not done yet" % self.step)
            yield

    def _answer(self, job, deadline_ms):
        yield from self._rise(deadline_ms)
        result = []
        question = (job, result)
        self._asked.append(question)
        try:
            while not result:
                if self.state != UP:
                    raise self.failure
                self._check_deadline(deadline_ms, "the modem is busy")
                yield
        finally:
            if question in self._asked:  # nobody waits for the answer any more
                self._asked.remove(question)
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    def _open(self, host, port, deadline_ms):
        quotable(host)
        if not host or len(host) > 253:
            raise ValueError("not a host name: " + host)
        yield from self._rise(deadline_ms)
        stream = ModemStream(self, host, int(port), self._rx_bytes)
        self.streams.append(stream)
        try:
            while stream.state < OPEN:
                self._check_deadline(deadline_ms, "no connection to %s in time" % host)
                yield
            if stream.error:
                raise ModemError(stream.error, "the modem cannot connect to %s port %d" % (host, port))
        except BaseException:
            # From WAITING there is nothing to close; from CONNECTING the modem must be told.
            stream.state = CLOSED if stream.id < 0 else max(stream.state, CLOSING)
            raise
        return stream

    # Jobs: what the modem is asked to do next.

    def _next_job(self):
        if self._asked:
            return answer(*self._asked.pop(0))
        for _ in range(len(self.streams)):
            stream = self.streams.pop(0)
            if stream.state == CLOSED:
                continue
            self.streams.append(stream)  # the next one comes first next time
            if self.tx_stream is stream:
                if not stream.error:
                    self.sending = True
                    return tcp.send(self, stream, self._tx[: self._tx_len])
                self.tx_stream = None
            if stream.state == WAITING:
                return tcp.connect(self, stream)
            if stream.state == CLOSING:
                return tcp.close(self, stream)
            if stream.state == OPEN and stream.rx_at == stream.rx_end:
                if stream.pending:
                    return tcp.fetch(self, stream)
                now = self.clock.ticks_ms()
                if not stream.peer_closed and self.clock.ticks_diff(now, stream.checked_ms) >= self.quiet_ms:
                    stream.checked_ms = now
                    return tcp.look(self, stream)

    # For the channel.

    def _on_end(self, error):
        if self.state == RISING:
            self.state = UP
            self.step = "ready"
            # Some 3 KB on a board, if it is not frozen. Needed again only after a reset.
            if modules.pop(_BRING_UP, None):
                del modules[_BRING_UP.rsplit(".", 1)[0]].bring_up
        if error is not None:
            self.lose(error.errno, error.words)

    def lose(self, errno, why):
        """Nothing is known about the modem any more."""
        self.failure = ModemError(errno, why)
        self.state = DOWN
        self.address = None
        self.channel.reset()
        self._asked = []
        self.tx_stream = None
        self.sending = False
        streams = self.streams
        self.streams = []
        for stream in streams:
            stream.fail(ECONNABORTED)
            stream.state = CLOSED
