"""What the Unix port lacks to be a board, as a MicroPython program that runs before boot.py.

It puts the board's own file system at `/` in place of the host's, adds what the modules `machine` and `micropython`
have on boards, and runs boot.py and main.py as firmware does. It speaks to the bridge outside through its terminal:
marked records in the output (`Marker`), and the terminal's local flags, which the bridge can read at any time.
"""

from __future__ import annotations

import enum
import re
import termios

from .folder import FOLDER

# A record is MARK, the nonce of this start, one letter, eight hexadecimal digits.
MARK = b"\x00\x1b"
NONCE_BYTES = 8
RECORD_BYTES = len(MARK) + NONCE_BYTES + 1 + 8


class Marker(enum.Enum):
    """What the board tells the bridge."""

    MOUNTED = "M"  # the file system is there, boot.py comes next; value: version, a byte for each number
    UNMOUNTABLE = "U"  # the flash holds no such file system; value: errno
    READY = "R"  # boot.py and main.py are over, the prompt comes next
    RESET = "X"  # machine.reset()
    SOFT_RESET = "S"  # SystemExit in boot.py or main.py
    BINARY = "B"  # micropython.kbd_intr(-1): every byte passes as it is
    TEXT = "E"  # micropython.kbd_intr(3): Ctrl-C interrupts, "\n" is sent as "\r\n"
    WATCHDOG = "W"  # machine.WDT(timeout=value in ms)
    FEED = "F"  # WDT.feed()


class ResetCause(enum.IntEnum):
    """`machine.reset_cause()`, numbered as on stm32 and ESP32."""

    POWER_ON = 1
    HARD = 2
    WATCHDOG = 3
    SOFT = 5


# The terminal is never in canonical mode, so these flags have no effect of their own.
EXECUTING = termios.IEXTEN  # readline turns every local flag off; not all ways of running code turn them on again
BINARY = termios.ECHOK  # on between kbd_intr(-1) and kbd_intr(3)

_SOURCE = r"""
def start(kind, path, block, blocks, mark, uid, cause, run_main):
    import gc, machine, micropython, os, sys, termios, vfs
    def tell(what, value=0):
        sys.stdout.buffer.write(mark + what + '%08x' % value)
    terminal = termios.tcgetattr(0)
    chars = terminal[6]
    for i in range(len(chars)):
        if isinstance(chars[i], bytes):
            chars[i] = b'\0'
    class Flash:
        # Code without jumps, because exceptions such as KeyboardInterrupt are raised at jumps and must not be raised
        # inside the file system. Nothing is allocated and no outer variable used (more than a few are passed on the
        # heap), because the garbage collector closes files, and keeps the heap locked meanwhile.
        def __init__(self):
            self.file = open(path, 'r+b')
            self.block = block
            self.answers = {4: blocks, 5: block}
        def readblocks(self, n, buf, off=0):  # off: from littlefs only
            self.file.seek(n * self.block + off)
            self.file.readinto(buf)
        def writeblocks(self, n, buf, off=0):
            self.file.seek(n * self.block + off)
            self.file.write(buf)
        def ioctl(self, op, arg):
            return self.answers.get(op, 0)
    def never():
        while True:
            try:
                import time
                time.sleep(60)
            except BaseException:
                pass
    try:
        if kind == 'directory':
            os.chdir('/')
            fs = Folder(path)
        else:
            fs = (vfs.VfsLfs2 if kind == 'littlefs' else vfs.VfsFat)(Flash())
        vfs.umount('/')
        vfs.mount(fs, '/')
        os.chdir('/')
    except OSError as error:
        tell('U', error.errno)
        never()
    class Machine:
        PWRON_RESET = 1
        HARD_RESET = 2
        WDT_RESET = 3
        SOFT_RESET = 5
        def reset():
            tell('X')
            never()
        def reset_cause():
            return cause
        def unique_id():
            return uid
        class WDT:
            def __init__(self, id=0, timeout=5000):
                tell('W', timeout)
            def feed(self):
                tell('F')
    class Micropython:
        def kbd_intr(char):
            if char != 3 and char != -1:
                raise ValueError('the virtual board knows 3 and -1')
            terminal[3] = EXECUTING if char == 3 else EXECUTING | BINARY
            termios.tcsetattr(0, 0, terminal)
            tell('E' if char == 3 else 'B')
    for source, target in (machine, Machine), (micropython, Micropython):
        for name in dir(source):
            if name[0] != '_' and not hasattr(target, name):
                setattr(target, name, getattr(source, name))
        sys.modules[source.__name__] = target
    def run(name):
        try:
            os.stat(name)
        except OSError:
            return
        try:
            execfile(name, __main)
        except SystemExit:
            tell('S')
            never()
        except BaseException as error:
            sys.print_exception(error)
    __main = globals()
    del __main['start'], __main['Folder']
    gc.collect()
    v = sys.implementation.version
    tell('M', v[0] << 16 | v[1] << 8 | v[2])
    try:
        run('boot.py')
        if run_main:
            run('main.py')
    finally:
        tell('R')
"""


def _compact(source: str) -> str:
    """`source` without comments and with one-space indentation: it is compiled on the board's own heap."""
    lines = []
    for line in source.strip("\n").splitlines():
        text = line.split("  #")[0].rstrip()
        if text and not text.lstrip().startswith("#"):
            indent = len(text) - len(text.lstrip())
            lines.append(" " * (indent // 4) + text.lstrip())
    return "\n".join(lines)


_PROGRAM = _compact(re.sub(r"\b(EXECUTING|BINARY)\b", lambda match: str(globals()[match[1]]), FOLDER + _SOURCE))


def program(
    *,
    file_system: str,
    path: str,
    block_bytes: int,
    blocks: int,
    nonce: str,
    unique_id: bytes,
    cause: ResetCause,
    run_main: bool,
) -> str:
    """The program for `micropython -i -c`.

    `file_system` is `directory`, `littlefs` or `fat`; `path` the folder or the image file; `nonce` `NONCE_BYTES`
    characters that nothing else prints.
    """
    mark = MARK.decode() + nonce
    arguments = (file_system, path, block_bytes, blocks, mark, unique_id, int(cause), run_main)
    return f"{_PROGRAM}\nstart{arguments!r}\n"
