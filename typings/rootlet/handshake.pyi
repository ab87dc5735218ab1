from collections.abc import Iterable
from typing import Any

from ._types import Store, Ticks
from .anchor import Anchor
from .context import Context
from .identity import Identity
from .observer import HandshakeObserver
from .psk import PreSharedKey

class AnchorLoader:
    MAX_ANCHORS: int
    names: list[bytes]
    loaded: list[Anchor]
    missing: bytes | None
    def __init__(self, stores: Iterable[Store], host: str, tls_context: Any) -> None: ...
    def load(self, name: bytes) -> None: ...

class Handshake:
    PROTOCOL: int
    Observer: Any
    over: bool
    retry: bool
    host: str
    loader: AnchorLoader | None
    anchor_names: list[bytes]
    policy: Any
    credentials: Identity | PreSharedKey | None
    observer: HandshakeObserver
    issuers: list[bytes]
    free_bytes: int | None
    peer_certificate: bytes | None
    elapsed_ms: int | None
    def __init__(self, context: Context, sock: Any, server_hostname: str, deadline_ms: Ticks | None) -> None: ...
    def run(self) -> Any: ...
    def established(self) -> None: ...
    def fail(self, error: BaseException) -> BaseException: ...
    def free(self) -> None: ...
