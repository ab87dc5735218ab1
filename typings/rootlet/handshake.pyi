from typing import Any

from . import Context
from ._types import Ticks
from .connection import Connection
from .observer import HandshakeObserver

class Handshake:
    PROTOCOL: int
    Observer: Any
    over: bool
    retry: bool
    verified: bool
    host: str
    context: Context | None
    tls_context: Any
    loaded: list[tuple[bool, int, bytes | None]]
    missing: bytes | None
    anchor_names: list[bytes]
    policy: Any
    observer: HandshakeObserver
    issuers: tuple[bytes, ...]
    free_bytes: int | None
    peer_certificate: bytes | None
    elapsed_ms: int | None
    def __init__(self, context: Context, sock: Any, host: str, deadline_ms: Ticks | None) -> None: ...
    def connect(self) -> Connection: ...
    def run(self) -> Any: ...
    def established(self) -> None: ...
    def fail(self, error: BaseException) -> BaseException: ...
    def free(self) -> None: ...
