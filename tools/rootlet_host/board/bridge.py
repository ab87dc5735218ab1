"""The cable of the virtual board: joins the interpreter to a pseudo-terminal that host tools open like a USB port.

The interpreter ends at every reset; the bridge starts the next one and prints what firmware prints in between, so that
the other end of the cable sees one board all the time.
"""

from __future__ import annotations

import contextlib
import os
import pty
import queue
import select
import signal
import termios
import threading
import time
import tty
from collections.abc import Callable

from ..errors import HostError
from .console import Console
from .hardware import Marker, ResetCause
from .output_filter import FRIENDLY_BANNER, RAW_BANNER, ModeTracker, OutputFilter
from .process import Activity, Interpreter, Machine

_CHUNK_BYTES = 65536
_TO_HOST_LIMIT_BYTES = 256 * 1024
_TO_BOARD_LIMIT_BYTES = 64 * 1024
# A listener that takes nothing for so long is gone: what waits for it is dropped, as USB CDC drivers do.
_STALL_S = 2.0
_TICK_S = 0.05
_HOLD_S = 0.02
_LATE_START_S = 0.5
_LEAST_VERSION = 1 << 16 | 27 << 8
# A start takes some 30 ms. More failures in a row than this and the board stays off.
_MAX_FAILED_STARTS = 5
_CTRL_A, _CTRL_C = b"\x01", b"\x03"


class Bridge:
    """Owns the outer terminal, the interpreter and the thread between them."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.console = Console()
        self._commands: queue.Queue[tuple[Callable[[], None], threading.Event]] = queue.Queue()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self.mounted = threading.Event()  # the first start got as far as boot.py, or failed
        self.failure = ""  # why the board does not run
        self.starts = 0
        self._closing = False
        self._interpreter: Interpreter | None = None
        self._filter = OutputFilter("")
        self._mode = ModeTracker()
        self._failed_starts = 0
        self._to_board = bytearray()
        self._to_host = bytearray()
        self._booting = True  # until boot.py is about to run
        self._interrupt_later = False  # Ctrl-C came while booting
        self._interrupt_until = 0.0  # Ctrl-C was the last byte sent: it is for a program that starts before this time
        self._hold_input = False  # between the end of main.py and the prompt
        self._entering_raw: bytes | None = None  # output since Ctrl-A, after a soft reset in raw mode
        self._binary_abandoned = False
        self._progress_at = 0.0
        self._watchdog_ms = 0
        self._watchdog_at = 0.0
        self._outer = self._outer_slave = -1
        self.port = ""
        self._open_port()
        self._thread = threading.Thread(target=self._run, name=f"virtual board {self.port}", daemon=True)

    # --- for other threads ---

    def start(self) -> None:
        """Switch the board on."""
        self._start(ResetCause.POWER_ON)
        self._thread.start()

    def do(self, command: Callable[[], None]) -> None:
        """Run `command` in the bridge's thread and wait for it."""
        if not self._thread.is_alive():
            return
        done = threading.Event()
        self._commands.put((command, done))
        self._wake()
        while not done.wait(0.1) and self._thread.is_alive():
            pass

    def close(self) -> None:
        """Switch everything off and free it. May be called twice."""
        if self._closing:
            return
        self._closing = True
        self._wake()
        if self._thread.ident is not None:
            self._thread.join()
        self.power_off()
        for fd in (self._wake_read, self._wake_write):
            os.close(fd)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"\0")

    # --- commands: run in the bridge's thread ---

    def hard_reset(self, cause: ResetCause = ResetCause.HARD) -> None:
        """The reset button."""
        self._stop()
        self._watchdog_ms = 0
        self._mode = ModeTracker()
        self._open_port()
        self._start(cause)

    def power_off(self) -> None:
        """The power goes, and with it the port, between two machine instructions."""
        self._stop()
        self._watchdog_ms = 0
        self.unplug()

    def unplug(self) -> None:
        """The cable goes; the board runs on."""
        for fd in (self._outer, self._outer_slave):
            if fd >= 0:
                os.close(fd)
        self._outer = self._outer_slave = -1
        self.port = ""
        self._to_host.clear()

    def plug(self) -> None:
        """The cable comes back, usually under another port name."""
        self._open_port()

    def _open_port(self) -> None:
        if self._outer >= 0:
            return
        # This side of the terminal stays open too, so that its settings survive while nobody else has it open.
        self._outer, self._outer_slave = pty.openpty()
        tty.setraw(self._outer_slave, termios.TCSANOW)
        os.set_blocking(self._outer, False)
        self.port = os.ttyname(self._outer_slave)

    # --- starts and ends of the interpreter ---

    def _start(self, cause: ResetCause) -> None:
        self.starts += 1
        self._booting = True
        self._interrupt_later = False
        self._interrupt_until = 0.0
        self._hold_input = False
        self._entering_raw = None
        self._binary_abandoned = False
        self._to_board.clear()
        try:
            # As on boards, main.py does not run after a soft reset in raw mode.
            self._interpreter = Interpreter(self._machine, cause, run_main=not self._mode.raw)
        except HostError as error:
            self._fail(error.message)
            return
        self._filter = OutputFilter(self._interpreter.nonce)

    def _stop(self) -> int:
        """End the interpreter if it runs; its exit code."""
        if self._interpreter is None:
            return 0
        interpreter, self._interpreter = self._interpreter, None
        interpreter.kill()
        return interpreter.ended() or 0

    def _fail(self, why: str) -> None:
        self.failure = why
        self._send(f"rootlet: the virtual board stopped: {why}\r\n".encode())
        self._stop()
        self.mounted.set()

    def _soft_reset(self) -> None:
        self._stop()
        self._send(b"MPY: soft reboot\r\n")
        self._start(ResetCause.SOFT)

    def _on_end(self) -> None:
        """The interpreter ended by itself: Ctrl-D, SystemExit, or a crash."""
        self._send(self._filter.flush())
        code = self._stop()
        if not self.mounted.is_set() or self._failed_starts >= _MAX_FAILED_STARTS:
            said = self.console.text()[-200:].strip()
            self._fail(f"MicroPython ended with {code} while starting: {said or 'it said nothing'}")
        elif code < 0 and code != -signal.SIGINT:
            self._failed_starts += 1
            self._send(f"\r\nrootlet: MicroPython died of {signal.Signals(-code).name}\r\n".encode())
            self.hard_reset()
        else:
            self._failed_starts += 1
            self._soft_reset()

    def _on_marker(self, marker: Marker, value: int) -> None:
        interpreter = self._interpreter
        if marker is Marker.MOUNTED and value < _LEAST_VERSION:
            version = ".".join(str(number) for number in value.to_bytes(3, "big"))
            self._fail(
                f"{self._machine.interpreter} is MicroPython {version}, whose Unix port has no raw REPL; 1.27 has"
            )
        elif marker is Marker.MOUNTED and interpreter is not None:
            interpreter.release()
            self._failed_starts = 0
            self._booting = False
            self.mounted.set()
            if self._interrupt_later and interpreter.interrupt() is not Activity.PROGRAM:
                self._to_board += _CTRL_C
        elif marker is Marker.UNMOUNTABLE:
            flash = self._machine.flash
            what = "cannot be used" if flash.kind == "directory" else f"holds no {flash.kind} file system"
            self._fail(f"{flash.path} {what} ({os.strerror(value)})")
        elif marker is Marker.READY and interpreter is not None:
            self._hold_input = True
            if self._mode.raw:
                self._entering_raw = b""
                with contextlib.suppress(OSError):
                    os.write(interpreter.fd, _CTRL_A)
        elif marker is Marker.RESET:
            self.hard_reset()
        elif marker is Marker.SOFT_RESET:
            self._soft_reset()
        elif marker is Marker.BINARY:
            self._binary_abandoned = False
        elif marker is Marker.WATCHDOG:
            self._watchdog_ms = value
            self._watchdog_at = time.monotonic() + value / 1000
        elif marker is Marker.FEED:
            self._watchdog_at = time.monotonic() + self._watchdog_ms / 1000

    # --- the thread ---

    def _run(self) -> None:
        while not self._closing:
            try:
                self._turn()
            except (HostError, OSError, termios.error) as error:
                self._fail(str(error))

    def _turn(self) -> None:
        interpreter = self._interpreter
        readers, writers = [self._wake_read], []
        if interpreter is not None:
            if len(self._to_host) < _TO_HOST_LIMIT_BYTES:
                readers.append(interpreter.fd)
            if self._to_board and not self._hold_input:
                writers.append(interpreter.fd)
        if self._outer >= 0:
            if len(self._to_board) < _TO_BOARD_LIMIT_BYTES:
                readers.append(self._outer)
            if self._to_host:
                writers.append(self._outer)
        ready, writable, _ = select.select(readers, writers, [], self._patience())
        if self._wake_read in ready:
            self._obey()
            return
        if self._outer in writable:
            self._write_to_host()
        if interpreter is not None:
            if interpreter.fd in ready:
                self._read_interpreter(interpreter)
            elif self._filter.holds:
                self._send(self._filter.flush())
            elif interpreter.ended() is not None:
                self._on_end()
        if self._interpreter is not interpreter:
            return
        if self._outer in ready:
            self._read_host(interpreter)
        if interpreter is not None and interpreter.fd in writable and self._to_board and not self._hold_input:
            self._write_to_board(interpreter)
        self._check_time()

    def _patience(self) -> float | None:
        if self._filter.holds:
            return _HOLD_S
        if self._interrupt_until:
            return _HOLD_S
        if self._to_host or self._watchdog_ms or self._booting or self._hold_input:
            return _TICK_S
        return None

    def _obey(self) -> None:
        os.read(self._wake_read, 4096)
        while not self._commands.empty():
            command, done = self._commands.get()
            try:
                command()
            finally:
                done.set()

    def _check_time(self) -> None:
        now = time.monotonic()
        if self._to_host and now > self._progress_at + _STALL_S:
            self._to_host.clear()
        if self._interrupt_until and not self._to_board:
            # What came before Ctrl-C may have started a program that did not run yet when Ctrl-C came. The prompt does
            # not see it either: MicroPython's Unix port drops its input when a program starts.
            done = self._interpreter is None or self._interpreter.interrupt() is Activity.PROGRAM
            if done or now > self._interrupt_until:
                self._interrupt_until = 0.0
        if self._watchdog_ms and now > self._watchdog_at:
            self.hard_reset(ResetCause.WATCHDOG)

    # --- board to host ---

    def _read_interpreter(self, interpreter: Interpreter) -> None:
        try:
            data = os.read(interpreter.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the other side open any more
            data = b""
        if not data:
            self._on_end()
            return
        for piece in self._filter.feed(data):
            if isinstance(piece, bytes):
                self._on_text(piece)
            else:
                self._on_marker(*piece)
            if self._interpreter is not interpreter:
                return

    def _on_text(self, text: bytes) -> None:
        if self._entering_raw is not None:
            self._entering_raw += text
            _, banner, after = self._entering_raw.partition(RAW_BANNER)
            if not banner:
                return
            text = banner + after
            self._entering_raw = None
        self._mode.feed(text)
        self._send(text)
        if self._booting and FRIENDLY_BANNER in text:
            lines = self.console.text().partition(FRIENDLY_BANNER.decode())[0].splitlines()[:-1]
            self._fail(f"its start program failed: {lines[-1] if lines else 'it said nothing'}")
        if self._hold_input and text.rstrip(b" ").endswith(b">"):
            self._hold_input = False

    def _send(self, data: bytes) -> None:
        if not data:
            return
        self.console.add(data)
        if self._outer < 0:
            return
        if not self._to_host:
            self._progress_at = time.monotonic()
        self._to_host += data
        self._write_to_host()

    def _write_to_host(self) -> None:
        try:
            sent = os.write(self._outer, self._to_host[:_CHUNK_BYTES])
        except BlockingIOError:
            return
        del self._to_host[:sent]
        self._progress_at = time.monotonic()

    # --- host to board ---

    def _read_host(self, interpreter: Interpreter | None) -> None:
        try:
            data = os.read(self._outer, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if interpreter is None:
            return
        if self._filter.binary and interpreter.activity() is Activity.PROMPT:
            # A program asked for every byte and ended without taking it back. Firmware does that at each prompt.
            self._filter.binary = False
            self._binary_abandoned = True
        self._interrupt_until = 0.0
        while data:
            before, control_c, data = data.partition(_CTRL_C)
            self._to_board += before
            if before:
                self._interrupt_until = 0.0
            if before and not self._hold_input:
                self._write_to_board(interpreter)
            if control_c and self._booting:
                self._interrupt_later = True
            elif control_c:
                found = Activity.PROMPT
                if not self._hold_input:
                    found = interpreter.interrupt(even_binary=self._binary_abandoned)
                if found is not Activity.PROGRAM:
                    self._to_board += control_c
                if found is Activity.PROMPT:
                    self._interrupt_until = time.monotonic() + _LATE_START_S
        if self._to_board and not self._hold_input:
            self._write_to_board(interpreter)

    def _write_to_board(self, interpreter: Interpreter) -> None:
        with contextlib.suppress(BlockingIOError):
            sent = os.write(interpreter.fd, self._to_board)
            del self._to_board[:sent]
