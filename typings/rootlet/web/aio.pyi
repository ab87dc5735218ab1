from typing import Any

from typing_extensions import Unpack

from .. import Context
from .._types import (
    AsyncTransport,
    Body,
    BodylessOptions,
    GetOptions,
    Headers,
    PostOptions,
    RequestOptions,
    Writable,
    WritableBuffer,
)

# At run time the classes of the blocking client, whose methods return what is awaited here.

class AsyncResponse:
    status: int
    reason: str
    headers: dict[str, str]
    url: str
    received: int
    async def __aenter__(self) -> AsyncResponse: ...
    async def __aexit__(self, *_: object) -> None: ...
    async def readinto(self, buffer: WritableBuffer) -> int: ...
    async def read(self, n: int = -1) -> bytes: ...
    async def json(self) -> Any: ...
    async def save(self, file: str | Writable) -> int: ...
    def close(self) -> None: ...

class AsyncClient:
    max_redirects: int
    def __init__(
        self,
        context: Context | None,
        timeout_ms: int | None = 30_000,
        idle_ms: int | None = 10_000,
        max_bytes: int | None = ...,
        max_redirects: int = 5,
        keep: int = 1,
        headers: Headers | None = None,
        compressed: bool = False,
        proxy: str | None = None,
        address: str | None = None,
        transport: AsyncTransport | None = None,
        allow_http: bool = False,
    ) -> None: ...
    async def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> AsyncResponse: ...
    async def get(self, url: str, **options: Unpack[BodylessOptions]) -> AsyncResponse: ...
    async def head(self, url: str, **options: Unpack[BodylessOptions]) -> AsyncResponse: ...
    async def post(self, url: str, body: Body | None = None, **options: Unpack[PostOptions]) -> AsyncResponse: ...
    async def put(self, url: str, body: Body | None = None, **options: Unpack[PostOptions]) -> AsyncResponse: ...
    async def delete(self, url: str, **options: Unpack[RequestOptions]) -> AsyncResponse: ...
    async def download(
        self, url: str, path: str, sha256: str | bytes | None = None, **options: Unpack[GetOptions]
    ) -> int: ...
    def close(self) -> None: ...
    async def __aenter__(self) -> AsyncClient: ...
    async def __aexit__(self, *_: object) -> None: ...
