"""One progress bar on stderr; silent when stderr is no terminal or when asked to be."""

from __future__ import annotations

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from .output import err


class Bar:
    """Use as a context manager; `show` may be called from anywhere inside it, as often as wanted."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=err,
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
            self._task = self._progress.add_task(label, total=total or None)
            self._label = label
        self._progress.update(self._task, completed=done, total=total or None)
