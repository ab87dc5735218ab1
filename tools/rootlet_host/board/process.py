"""One run of the MicroPython interpreter behind its own pseudo-terminal: from a reset to the next."""

from __future__ import annotations

import contextlib
import enum
import os
import pty
import re
import secrets
import signal
import subprocess
import termios
import time
import tty
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HostError
from .flash import Flash
from .hardware import EXECUTING, FLASH_COUNTER, IN_FLASH, INTERRUPTIBLE, NONCE_BYTES, ResetCause, program

_LFLAG, _CC = 3, 6  # indices into what termios.tcgetattr returns
# What a program may do to the flash between two accesses, without sleeping, is far below this.
_QUIET_S = 0.001
_INTERRUPT_PATIENCE_S = 2.0
# The shell opens the terminal as the leader of a new session, which makes it the controlling one: when the other side
# is closed, for whatever reason, the kernel ends the interpreter. SIGINT is ignored until MicroPython handles it.
_LAUNCH = 'trap \'\' INT; exec "$@" <>"$0" >&0 2>&1'


class Activity(enum.Enum):
    """What the interpreter is doing, as its terminal shows."""

    PROMPT = enum.auto()  # the REPL is reading, in friendly or in raw mode
    PROGRAM = enum.auto()  # code runs and can be interrupted
    BINARY = enum.auto()  # code runs that asked for every byte, Ctrl-C included
    FLASH = enum.auto()  # code runs and is inside the file system


@dataclass(frozen=True)
class Machine:
    """What stays the same over all resets. `heap_bytes` None: the interpreter's own choice (2 MiB on 64 bits)."""

    interpreter: Path
    flash: Flash
    heap_bytes: int | None = None


class Interpreter:
    """A running interpreter; `fd` is the side of the terminal to read its output from and write its input to."""

    def __init__(self, machine: Machine, cause: ResetCause, *, run_main: bool) -> None:
        self.nonce = secrets.token_hex(NONCE_BYTES // 2)
        flash = machine.flash
        code = program(
            file_system=flash.kind,
            path=str(flash.path),
            block_bytes=flash.block_bytes,
            blocks=flash.blocks,
            nonce=self.nonce,
            unique_id=flash.unique_id,
            cause=cause,
            run_main=run_main,
        )
        heap = ["-X", f"heapsize={machine.heap_bytes}"] if machine.heap_bytes else []
        self.fd, self._slave = pty.openpty()
        try:
            name = os.ttyname(self._slave)
            self._set_up_terminal()
            os.set_blocking(self.fd, False)
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH, name, str(machine.interpreter), *heap, "-i", "-c", code],
                stdin=subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath), "MICROPYPATH": ":.frozen:/lib"},
                start_new_session=True,
            )
        except OSError as error:
            os.close(self.fd)
            self.release()
            raise HostError(f"cannot start {machine.interpreter}: {error.strerror}") from error

    def _set_up_terminal(self) -> None:
        tty.setraw(self._slave, termios.TCSANOW)
        attributes: list[Any] = termios.tcgetattr(self._slave)
        attributes[_LFLAG] |= termios.NOFLSH | EXECUTING | INTERRUPTIBLE
        for special in (termios.VINTR, termios.VQUIT, termios.VSUSP):
            attributes[_CC][special] = b"\0"  # none
        termios.tcsetattr(self._slave, termios.TCSANOW, attributes)

    def release(self) -> None:
        """Let go of the interpreter's side of the terminal: from now on its end is the end of the output."""
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def ended(self) -> int | None:
        """The exit code, negative for a signal, or None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End it at once, as a loss of power does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self.release()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def activity(self) -> Activity:
        """What it is doing now."""
        return self._look()[0]

    def _look(self) -> tuple[Activity, int]:
        attributes: list[Any] = termios.tcgetattr(self.fd)
        flags: int = attributes[_LFLAG]
        if not flags & EXECUTING:
            activity = Activity.PROMPT
        elif flags & IN_FLASH:
            activity = Activity.FLASH
        elif not flags & INTERRUPTIBLE:
            activity = Activity.BINARY
        else:
            activity = Activity.PROGRAM
        return activity, attributes[_CC][FLASH_COUNTER]

    def interrupt(self, *, even_binary: bool = False) -> bool:
        """Raise KeyboardInterrupt in the running program, if one runs; say whether it was raised.

        On a board it is raised between two bytecodes. The Unix port jumps out of whatever C function the signal finds,
        the file system included, which then goes on with its structures half changed. So the process is stopped, looked
        at, and signalled only when it is asleep or has kept off the flash for a while.
        """
        deadline = time.monotonic() + _INTERRUPT_PATIENCE_S
        seen: int | None = None
        while True:
            asleep = self._asleep()
            if not self._stop():
                return False
            try:
                activity, counter = self._look()
                if activity is Activity.PROMPT or (activity is Activity.BINARY and not even_binary):
                    return False
                if not self._handles_sigint():
                    return False
                quiet = asleep or counter == seen
                if (activity is not Activity.FLASH and quiet) or time.monotonic() > deadline:
                    self._process.send_signal(signal.SIGINT)
                    return True
                seen = counter
            except (OSError, termios.error):
                return False
            finally:
                self._process.send_signal(signal.SIGCONT)
            time.sleep(_QUIET_S)

    def _stop(self) -> bool:
        if self._process.poll() is not None:
            return False
        self._process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return True
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return False

    def _handles_sigint(self) -> bool:
        """False in the moments between a program and the prompt, when the signal would end the process (Linux)."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_bytes()
        except OSError:
            return True
        caught = re.search(rb"^SigCgt:\s*([0-9a-f]+)", status, re.MULTILINE)
        return caught is None or bool(int(caught[1], 16) >> (signal.SIGINT - 1) & 1)

    def _asleep(self) -> bool:
        """Whether the kernel says that it waits for something (Linux; elsewhere never)."""
        try:
            status = Path(f"/proc/{self._process.pid}/stat").read_bytes()
        except OSError:
            return False
        return status.rpartition(b")")[2].split()[:1] == [b"S"]
