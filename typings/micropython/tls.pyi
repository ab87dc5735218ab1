# Module `tls` as firmware has it (extmod/modtls_mbedtls.c): the stubs from PyPI lack verify_mode, verify_callback, the
# attributes of pre-shared keys, and every parameter.
from collections.abc import Callable
from typing import Any

CERT_NONE: int
CERT_OPTIONAL: int
CERT_REQUIRED: int
PROTOCOL_TLS_CLIENT: int
PROTOCOL_TLS_SERVER: int
PROTOCOL_DTLS_CLIENT: int
PROTOCOL_DTLS_SERVER: int
MBEDTLS_VERSION: str

class SSLContext:
    verify_mode: int
    verify_callback: Callable[[memoryview, int], int] | None
    psk_identity: str | bytes
    psk_key: bytes
    server_psk_keys: dict[str, bytes]
    ecdsa_sign_callback: Callable[[bytes, bytes], bytes | None] | None
    def __init__(self, protocol: int, /) -> None: ...
    def __del__(self) -> None: ...
    def get_ciphers(self) -> list[str]: ...
    def set_ciphers(self, ciphers: list[str], /) -> None: ...
    def load_cert_chain(self, certfile: bytes, keyfile: bytes, /) -> None: ...
    def load_verify_locations(self, cafile: bytes, /) -> None: ...
    def wrap_socket(
        self,
        sock: Any,
        /,
        *,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        server_hostname: str | None = None,
        client_id: bytes | None = None,
    ) -> Any: ...
