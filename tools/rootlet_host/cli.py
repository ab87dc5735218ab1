"""The entry point of the command `rootlet`: whatever ends a command becomes an exit code and one line on stderr.

Exit codes: 0 done, 1 failed, 2 wrong usage or environment, 130 interrupted. SIGTERM and SIGHUP end a command as Ctrl-C
does, with everything put away, and are then what ended the process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import traceback
import warnings
from types import FrameType
from typing import NoReturn

from .errors import EXIT_FAILED, EXIT_INTERRUPTED, HostError
from .files import read_remedy, write_remedy

_DEBUG = "--debug"


def main() -> NoReturn:
    """Be the process of the command that `sys.argv` names."""
    ended_by: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough: a second one must not break off the putting away
        ended_by.append(number)
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):  # no SIGHUP on Windows
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # not under nohup
            signal.signal(number, end)
    code = run()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: the exit code says how
    _let_go_of_stdout()
    if ended_by and code == EXIT_INTERRUPTED and os.name == "posix":
        signal.signal(ended_by[0], signal.SIG_DFL)
        os.kill(os.getpid(), ended_by[0])
    sys.exit(code)


def run() -> int:
    """Run the command that `sys.argv` names; the exit code."""
    words = [word for word in sys.argv[1:] if word != _DEBUG]
    debug = len(words) < len(sys.argv) - 1
    _prepare_streams()
    if not debug:
        # Libraries warn their programmers. Ours: roots of old may break rules of which cryptography warns at every use.
        warnings.simplefilter("ignore")
    try:
        # What all commands import takes some tenths of a second, and Ctrl-C may come in them, too.
        from .app import app

        code = app(words, prog_name="rootlet", standalone_mode=False) or 0
        sys.stdout.flush()
        if code == EXIT_INTERRUPTED:
            _complain("interrupted")
    except SystemExit as end:  # of a library
        code = end.code if isinstance(end.code, int) else EXIT_FAILED if end.code else 0
    except KeyboardInterrupt:
        # A second Ctrl-C while everything is put away would show a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _complain("interrupted")
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = EXIT_FAILED  # nobody reads on, as in `rootlet boards | head -1`
    except Exception as error:
        if debug:
            traceback.print_exc()
        code = _explain(error)
    return code


def _explain(error: Exception) -> int:
    """Say in one line what went wrong; the exit code."""
    if isinstance(error, HostError):
        _complain(error.message, error.remedy)
        return error.exit_code
    # typer's own click classes are private and moved between its versions, so they are recognised by what they offer.
    format_message, code = getattr(error, "format_message", None), getattr(error, "exit_code", None)
    if format_message is not None and isinstance(code, int):
        context = getattr(error, "ctx", None)
        if message := format_message().strip().removesuffix("."):
            _complain(message, f"see {context.command_path if context else 'rootlet'} --help")
        return code
    if type(error).__name__ == "Abort":  # a question was answered with Ctrl-C or the end of the input
        _complain("interrupted")
        return EXIT_INTERRUPTED
    if isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        remedy = write_remedy(error) or read_remedy(error)
        _complain(where + (error.strerror or str(error)), remedy)
        return EXIT_FAILED
    _complain(
        f"unexpected {type(error).__name__}: {error}",
        "this is a fault of rootlet; please report what it prints with --debug",
    )
    return EXIT_FAILED


def _complain(message: str, remedy: str = "") -> None:
    text = " ".join(f"rootlet: {message}".split("\n")) + (f" ({remedy})" if remedy else "")
    # What a file, a server or a board says must not reach the terminal as its commands.
    text = "".join(character if character.isprintable() else "?" for character in text)
    with contextlib.suppress(OSError):  # nobody is there to read it
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _prepare_streams() -> None:
    """Let no character of a store or certificate end a command in a locale that cannot show it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        # rich takes such a terminal for 80 columns wide unless it is told both.
        size = shutil.get_terminal_size()
        os.environ.setdefault("COLUMNS", str(size.columns))
        os.environ.setdefault("LINES", str(size.lines))


def _let_go_of_stdout() -> None:
    """Write what is left, or drop it if it cannot be written: the interpreter would complain in its own words."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
