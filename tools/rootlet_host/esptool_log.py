"""Takes over what esptool prints: its lines are kept for error messages, its progress goes to our bar."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from esptool.logger import TemplateLogger, log


class _Log(TemplateLogger):  # type: ignore[misc]  # esptool ships no types
    """esptool's logger interface (its documented recipe for embedding)."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.on_progress: Callable[[int, int], None] | None = None

    def print(self, *args: Any, **_: Any) -> None:
        self.lines.append(" ".join(str(part) for part in args).strip())

    def note(self, message: str) -> None:
        self.lines.append(f"note: {message}")

    def warning(self, message: str) -> None:
        self.lines.append(f"warning: {message}")

    def error(self, message: str) -> None:
        self.lines.append(f"error: {message}")

    def stage(self, finish: bool = False) -> None:
        pass

    def progress_bar(
        self, cur_iter: int, total_iters: int, prefix: str = "", suffix: str = "", bar_length: int = 30
    ) -> None:
        if self.on_progress is not None and total_iters:
            self.on_progress(cur_iter, total_iters)

    def set_verbosity(self, verbosity: str) -> None:
        pass


_LOG = _Log()
# Once for the process: after that the logger that is installed no longer offers set_logger. The one before it is made
# silent, since esptool.reset keeps a reference to its `warn`.
log.set_verbosity("silent")
log.set_logger(_LOG)


@contextlib.contextmanager
def captured(on_progress: Callable[[int, int], None] | None = None) -> Iterator[list[str]]:
    """Run esptool silently; yields the lines it would have printed. `on_progress(done, total)` is in bytes."""
    outer_lines, outer_progress = _LOG.lines, _LOG.on_progress
    _LOG.lines, _LOG.on_progress = [], on_progress
    try:
        yield _LOG.lines
    finally:
        _LOG.lines, _LOG.on_progress = outer_lines, outer_progress
