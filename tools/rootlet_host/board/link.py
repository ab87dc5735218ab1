"""mpremote's serial transport with time limits that hold on every kind of port, and without a system call per byte."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from ..errors import HostError, UsageError
from .ports import why_not_open

RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n"
SOFT_REBOOT = b"soft reboot\r\n"
FRIENDLY_PROMPT = b">>> "
_READ_WAIT_S = 0.05
_WRITE_TIMEOUT_S = 10.0
_QUIET_S = 0.1
# Bytes that the raw REPL sends within a command of its own arrive within this, or something is wrong.
_REPLY_TIMEOUT_S = 10.0
# What one answer may have, if nothing else is known of it: some 90 s at 115,200 bit/s.
MAX_ANSWER_BYTES = 1 << 20


class LinkError(HostError):
    """The board does not answer, or is not there any more. What helps is the same for nearly all of these."""

    def __init__(self, message: str, *, remedy: str = "reset the board and try again", **options: Any) -> None:
        super().__init__(message, remedy=remedy, **options)


@contextlib.contextmanager
def understood(port: str) -> Iterator[None]:
    """What is inside makes something of a board's answer, so that whatever fails there is the answer's fault."""
    try:
        yield
    except (
        ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise LinkError(f"the board on {port} gave an answer that is no value") from error


class _Port:
    """What mpremote expects of pyserial, on top of it: reads are buffered and end after `_REPLY_TIMEOUT_S`."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self._waiting = bytearray()
        port.timeout = _READ_WAIT_S
        port.write_timeout = _WRITE_TIMEOUT_S

    def fill(self) -> bool:
        """Read what is there, or wait a moment for the first byte; say whether there was any."""
        data = self._port.read(max(1, self._port.in_waiting))
        self._waiting += data
        return bool(data)

    def take(self, size: int) -> bytes:
        """At most `size` of the bytes that were read already."""
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        return data

    def take_through(self, ending: bytes, since: int) -> bytes | None:
        """The bytes up to and with the first `ending` that begins at `since` or later, or None."""
        at = self._waiting.find(ending, since)
        return None if at < 0 else self.take(at + len(ending))

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    # --- used by mpremote ---

    def read(self, size: int = 1) -> bytes:
        deadline = time.monotonic() + _REPLY_TIMEOUT_S
        while len(self._waiting) < size and time.monotonic() < deadline:
            self.fill()
        return self.take(size)

    def inWaiting(self) -> int:
        return len(self._waiting) + int(self._port.in_waiting)

    def write(self, data: bytes) -> int:
        return int(self._port.write(data))

    def close(self) -> None:
        self._port.close()

    @property
    def rts(self) -> bool:
        return bool(self._port.rts)

    @rts.setter
    def rts(self, value: bool) -> None:
        self._port.rts = value

    @property
    def dtr(self) -> bool:
        return bool(self._port.dtr)

    @dtr.setter
    def dtr(self, value: bool) -> None:
        self._port.dtr = value


class Link(SerialTransport):  # type: ignore[misc]  # mpremote has no types
    """An open port with a MicroPython behind it, as mpremote speaks to it."""

    def __init__(self, device: str) -> None:
        try:
            super().__init__(device, baudrate=115200, timeout=_READ_WAIT_S)
        except (TransportError, OSError, ValueError) as error:
            if reason := why_not_open(device):
                raise reason from error
            try:  # the program that had it has just let go of it
                super().__init__(device, baudrate=115200, timeout=_READ_WAIT_S)
            except (TransportError, OSError, ValueError) as again:
                raise UsageError(f"cannot open {device}: {again}", remedy="try again") from again
        self.port = _Port(self.serial)
        self.serial: Any = self.port
        self.device: str = device

    def close(self) -> None:
        """Close the port, whatever became of it."""
        with contextlib.suppress(OSError, TransportError):
            super().close()
        with contextlib.suppress(OSError):
            self.port.close()

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Turns the errors of mpremote and pyserial into `LinkError`."""
        try:
            yield
        except serial.SerialTimeoutException as error:
            raise LinkError(f"the board on {self.device} takes no more input", remedy="reset the board") from error
        except OSError as error:
            raise LinkError(f"the connection to {self.device} broke", remedy="check the cable") from error
        except TransportError as error:
            raise LinkError(
                f"the board on {self.device} does not answer as expected: {error}",
                remedy="reset the board and try again",
            ) from error

    def read_until(
        self,
        min_num_bytes: int,
        ending: bytes,
        timeout: float | None = 10,
        data_consumer: Callable[[bytes], None] | None = None,
        timeout_overall: float | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> bytes:
        """As mpremote's, but with `data_consumer` the pieces may be longer than a byte, and there is a limit to them.

        Raises TransportError behind `max_bytes` without the `ending`.
        """
        consumed = 0
        now = time.monotonic()
        overall = now + timeout_overall if timeout_overall is not None else None
        quiet = now + timeout if timeout is not None else None
        searched = 0
        while True:
            found = self.port.take_through(ending, max(0, searched - len(ending) + 1))
            if found is not None:
                if data_consumer is not None:
                    data_consumer(found)
                    return ending
                return found
            if data_consumer is not None and self.port.waiting >= len(ending):
                consumed += self.port.waiting - len(ending) + 1
                data_consumer(self.port.take(self.port.waiting - len(ending) + 1))
            if consumed + self.port.waiting > max_bytes:
                raise TransportError(f"it sends more than {max_bytes} bytes")
            searched = self.port.waiting
            if self.port.fill():
                quiet = time.monotonic() + timeout if timeout is not None else None
                if overall is None:
                    continue
            now = time.monotonic()
            if (quiet is not None and now > quiet) or (overall is not None and now > overall):
                return b"" if data_consumer is not None else self.port.take(self.port.waiting)

    def drop_input(self, *, until_quiet: bool = False) -> None:
        """Forget what the board has sent so far, or what it sends until it pauses; not for ever if it never does."""
        deadline = time.monotonic() + (1.0 if until_quiet else 0.1)
        quiet_at = time.monotonic() + (_QUIET_S if until_quiet else 0.0)
        while time.monotonic() < deadline:
            if self.port.inWaiting():
                self.port.fill()
                self.port.take(self.port.waiting)
                quiet_at = time.monotonic() + (_QUIET_S if until_quiet else 0.0)
            elif time.monotonic() >= quiet_at:
                return
            else:
                self.port.fill()

    def at_prompt(self, patience_s: float) -> bool:
        """Whether the REPL is waiting for input; if so, it is the friendly one afterwards."""
        self.drop_input()
        self.port.write(b"\r\x02")
        return self.read_until(1, FRIENDLY_PROMPT, timeout_overall=patience_s).endswith(FRIENDLY_PROMPT)

    def enter_raw(self, timeout_s: float) -> bool:
        """Interrupt what runs and enter the raw REPL; say whether it answers. mpremote's way prints to stdout."""
        deadline = time.monotonic() + timeout_s
        patience_s = 0.5
        first = True
        while time.monotonic() < deadline:
            self.port.write(b"\r\x03")
            self.drop_input()
            self.port.write(b"\r\x01")
            left_s = max(0.1, min(patience_s, deadline - time.monotonic()))
            if self.read_until(1, RAW_BANNER, timeout_overall=left_s).endswith(RAW_BANNER):
                if not first:
                    # The earlier attempts are answered, too, now. What counts is the answer to one more.
                    self.drop_input(until_quiet=True)
                    self.port.write(b"\r\x01")
                    if not self.read_until(1, RAW_BANNER, timeout_overall=left_s).endswith(RAW_BANNER):
                        continue
                self.in_raw_repl = True
                return True
            # A program that catches KeyboardInterrupt, or one busy in a long call, needs more than one.
            first = False
            patience_s *= 2
        return False

    def leave_raw(self, timeout_s: float) -> bool:
        """Stop what runs and go to the friendly prompt, from whatever state; say whether it is there.

        What follows Ctrl-C at once may be lost: the answer is waited for.
        """
        self.drop_input()
        self.port.write(b"\r\x03\x02")
        if self.read_until(1, FRIENDLY_PROMPT, timeout_overall=min(_QUIET_S * 5, timeout_s)).endswith(FRIENDLY_PROMPT):
            return True
        if not self.enter_raw(timeout_s):
            return False
        self.port.write(b"\r\x02")
        return self.read_until(1, FRIENDLY_PROMPT, timeout_overall=timeout_s).endswith(FRIENDLY_PROMPT)

    def soft_reset_raw(self, timeout_s: float) -> bool:
        """Soft reset within the raw REPL: boot.py runs, main.py does not. Say whether the raw REPL came back."""
        if not self.read_until(1, b">", timeout_overall=timeout_s).endswith(b">"):
            return False
        self.port.write(b"\x04")
        for expected in (SOFT_REBOOT, RAW_BANNER):
            if not self.read_until(1, expected, timeout=None, timeout_overall=timeout_s).endswith(expected):
                return False
        return True
