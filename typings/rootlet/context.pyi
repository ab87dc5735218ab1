from collections.abc import Iterable
from typing import Any

from ._types import Socket, Store, Stores, Ticks
from .connection import Connection
from .handshake import Handshake
from .identity import EcdsaSign, Identity
from .pins import Pins
from .psk import PreSharedKey
from .trace import Trace

def forward_secret_aead(names: Iterable[str]) -> list[str]: ...

class Context:
    credentials: Identity | PreSharedKey | None
    psk: bool
    pins: Pins | None
    trace: Trace | None
    timeout_ms: int
    webpki: bool
    stores: list[Store]
    def __init__(
        self,
        store: Stores | None = None,
        stores: Stores | None = None,
        cafile: str | None = None,
        cadata: bytes | None = None,
        ciphers: list[str] | None = None,
        policy: str = "default",
        timeout_ms: int = 10_000,
        client_cert: str | bytes | None = None,
        client_key: str | bytes | None = None,
        ecdsa_sign: EcdsaSign | None = None,
        psk: tuple[str | bytes, bytes] | None = None,
        pins: list[str] | str | None = None,
        allow_single: bool = False,
        trace: Trace | None = None,
    ) -> None: ...
    def wrap_socket(
        self,
        sock: Socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        server_hostname: str | None = None,
    ) -> Connection: ...
    def handshake(
        self,
        sock: Socket,
        server_hostname: str | None,
        deadline_ms: Ticks | None,
        kind: type[Handshake] | None = None,
    ) -> Handshake: ...
    def issuers(self, host: str) -> Iterable[bytes]: ...
    def remember(self, host: str, issuers: list[bytes]) -> None: ...
    def tls_context(self, protocol: int = ...) -> Any: ...
    def is_blocked(self, spki_digest: bytes) -> bool: ...
