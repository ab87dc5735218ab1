"""One progress bar on stderr that leaves nothing behind; silent when stderr is no terminal or when asked to be."""

from __future__ import annotations

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .output import err


class Bar:
    """Use as a context manager; `show` may be called from anywhere inside it, as often as wanted."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[size]}", markup=False),
            TimeRemainingColumn(),
            console=err,
            transient=True,
            disable=quiet or not err.is_terminal,
        )
        self._task: TaskID | None = None
        self._label = ""

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, label: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes (None or 0: unknown, the bar pulses). A new label starts a new bar."""
        if self._task is None or label != self._label:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(label, total=total or None, size="")
            self._label = label
        size = f"{decimal(done)} of {decimal(total)}" if total else (decimal(done) if done else "")
        self._progress.update(self._task, completed=done, total=total or None, size=size)
