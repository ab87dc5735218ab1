from collections.abc import Callable
from typing import Any

from . import Context
from ._types import Headers, Transport, WritableBuffer
from .connection import Connection
from .web.aio import AsyncClient as AsyncClient
from .web.client import Client as Client

def split_url(url: str, wanted: str = "https", port: int = 443) -> tuple[str, int, str]: ...

class Response:
    connection: Connection
    status: int
    reason: str
    headers: dict[str, str]
    def __init__(self, connection: Any, method: str = "GET") -> None: ...
    def __enter__(self) -> Response: ...
    def __exit__(self, *_: object) -> None: ...
    def close(self) -> None: ...
    def readinto(self, buffer: WritableBuffer) -> int: ...
    def read(self, n: int = -1) -> bytes: ...

def get(
    url: str,
    context: Context,
    headers: Headers | None = None,
    timeout_ms: int = 10_000,
    address: str | None = None,
    transport: Transport | None = None,
    progress: Callable[[], object] | None = None,
) -> Response: ...
