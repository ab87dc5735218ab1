# Types that the stubs share. There is no such module on a board: import it under `if TYPE_CHECKING` only.
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias, TypedDict, type_check_only

from .identity import EcdsaSign
from .trace import Trace

Buffer: TypeAlias = bytes | bytearray | memoryview
WritableBuffer: TypeAlias = bytearray | memoryview
Headers: TypeAlias = Mapping[str, str]
Ticks: TypeAlias = Any  # a value of time.ticks_ms: to be compared with ticks_diff only

class Socket(Protocol):
    """What a transport must be: a connected stream with a socket's methods, that `select.poll` can wait for."""

    def readinto(self, buffer: Any, /) -> int | None: ...
    def write(self, data: Any, /) -> int | None: ...
    def read(self, n: int, /) -> bytes | None: ...
    def close(self) -> None: ...
    def setblocking(self, flag: bool, /) -> None: ...
    def settimeout(self, seconds: float | None, /) -> None: ...

class Transport(Protocol):
    """What dials: a modem, for instance."""

    def connect(self, host: str, port: int, timeout_ms: int, /) -> Any: ...

class AsyncTransport(Protocol):
    """What dials for asyncio."""

    def connect_async(self, host: str, port: int, timeout_ms: int, /) -> Awaitable[Any]: ...

class Store(Protocol):
    """What a Context can trust besides files: TrustStore and its like."""

    @property
    def issued_at(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def not_used_after(self) -> int: ...
    def lookup(self, name: bytes, host: str | None = None, digest: bytes | None = None) -> list[Any]: ...
    def is_blocked(self, spki_digest: bytes) -> bool: ...

class Modem(Protocol):
    """What knows the time."""

    def network_time(self) -> int | None: ...

class Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...

class Writable(Protocol):
    def write(self, data: memoryview, /) -> int | None: ...

class Uart(Protocol):
    """What a modem driver needs of machine.UART."""

    def any(self) -> int: ...
    def readinto(self, buffer: Any, n: int, /) -> int | None: ...
    def write(self, data: Buffer, /) -> int | None: ...

class Pin(Protocol):
    """What a modem driver needs of machine.Pin."""

    def value(self, level: int, /) -> object: ...

Body: TypeAlias = str | Buffer | Readable | Iterable[Buffer]
Stores: TypeAlias = str | Store | list[str | Store] | tuple[str | Store, ...]

@type_check_only
class ContextSettings(TypedDict, total=False):
    ciphers: list[str] | None
    policy: str
    client_cert: str | bytes | None
    client_key: str | bytes | None
    ecdsa_sign: EcdsaSign | None
    pins: list[str] | str | None
    allow_single: bool
    trace: Trace | None

@type_check_only
class GetOptions(TypedDict, total=False):
    headers: Headers | None
    auth: tuple[str, str] | None
    bearer: str | None
    timeout_ms: int | None
    max_bytes: int | None

@type_check_only
class BodylessOptions(GetOptions, total=False):
    sha256: str | bytes | None

@type_check_only
class PostOptions(BodylessOptions, total=False):
    length: int | None
    json: Any

@type_check_only
class RequestOptions(PostOptions, total=False):
    body: Body | None

@type_check_only
class RequestsOptions(TypedDict, total=False):
    data: Body | None
    json: Any
    headers: Headers | None
    stream: object
    auth: tuple[str, str] | None
    timeout: float | None
    parse_headers: bool
