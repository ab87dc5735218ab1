"""The interface of all ways to flash.

A way to flash says first whether it can work here (`obstacle`: a reason and a remedy, or None), then what it
would do (`plan`), then does it (`run`). It never asks the user anything and prints nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..catalogue import Board
from ..errors import HostError
from ..firmware.images import Image

Progress = Callable[[str, int, int], None]
"""`progress(phase, done, total)`: the phase in one word, both numbers in bytes."""


@dataclass(frozen=True)
class Obstacle:
    """Why a way to flash cannot be used here, and what would change that."""

    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason


@dataclass(frozen=True)
class Target:
    """Where to flash: all of it optional, named by the user or found by the way itself."""

    port: str | None = None  # serial port, or serial number of a USB device
    volume: Path | None = None  # the mounted ST-LINK drive
    baud: int | None = None
    parity: str = "even"  # of the STM32 serial loader
    timeout_s: float = 60.0

    @property
    def serial_number(self) -> str | None:
        """The port's name as the serial number of a USB device."""
        return None if self.port is None else self.port.removeprefix("id:")


@dataclass(frozen=True)
class Job:
    """One image for one board."""

    board: Board
    image: Image
    target: Target
    erase: bool = False


class FlashError(HostError):
    """Writing failed. The message says in which state the board is left."""


INCOMPLETE = "the board holds an incomplete firmware and will not start; run the same command again"


class Method(ABC):
    """One way to flash."""

    name: ClassVar[str]
    title: ClassVar[str]
    formats: ClassVar[tuple[str, ...]]  # kinds of `Image` it can write
    can_erase: ClassVar[bool] = True

    @abstractmethod
    def obstacle(self, board: Board, target: Target) -> Obstacle | None:
        """Why this way cannot work here for `board`, without touching the board; None if it can."""

    @abstractmethod
    def plan(self, job: Job) -> list[str]:
        """What `run` will do, one step a line."""

    @abstractmethod
    def run(self, job: Job, progress: Progress) -> str | None:
        """Write and verify. Returns the serial port on which the board's REPL will appear, if that is known."""
