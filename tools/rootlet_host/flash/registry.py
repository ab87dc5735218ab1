"""All ways to flash, and the choice of one."""

from __future__ import annotations

from ..catalogue import Board
from ..errors import UsageError
from .base import Method, Obstacle, Target


def methods() -> dict[str, Method]:
    """All ways by name, in the order in which they are described."""
    from .dfu import DfuMethod
    from .esp32 import EsptoolMethod
    from .pyocd import PyocdMethod
    from .serial_loader import SerialMethod
    from .stlink_drive import StlinkDriveMethod

    known: list[Method] = [EsptoolMethod(), StlinkDriveMethod(), DfuMethod(), SerialMethod(), PyocdMethod()]
    return {method.name: method for method in known}


def choose(board: Board, named: str | None, target: Target, *, erase: bool = False) -> Method:
    """The way the user named, or the best one that can work here; a `UsageError` with every reason if none can."""
    known = methods()
    if named is not None:
        if named not in known:
            raise UsageError(f"there is no way to flash called {named}", remedy=f"use one of {', '.join(known)}")
        if named not in board.methods:
            raise UsageError(f"{board.id} cannot be flashed with {named}", remedy=f"use {' or '.join(board.methods)}")
        obstacle = _obstacle(known[named], board, target, erase)
        if obstacle is not None:
            raise UsageError(f"{named} cannot be used: {obstacle.reason}", remedy=obstacle.remedy)
        return known[named]
    reasons: list[tuple[str, Obstacle]] = []
    for name in board.methods:
        obstacle = _obstacle(known[name], board, target, erase)
        if obstacle is None:
            return known[name]
        reasons.append((name, obstacle))
    if len(reasons) == 1:
        raise UsageError(reasons[0][1].reason, remedy=reasons[0][1].remedy)
    listed = "; ".join(f"{name}: {obstacle.reason}" for name, obstacle in reasons)
    raise UsageError(f"no way to flash {board.id} works here: {listed}", remedy=reasons[0][1].remedy)


def _obstacle(method: Method, board: Board, target: Target, erase: bool) -> Obstacle | None:
    if erase and not method.can_erase:
        return Obstacle("it cannot erase the whole flash", "leave out --erase or take another --method")
    return method.obstacle(board, target)
