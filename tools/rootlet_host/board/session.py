"""A connection to a board: open its port, stop what runs there, run code."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from ..errors import HostError
from .link import MAX_ANSWER_BYTES, Link, LinkError, understood
from .ports import resolve_port

_PROMPT_PATIENCE_S = 0.3
_LEAVE_TIMEOUT_S = 3.0
_Session = TypeVar("_Session", bound="Session")
_Value = TypeVar("_Value")


def _as_it_is(value: Any) -> Any:
    return value


class BoardError(HostError):
    """Code on the board raised an exception.

    `output` is what was printed before, `traceback` the whole traceback, `kind` the exception's type and `errno` its
    number if it is an OSError.
    """

    def __init__(self, port: str, output: str, traceback: str) -> None:
        last = (traceback.strip().splitlines() or ["no message"])[-1]
        super().__init__(f"the board on {port} says: {last}", remedy="reset the board and try again")
        self.output = output
        self.traceback = traceback
        self.kind = last.partition(":")[0].strip()
        number = re.match(r"OSError: (?:\[Errno )?-?(\d+)", last)
        self.errno = int(number[1]) if number else None


class Session:
    """A connection to a board, as a context manager.

    `port` as `rootlet_host.board.ports.resolve_port` takes it. Entering interrupts the program that runs on the board;
    leaving starts boot.py and main.py again if one ran. `timeout_s` is how long the board may take to answer.

    Raises `UsageError` when there is no such board, more than one, or its port cannot be opened; `LinkError` when
    nothing answers there or the connection breaks; `BoardError` when code on the board raises.
    """

    def __init__(self, port: str | None = None, *, timeout_s: float = 10.0) -> None:
        self._name = port
        self._timeout_s = timeout_s
        self._link: Link | None = None
        self._was_running = False  # a program, when we came
        self._restarted = False  # and has not been disturbed since

    def __enter__(self: _Session) -> _Session:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Open the port and bring the board to its raw REPL."""
        link = Link(resolve_port(self._name))
        try:
            with link.guarded():
                self._was_running = not link.at_prompt(_PROMPT_PATIENCE_S)
                if not link.enter_raw(self._timeout_s):
                    raise LinkError(
                        f"no MicroPython answers on {link.device}",
                        remedy="reset the board and try again; if it has no firmware yet, see rootlet flash --help",
                    )
        except BaseException as error:
            if self._was_running and not isinstance(error, LinkError):
                self._leave(link)  # Ctrl-C on this side
            link.close()
            raise
        self._link = link

    def close(self) -> None:
        """Leave the board as it was found: at its prompt, or running its program from the beginning.

        A program that `restart` started goes on.
        """
        if self._link is None:
            return
        link, self._link = self._link, None
        if not self._restarted:
            self._leave(link)
        link.close()

    def _leave(self, link: Link) -> None:
        with contextlib.suppress(LinkError), link.guarded():
            link.leave_raw(_LEAVE_TIMEOUT_S)
            if self._was_running:
                link.port.write(b"\x04")

    @property
    def port(self) -> str:
        """The device that is open."""
        return self._open_link.device

    @property
    def _open_link(self) -> Link:
        if self._link is None:
            raise LinkError("the board is not connected")
        return self._link

    def interrupt(self) -> None:
        """Stop whatever runs on the board and bring it back to the raw REPL, from whatever state."""
        link = self._open_link
        with link.guarded():
            if self._restarted:
                self._was_running = not link.at_prompt(_PROMPT_PATIENCE_S)
                self._restarted = False
            if not link.enter_raw(self._timeout_s):
                raise LinkError(f"the board on {link.device} cannot be interrupted", remedy="reset the board")

    def soft_reset(self) -> None:
        """Start over with an empty heap: boot.py runs, main.py does not."""
        self.interrupt()
        link = self._open_link
        self._forget()
        with link.guarded():
            if not link.soft_reset_raw(self._timeout_s):
                raise LinkError(f"the board on {link.device} does not come back from a reset", remedy="reset the board")

    def restart(self, *, listen_s: float = 0.0, until: str | None = None) -> str:
        """Run boot.py and main.py, and return what they print within `listen_s` seconds or up to the text `until`.

        The program goes on running, also after `close`; the next call of another method interrupts it.
        """
        link = self._open_link
        self._forget()
        with link.guarded():
            link.leave_raw(self._timeout_s)
            link.port.write(b"\x04")
            link.read_until(1, b"soft reboot\r\n", timeout=None, timeout_overall=self._timeout_s)
            link.in_raw_repl = False
            self._restarted = True
            if not listen_s:
                return ""
            ending = until.encode() if until else b"\x04\x04"
            said = link.read_until(1, ending, timeout=None, timeout_overall=listen_s)
        return said.decode(errors="replace").replace("\r\n", "\n")

    def run(
        self,
        code: str | bytes,
        *,
        timeout_s: float | None = None,
        on_output: Callable[[str], None] | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> str:
        """Run `code` and return what it prints, with plain line feeds.

        `timeout_s` is how long the board may be silent (default: the connection's), `max_bytes` how much it may print.
        `on_output` gets the output in pieces as it comes.
        """
        link = self._open_link
        said = bytearray()

        def consume(data: bytes) -> None:
            data = data.replace(b"\x04", b"")
            said.extend(data)
            if on_output is not None and data:
                on_output(data.decode(errors="replace"))

        with link.guarded():
            if not link.in_raw_repl:
                self.interrupt()
            link.exec_raw_no_follow(code)
            patience_s = self._timeout_s if timeout_s is None else timeout_s
            ending = link.read_until(
                1, b"\x04", timeout=patience_s, data_consumer=consume, max_bytes=max(max_bytes, MAX_ANSWER_BYTES)
            )
            if ending != b"\x04":
                raise LinkError(
                    f"the board on {link.device} has been silent for {patience_s:g} s", remedy="reset the board"
                )
            error = link.read_until(1, b"\x04", timeout=patience_s)
        output = said.decode(errors="replace").replace("\r\n", "\n")
        if len(error) > 1:
            raise BoardError(link.device, output, error[:-1].decode(errors="replace").replace("\r\n", "\n"))
        return output

    def evaluate(
        self, expression: str, convert: Callable[[Any], _Value] = _as_it_is, *, timeout_s: float | None = None
    ) -> _Value:
        """The value of `expression`, which must be one that Python's literals can express.

        `convert` makes what is wanted of it. What it raises of an answer is the board's fault.
        """
        answer = self.run(f"print(repr({expression}))", timeout_s=timeout_s).strip()
        with understood(self.port):
            return convert(ast.literal_eval(answer))

    def _forget(self) -> None:
        """The board starts over: nothing that was put into its memory is there any more."""
