from typing import Any

from . import Context
from ._types import Buffer
from .dtls import DatagramConnection

class AsyncDatagramConnection(DatagramConnection):
    def __init__(self, handshake: Any, sock: Any, mtu: int, timeout_ms: int) -> None: ...
    async def handshake(self) -> None: ...
    async def send(self, data: Buffer, timeout_ms: int = 10_000) -> int: ...  # type: ignore[override]
    async def recv(  # type: ignore[override]
        self, n: int = ..., timeout_ms: int | None = None
    ) -> bytes | None: ...
    def cipher(self) -> tuple[str, str] | None: ...
    def close(self) -> None: ...
    async def __aenter__(self) -> AsyncDatagramConnection: ...
    async def __aexit__(self, *_: object) -> None: ...

async def connect(
    host: str,
    port: int,
    context: Context,
    server_hostname: str | None,
    address: str | None,
    timeout_ms: int,
    mtu: int,
) -> AsyncDatagramConnection: ...
