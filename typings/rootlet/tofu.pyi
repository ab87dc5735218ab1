from collections.abc import Callable
from typing import Any

from typing_extensions import Unpack

from . import Context
from ._types import ContextSettings, Transport
from .anchor import Anchor

def context(
    path: str,
    host: str,
    port: int,
    confirm: Callable[[dict[str, Any]], bool] | None = None,
    fingerprint: str | None = None,
    server_hostname: str | None = None,
    address: str | None = None,
    timeout_ms: int = 10_000,
    transport: Transport | None = None,
    **settings: Unpack[ContextSettings],
) -> Context: ...
def load(path: str) -> bytes | None: ...

class KnownContext(Context):
    digest: bytes
    def __init__(self, der: bytes, timeout_ms: int, settings: Any) -> None: ...

class ExactStore:
    issued_at: int
    not_used_after: int
    count: int
    def __init__(self, der: bytes) -> None: ...
    def lookup(self, name: bytes, host: str | None = None, digest: bytes | None = None) -> list[Anchor]: ...
    def is_blocked(self, spki_digest: bytes) -> bool: ...
