from typing import Any

from . import Context
from ._types import Buffer, Ticks
from .dtls_aio import AsyncDatagramConnection
from .handshake import Handshake

MAX_DATAGRAM: int

class DatagramHandshake(Handshake):
    psk: bool
    def __init__(self, context: Context, *arguments: Any) -> None: ...

class DatagramConnection:
    max_bytes: int
    def __init__(self, handshake: Any, sock: Any, mtu: int) -> None: ...
    def __enter__(self) -> DatagramConnection: ...
    def __exit__(self, *_: object) -> None: ...
    def send(self, data: Buffer) -> int: ...
    def recv(self, n: int = ..., timeout_ms: int | None = None) -> bytes | None: ...
    def close(self) -> None: ...
    def cipher(self) -> tuple[str, str] | None: ...
    def peer_certificate(self) -> bytes | None: ...
    def anchor_names(self) -> list[bytes]: ...

def connect(
    host: str,
    port: int,
    context: Context,
    server_hostname: str | None = None,
    address: str | None = None,
    timeout_ms: int = 30_000,
    mtu: int = 1280,
) -> DatagramConnection: ...
async def connect_async(
    host: str,
    port: int,
    context: Context,
    server_hostname: str | None = None,
    address: str | None = None,
    timeout_ms: int = 30_000,
    mtu: int = 1280,
) -> AsyncDatagramConnection: ...
def begin(
    host: str,
    port: int,
    context: Context,
    server_hostname: str | None,
    address: str | None,
    deadline_ms: Ticks,
) -> tuple[Any, Any]: ...
def explained(error: BaseException, handshake: Any) -> BaseException: ...
