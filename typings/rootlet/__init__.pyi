from . import aio as aio
from . import anchor as anchor
from . import certificate as certificate
from . import clock as clock
from . import compat as compat
from . import config as config
from . import connection as connection
from . import der as der
from . import describe as describe
from . import dtls as dtls
from . import dtls_aio as dtls_aio
from . import entropy as entropy
from . import errors as errors
from . import firmware as firmware
from . import handshake as handshake
from . import http as http
from . import identity as identity
from . import memory as memory
from . import modem as modem
from . import network as network
from . import observer as observer
from . import opening as opening
from . import pacing as pacing
from . import pem as pem
from . import pins as pins
from . import psk as psk
from . import report as report
from . import requests as requests
from . import slots as slots
from . import starttls as starttls
from . import timekeeping as timekeeping
from . import tofu as tofu
from . import trace as trace
from . import tracesinks as tracesinks
from . import updater as updater
from . import web as web
from ._types import Socket, Store, Stores, Ticks, Transport
from .aio import open_connection as open_connection
from .anchor import Anchor
from .connection import Connection as Connection
from .errors import AlertError as AlertError
from .errors import CertificateError as CertificateError
from .errors import ClockError as ClockError
from .errors import ConfigError as ConfigError
from .errors import ConnectError as ConnectError
from .errors import DeadlineError as DeadlineError
from .errors import DigestError as DigestError
from .errors import EntropyError as EntropyError
from .errors import ExpiredError as ExpiredError
from .errors import HandshakeError as HandshakeError
from .errors import HostnameError as HostnameError
from .errors import HTTPError as HTTPError
from .errors import NetworkError as NetworkError
from .errors import NotTLSError as NotTLSError
from .errors import NotYetValidError as NotYetValidError
from .errors import OutOfMemoryError as OutOfMemoryError
from .errors import PinError as PinError
from .errors import PolicyError as PolicyError
from .errors import ResolveError as ResolveError
from .errors import RollbackError as RollbackError
from .errors import SeriesError as SeriesError
from .errors import SignatureError as SignatureError
from .errors import TLSError as TLSError
from .errors import TruncationError as TruncationError
from .errors import TrustStoreDamagedError as TrustStoreDamagedError
from .errors import TrustStoreError as TrustStoreError
from .errors import TrustStoreExpiredError as TrustStoreExpiredError
from .errors import TrustStoreMissingError as TrustStoreMissingError
from .errors import UnknownIssuerError as UnknownIssuerError
from .errors import UnsupportedError as UnsupportedError
from .handshake import Handshake
from .identity import EcdsaSign, Identity
from .pins import Pins
from .psk import PreSharedKey
from .starttls import upgrade as upgrade
from .trace import Trace

__version__: str

entropy_is_good: bool
suites_here: int | list[str] | None
forgets: bool
remembered_s: int

def forget(*names: str) -> None: ...

class Context:
    credentials: Identity | PreSharedKey | None
    psk: bool
    pins: Pins | None
    trace: Trace | None
    timeout_ms: int
    webpki: bool
    stores: list[Store]
    ciphers: list[str] | None
    late_issuers: dict[str, tuple[bytes, ...]]
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

class TrustStore:
    MAX_ANCHORS_PER_NAME: int
    MAGIC: bytes
    PENDING: bytes
    path: str
    size: int
    count: int
    sequence: int
    issued_at: int
    not_used_after: int
    blocked: int
    signed: bool
    digest: bytes
    head: bytes
    origin: str | None
    def __init__(self, path: str, magic: bytes = ...) -> None: ...
    def lookup(self, name: bytes, host: str | None = None, digest: bytes | None = None) -> list[Anchor]: ...
    def is_blocked(self, spki_digest: bytes) -> bool: ...
    def layout(self) -> tuple[int, int, int]: ...
    def publisher(self) -> bytes | None: ...
    def envelope(self) -> list[bytes] | None: ...

def connect(
    host: str,
    port: int,
    context: Context,
    server_hostname: str | None = None,
    address: str | None = None,
    timeout_ms: int = 10_000,
    transport: Transport | None = None,
) -> Connection: ...
