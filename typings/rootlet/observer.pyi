from collections.abc import Callable
from typing import Any, TypeAlias

from ._types import Ticks

NOTHING: int
TLS_RECORDS: int
CERTIFICATE: int
ENCRYPTED: int

OnIssuer: TypeAlias = Callable[[bytes], object]

# On a board an io.IOBase, which has none of the methods that CPython's has.
class HandshakeObserver:
    MAX_CERTIFICATE_MESSAGE: int
    MAX_CERTIFICATES: int
    MAX_NAME: int
    on_issuer: OnIssuer | None
    error: BaseException | None
    ended: bool
    seen: int
    refusal: str | bytes | None
    encrypted: bool
    certificate_requested: bool
    alert: int | None
    over: bool
    wants_write: bool
    dry: bool
    quota: int
    def __init__(self, sock: Any, on_issuer: OnIssuer | None, deadline_ms: Ticks | None = None) -> None: ...
    def readinto(self, buffer: memoryview) -> int | None: ...
    def write(self, buffer: memoryview) -> int | None: ...
    def ioctl(self, request: int, argument: int) -> int: ...
    def setblocking(self, flag: bool) -> None: ...
    def settimeout(self, seconds: float | None) -> None: ...
    def established(self) -> None: ...
    def set_deadline(self, deadline_ms: Ticks | None) -> None: ...
