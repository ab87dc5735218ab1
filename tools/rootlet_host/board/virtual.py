"""The virtual board: MicroPython's Unix port behind a pseudo-terminal, with a flash of its own (POSIX systems only)."""

from __future__ import annotations

import fcntl
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from ..errors import HostError, UsageError
from ..interpreter import find_micropython
from .bridge import Bridge
from .flash import FileSystem, Flash, open_directory, open_image, parse_size
from .hardware import ResetCause
from .process import Machine

_START_TIMEOUT_S = 20.0


class VirtualBoard:
    """A board to use like one on USB, as a context manager.

    Exactly one of `directory` (a folder of the host) and `image` (a file, made if it does not exist) is the flash; with
    neither, a temporary image is. `filesystem` is `littlefs` or `fat`; `size` is the size of a new image in bytes or as
    text (`"1M"`); `heap` is the size of the interpreter's heap in bytes or as text, or None for its default.

    Raises `UsageError` when it cannot be set up and `HostError` when the flash cannot be mounted.
    """

    def __init__(
        self,
        *,
        directory: Path | str | None = None,
        image: Path | str | None = None,
        filesystem: FileSystem = "littlefs",
        size: int | str | None = None,
        heap: int | str | None = None,
        interpreter: Path | None = None,
    ) -> None:
        if directory is not None and image is not None:
            raise UsageError("a virtual board has either a folder or an image as flash", remedy="leave one out")
        self._directory = None if directory is None else Path(directory)
        self._image = None if image is None else Path(image)
        self._file_system: FileSystem = filesystem
        self._size = parse_size(size) if isinstance(size, str) else size
        self._heap = parse_size(heap) if isinstance(heap, str) else heap
        self._interpreter = interpreter
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._held: BinaryIO | None = None
        self._bridge: Bridge | None = None

    def __enter__(self) -> VirtualBoard:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Switch the board on and wait until its flash is mounted and boot.py is about to run."""
        interpreter = self._interpreter or find_micropython()
        try:
            self._bridge = Bridge(Machine(interpreter, self._open_flash(interpreter), self._heap))
            self._bridge.start()
            if not self._bridge.mounted.wait(_START_TIMEOUT_S):
                raise HostError(
                    f"{interpreter} did not start within {_START_TIMEOUT_S:.0f} s",
                    remedy="it must be MicroPython's Unix port: check MICROPYTHON",
                )
            if self._bridge.failure:
                raise HostError(f"the virtual board cannot start: {self._bridge.failure}")
        except BaseException:
            self.close()
            raise

    def _open_flash(self, interpreter: Path) -> Flash:
        if self._directory is not None:
            return open_directory(self._directory)
        if self._image is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="rootlet-")
            return open_image(Path(self._temporary.name) / "flash.img", interpreter, self._file_system, self._size)
        flash = open_image(self._image, interpreter, self._file_system, self._size)
        self._hold(flash.path)
        return flash

    def _hold(self, image: Path) -> None:
        """Keep other virtual boards off the image: two that write into one file system destroy it."""
        self._held = image.open("rb")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what = f"{image} is the flash of another virtual board that runs"
            raise UsageError(what, remedy="end that one, or name another file") from error
        except OSError:  # a file system without locks
            return

    def close(self) -> None:
        """Switch the board off and free everything. May be called twice."""
        if self._bridge is not None:
            self._bridge.close()
        if self._held is not None:
            self._held.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def _running(self) -> Bridge:
        if self._bridge is None:
            raise HostError("the virtual board was not started")
        return self._bridge

    @property
    def port(self) -> str:
        """The path to open as a serial port; empty while the cable is out or the power off."""
        return self._running.port

    @property
    def failure(self) -> str:
        """Why the board stopped by itself, or an empty text."""
        return self._running.failure

    @property
    def starts(self) -> int:
        """How often the interpreter was started: once, and once more for every reset of any kind."""
        return self._running.starts

    @property
    def console(self) -> str:
        """Everything that the board sent so far, whoever was listening (the last MiB of it)."""
        return self._running.console.text()

    def wait_for(self, text: str, *, timeout_s: float = 10.0, since: int = 0) -> str:
        """Wait until `text` is in the console and return the console; `since` is an earlier `console_bytes`."""
        deadline = time.monotonic() + timeout_s
        while True:
            seen = self._running.console.text(since)
            if text in seen:
                return seen
            if time.monotonic() > deadline:
                raise HostError(f"the virtual board did not print {text!r} within {timeout_s:g} s")
            time.sleep(0.005)

    @property
    def console_bytes(self) -> int:
        """How many bytes the board has sent so far."""
        return self._running.console.position

    def reset(self) -> None:
        """Press the reset button: boot.py and main.py run again. Also switches it on after `power_off`."""
        self._running.do(self._running.hard_reset)

    def power_off(self) -> None:
        """Take the power away: the interpreter is killed in the middle of whatever it does, and the port is gone."""
        self._running.do(self._running.power_off)

    def power_on(self) -> None:
        """Give the power back after `power_off`; the board gets a port again."""
        self._running.do(lambda: self._running.hard_reset(ResetCause.POWER_ON))

    def unplug(self) -> None:
        """Pull the cable: the port is gone, the program runs on."""
        self._running.do(self._running.unplug)

    def plug(self) -> None:
        """Put the cable back."""
        self._running.do(self._running.plug)
