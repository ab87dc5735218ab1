"""What simulators have in common: a thread that serves while they are used as a context manager."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TypeVar

_Simulator = TypeVar("_Simulator", bound="Background")


class Background(ABC):
    """Derived classes say in `_serve` what the thread does until `_stop` is set, and in `_close` what is let go of."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @abstractmethod
    def _serve(self) -> None: ...

    def _close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Called after the thread's end."""

    def __enter__(self: _Simulator) -> _Simulator:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        self._close()
