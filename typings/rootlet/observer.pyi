from collections.abc import Callable
from typing import Any, TypeAlias

from ._types import Ticks

OnIssuer: TypeAlias = Callable[[bytes], object]

# On a board an io.IOBase, which has none of the methods that CPython's has.
class HandshakeObserver:
    error: BaseException | None
    ended: bool
    deadline_ms: Ticks | None
    seen: int
    refusal: str | bytes | None
    encrypted: bool
    certificate_requested: bool
    alert: int | None
    over: bool
    finishing: int
    wants_write: bool
    dry: bool
    quota: int
    def __init__(self, sock: Any, on_issuer: OnIssuer | None, deadline_ms: Ticks | None = None) -> None: ...
    def readinto(self, buffer: memoryview) -> int | None: ...
    def write(self, buffer: memoryview) -> int | None: ...
    def ioctl(self, request: int, argument: int) -> int: ...
    def setblocking(self, flag: bool) -> None: ...
    def established(self) -> None: ...
