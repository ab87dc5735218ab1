from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from . import Context
from ._types import Ticks
from .handshake import Handshake
from .observer import HandshakeObserver

PHASES: int
DECISIONS: int
RECORDS: int

Sink: TypeAlias = Callable[[dict[str, Any]], object]

class Trace:
    level: int
    sink: Sink
    keep: int
    lost: int
    def __init__(
        self, level: int = ..., sink: Sink | str | None = None, keep: int = 24, limit_bytes: int = 65_536
    ) -> None: ...
    def handshake(
        self, context: Context, sock: Any, server_hostname: str | None, deadline_ms: Ticks | None
    ) -> Handshake: ...
    def connect(
        self,
        function: Callable[..., Any],
        host: str,
        port: int,
        context: Context,
        server_hostname: str | None,
        address: str | None,
        *more: Any,
    ) -> Any: ...
    async def open(
        self,
        function: Callable[..., Awaitable[Any]],
        host: str,
        port: int,
        context: Context,
        server_hostname: str | None,
        address: str | None,
        timeout_ms: int,
        transport: Any,
    ) -> Any: ...

class Journal:
    level: int
    bytes_in: int
    bytes_out: int
    offered: Any
    def __init__(self, trace: Trace, number: int) -> None: ...
    def event(self, level: int, name: str, *fields: Any) -> None: ...
    def dial(self, address: str, port: int) -> None: ...
    def failed(self, error: BaseException) -> BaseException: ...
    def again(self) -> None: ...
    def largest_block(self) -> int | None: ...

def watching(base: type[HandshakeObserver], begin: Callable[[Any], tuple[Any, Any]]) -> Any: ...

TracedObserver: Any

def traced(base: type[Handshake], observer: Any) -> Any: ...

TracedHandshake: Any
