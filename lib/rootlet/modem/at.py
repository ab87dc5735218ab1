"""AT commands over a UART: lines, the send prompt, payloads of known length, and a deadline on every wait.

Result codes are lines framed by CR LF on both sides (ITU-T V.250, 5.7.1). Nothing here waits: `pump` carries what
there is, and a job, a generator, is woken with what came. All buffers are made once.
"""

from errno import EIO, ETIMEDOUT

from micropython import const

PROMPT = b">"
PAYLOAD = b"\n"  # cannot be mistaken for a line: none contains it
DAMAGED = b"\r"

_PIECE = const(64)  # bytes carried in one go: at 115,200 bit/s a write of these takes 6 ms
_BURST = const(512)  # bytes after which `pump` returns even if the modem goes on
_UNWATCHED_MS = const(2000)
_LF = const(10)
_CR = const(13)
_SPACE = const(32)
_GREATER = const(62)


class ModemError(OSError):
    """`errno` as a socket would have it, `words` what went wrong."""

    def __init__(self, errno, words):
        super().__init__(errno, words)
        self.words = words


class Refused(ModemError):
    """The modem answered a command with ERROR. It and the driver still understand each other."""


def is_error(line):
    """Final result codes of failure: V.250, 5.7.1; 3GPP TS 27.007, 9.2; 3GPP TS 27.005, 3.2.5."""
    return line == b"ERROR" or line[:11] == b"+CME ERROR:" or line[:11] == b"+CMS ERROR:"


class Channel:
    """One job at a time talks to the modem.

    A job yields to wait. It gets a line (bytes without CR LF), PROMPT, PAYLOAD or DAMAGED, or None when its deadline is
    over. `on_line(line)` sees every line first and returns true for those that are not the job's; `on_end(error)` is
    called when the job has ended, with its ModemError or None. `uart` has machine.UART's `any`, `readinto(buffer, n)`
    and `write`; `clock` the functions of MicroPython's module time. `sent` and `received` count bytes on the UART.
    """

    LINE_BYTES = 160  # longer lines are cut; the longest that matters, +CIPSTATUS, has about 80

    def __init__(self, uart, clock, on_line, on_end):
        self._uart = uart
        self.clock = clock
        self._on_line = on_line
        self._on_end = on_end
        self._in = bytearray(_PIECE)
        self._line = bytearray(self.LINE_BYTES)
        self.sent = self.received = 0
        self._pumped_ms = clock.ticks_ms()
        self.reset()

    def reset(self):
        """Forgets the job and all that was half done."""
        self.job = self._out = self._sink = None
        self._n = self._out_at = self._got = self._want = self._after = 0
        self._cr = self.prompt = self._graced = False
        self.deadline_ms = 0

    def start(self, job):
        self.job = job
        self._step(None)

    def pump(self):
        """Carries bytes both ways as far as it goes without waiting. True if any moved."""
        ticks_diff = self.clock.ticks_diff
        now = self.clock.ticks_ms()
        gap = ticks_diff(now, self._pumped_ms)
        if gap > _UNWATCHED_MS and not self._graced:
            # The application did something else: the answer may have been waiting here all the time. Once for each
            # wait: an application that always does so must learn of a modem that is silent too.
            self._graced = True
            self.deadline_ms = self.clock.ticks_add(self.deadline_ms, gap)
        self._pumped_ms = now
        moved = self._push()
        if moved:
            self._graced = False
        left = _BURST
        while left > 0:
            n = self._uart.any()
            if n:
                n = self._uart.readinto(self._in, min(n, _PIECE))
            if not n:
                break
            left -= n
            self.received += n
            moved = True
            self._feed(n)
        if self.job is not None and ticks_diff(self.deadline_ms, now) <= 0:
            self._step(None)
        return moved

    # For jobs.

    def send(self, data, timeout_ms):
        """Begins to send `data` (str, bytes or memoryview), and sets the deadline for what is yielded next."""
        self._out = memoryview(data.encode() if isinstance(data, str) else data)
        self._out_at = 0
        self.wait(timeout_ms)
        self._push()

    def wait(self, timeout_ms):
        self._graced = False
        self.deadline_ms = self.clock.ticks_add(self.clock.ticks_ms(), timeout_ms)

    def take(self, sink, n):
        """The next `n` bytes are payload for `sink`; then the job gets PAYLOAD if CR LF follows, else DAMAGED."""
        self._sink = sink
        self._want = n
        self._got = 0

    def sleep(self, ms):
        """Generator: lets lines go by for `ms`."""
        self.wait(ms)
        while (yield) is not None:
            pass

    def command(self, text, timeout_ms=5000, prefix="", final="OK"):
        """Generator: sends `text` and returns what followed `prefix` in the answer (str), or an empty str.

        Raises Refused for an error result, ModemError with ETIMEDOUT if the modem says nothing.
        """
        # No password or PIN may get into a message.
        name = text.split("=")[0]
        prefix = prefix.encode()
        final = final.encode()
        answer = ""
        self.send(text + "\r", timeout_ms)
        while True:
            line = yield
            if line is None:
                raise ModemError(ETIMEDOUT, "the modem does not answer " + name)
            if line == final:
                return answer
            if is_error(line):
                raise Refused(EIO, "%s: %s" % (name, words(line)))
            if prefix and line.startswith(prefix):
                answer = words(line[len(prefix) :])

    # Inside.

    def _push(self):
        if self._out is None:
            return False
        # write may take less, or nothing, while CTS holds it back.
        n = self._uart.write(self._out[self._out_at : self._out_at + _PIECE])
        if not n:
            return False
        self.sent += n
        self._out_at += n
        if self._out_at >= len(self._out):
            self._out = None
        return True

    def _step(self, event):
        if self.job is None:
            return
        error = None
        try:
            self.job.send(event)
            return
        except StopIteration:
            pass
        except ModemError as e:
            error = e
        except OSError as e:  # of the UART
            error = ModemError(EIO, "the UART fails: " + str(e))
        except BaseException:
            # Ctrl-C, or no memory. Such a job is over, and must not look as if it had come to its end.
            self._end(ModemError(EIO, "what the modem was told was interrupted"))
            raise
        self._end(error)

    def _end(self, error):
        self.job = None
        self._on_end(error)

    def _feed(self, n):
        data = self._in
        line = self._line
        at = 0
        while at < n:
            if self._sink is not None:
                k = min(self._want - self._got, n - at)
                self._sink[self._got : self._got + k] = memoryview(data)[at : at + k]
                self._got += k
                at += k
                if self._got == self._want:
                    self._sink = None
                    self._after = 2
                continue
            c = data[at]
            at += 1
            if self._after:
                # A byte that the UART lost or invented shifts the CR LF behind the payload.
                fits = c == (_CR if self._after == 2 else _LF)
                self._after = self._after - 1 if fits else 0
                if not self._after:
                    self._step(PAYLOAD if fits else DAMAGED)
            elif c == _LF:
                length = self._n
                self._n = 0
                self._cr = False
                if length:
                    text = bytes(memoryview(line)[:length])
                    if not self._on_line(text):
                        self._step(text)
            elif c == _CR:
                self._cr = True
            else:
                if self._cr:  # CR without LF: an echo, or a damaged line
                    self._cr = False
                    self._n = 0
                if self._n == 0 and c == _GREATER and self.prompt:
                    self.prompt = False
                    self._step(PROMPT)
                elif self._n < self.LINE_BYTES and (self._n or c != _SPACE):
                    line[self._n] = c
                    self._n += 1


def words(line):
    """A line as str, whatever noise is in it."""
    return "".join([chr(c) if 32 <= c < 127 else "?" for c in line])


def answer(job, result):
    """Job: runs `job` of the application, and appends to `result` what it returns or raises."""
    try:
        result.append((yield from job))
    except Refused as error:
        result.append(error)
    except ModemError:
        raise
    except Exception as error:
        # The job itself is wrong. Where it was in its talk with the modem, nobody knows.
        result.append(error)
        raise ModemError(EIO, "a job failed: " + repr(error))


def quotable(text):
    """Raises ValueError unless `text` can stand between quotation marks in a command."""
    for c in text:
        if not " " <= c <= "~" or c == '"':
            raise ValueError("a character that no AT command can carry in " + repr(text))
