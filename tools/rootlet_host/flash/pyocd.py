"""Nucleo boards through the debug side of their ST-LINK, with pyOCD (the extra `rootlet[pyocd]`).

API: pyOCD's `ConnectHelper`, `FlashLoader`. Probes are searched without blocking: pyOCD waits for one for ever
otherwise.
"""

from __future__ import annotations

import contextlib
import importlib.util
from typing import Any

from ..catalogue import Board
from .base import INCOMPLETE, FlashError, Job, Method, Obstacle, Progress, Target

_BLOCK = 16 * 1024


class PyocdMethod(Method):
    """pyOCD over SWD."""

    name = "pyocd"
    title = "ST-LINK debug probe with pyOCD"
    formats = ("hex", "dfu", "bin")

    def obstacle(self, board: Board, target: Target) -> Obstacle | None:
        if importlib.util.find_spec("pyocd") is None:
            return Obstacle("pyOCD is not installed", "pip install 'rootlet[pyocd]'")
        try:
            found = _probes(target.serial_number)
        except Exception as error:  # pyOCD lets errors of its USB libraries through
            return Obstacle(f"pyOCD cannot look for probes ({_first(error)})", "check its USB library (libusb)")
        if not found:
            wanted = f" with the serial number {target.serial_number}" if target.serial_number else ""
            return Obstacle(f"no debug probe{wanted} is attached", "plug the board in at its ST-LINK connector")
        if len(found) > 1:
            names = ", ".join(probe.unique_id for probe in found)
            return Obstacle(f"{len(found)} debug probes are attached ({names})", "name one serial number with --port")
        return None

    def plan(self, job: Job) -> list[str]:
        steps = ["connect to the chip over SWD"]
        if job.erase:
            steps.append("erase the whole flash, file system included")
        for part in job.image.placed(job.board):
            steps.append(f"write {len(part.data)} bytes at {part.address:#010x} and read them back")
        return [*steps, "reset the board"]

    def run(self, job: Job, progress: Progress) -> str | None:
        obstacle = self.obstacle(job.board, job.target)
        if obstacle is not None:
            raise FlashError(str(obstacle), exit_code=2)
        from pyocd.core.helpers import ConnectHelper
        from pyocd.flash.loader import FlashLoader

        touched = False
        parts = job.image.placed(job.board)
        total = sum(len(part.data) for part in parts)
        try:
            session = ConnectHelper.session_with_chosen_probe(
                blocking=False, return_first=True, unique_id=job.target.serial_number, auto_open=False
            )
            with session:
                loader = FlashLoader(
                    session,
                    progress=lambda share: progress("write", int(total * share), total),
                    chip_erase="chip" if job.erase else "sector",
                    keep_unwritten=not job.erase,
                )
                for part in parts:
                    loader.add_data(part.address, part.data)
                touched = True
                loader.commit()
                done = 0
                for part in parts:
                    for offset in range(0, len(part.data), _BLOCK):
                        wanted = part.data[offset : offset + _BLOCK]
                        read = bytes(session.target.read_memory_block8(part.address + offset, len(wanted)))
                        if read != wanted:
                            raise FlashError("the flash does not hold what was written", remedy=INCOMPLETE)
                        done += len(wanted)
                        progress("verify", done, total)
                session.target.reset()
        except FlashError:
            raise
        except KeyboardInterrupt:
            if not touched:
                raise
            raise FlashError("interrupted while writing", remedy=INCOMPLETE, exit_code=130) from None
        except Exception as error:  # pyOCD's exceptions and those of its USB libraries
            remedy = INCOMPLETE if touched else "nothing was written; unplug the board and plug it in again"
            raise FlashError(f"pyOCD failed: {_first(error)}", remedy=remedy) from error
        return None


def _probes(unique_id: str | None) -> list[Any]:
    from pyocd.core.helpers import ConnectHelper

    with contextlib.redirect_stdout(None):
        return list(
            ConnectHelper.get_all_connected_probes(blocking=False, unique_id=unique_id, print_wait_message=False)
        )


def _first(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
